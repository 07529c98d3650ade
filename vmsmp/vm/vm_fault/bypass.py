"""Mapping a page that is resident and active, without the object's token or any other lock of it.

Models: vm_fault_bypass of sys/vm/vm_fault.c.
Locks: the map, shared, and soft busies.  The object is read without its token; the page's soft busy keeps
what matters of it stable.
Deviations:
  * page tables without emulated accessed and modified bits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.vm_fault.faultstate import VM_FAULT_MAX_QUICK, vm_set_nosync
from vmsmp.vm.vm_map.flags import KERN_FAILURE, KERN_SUCCESS, VM_FAULT_WIRE_MASK, VM_PROT_WRITE
from vmsmp.vm.vm_object.object import OBJ_DEAD, OBJ_MIGHTBEDIRTY, OBJ_WRITEABLE
from vmsmp.vm.vm_page.activity import vm_page_soft_activate
from vmsmp.vm.vm_page.busy import vm_page_sbusy_drop
from vmsmp.vm.vm_page.flags import PG_SWAPPED, VM_PAGE_BITS_ALL
from vmsmp.vm.vm_page.hash import vm_page_hash_get

if TYPE_CHECKING:
    from vmsmp.vm.vm_fault.faultstate import Faultstate
    from vmsmp.vm.vm_object.object import VmObject
    from vmsmp.vm.vm_page.page import VmPage


def vm_fault_bypass(fs: Faultstate, first_pindex: int, first_count: int) -> int:
    """Put the pages from index `first_pindex` on into `fs.mary`, soft-busied, if the first is usable.

    Returns: a KERN_* code.  Locks: the map.  Sleeps: never.
    """
    if fs.fault_flags & VM_FAULT_WIRE_MASK:
        return KERN_FAILURE
    vm = fs.vm
    obj: VmObject = fs.first_ba.object
    m = vm_page_hash_get(vm, obj, first_pindex)
    if m is None:
        return KERN_FAILURE
    if obj.flags.bits(OBJ_DEAD) or not _usable(m) or not _may_write(fs, m):
        vm_page_sbusy_drop(m)
        return KERN_FAILURE
    if fs.prot & VM_PROT_WRITE:
        vm_set_nosync(m, fs.entry)
    fs.msoftonly = True
    fs.mary = [m]
    vm_page_soft_activate(m)
    for n in range(1, min(vm.fault.vm_fault_bypass_count, VM_FAULT_MAX_QUICK, first_count)):
        m = vm_page_hash_get(vm, obj, first_pindex + n)
        if m is None:
            break
        if not _usable(m) or not _may_write(fs, m):
            vm_page_sbusy_drop(m)
            break
        vm_page_soft_activate(m)
        fs.mary.append(m)
    return KERN_SUCCESS


def _usable(m: VmPage) -> bool:
    """Whether a page is all valid, active and without swap."""
    return (
        m.valid == VM_PAGE_BITS_ALL and m.queue_base() == m.vm.page.PQ_ACTIVE and not m.flags.bits(PG_SWAPPED)
    )


def _may_write(fs: Faultstate, m: VmPage) -> bool:
    """Whether the page may be mapped writeable: it must be dirty already, and its object marked as such."""
    if not fs.prot & VM_PROT_WRITE:
        return True
    both = OBJ_WRITEABLE | OBJ_MIGHTBEDIRTY
    flags: int = fs.first_ba.object.flags.load()
    return flags & both == both and m.hint("dirty") == VM_PAGE_BITS_ALL
