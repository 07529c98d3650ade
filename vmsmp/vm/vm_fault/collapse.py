"""Bringing all pages of an entry into its first object, so that a fork can cut off the chain behind it.

Models: vm_fault_collapse of sys/vm/vm_fault.c.
Locks: the map, exclusively, throughout; the first object's token, which every wait loses.
Deviations: none known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.pmap.remove import pmap_remove
from vmsmp.vm.vm_fault.faultstate import Faultstate
from vmsmp.vm.vm_fault.object_fault import vm_fault_object
from vmsmp.vm.vm_map.flags import (
    KERN_SUCCESS,
    KERN_TRY_AGAIN,
    PAGE_SHIFT,
    VM_FAULT_NORMAL,
    VM_PROT_OVERRIDE_WRITE,
    VM_PROT_RW,
)
from vmsmp.vm.vm_object.hold import vm_object_drop, vm_object_hold
from vmsmp.vm.vm_page.activity import vm_page_activate
from vmsmp.vm.vm_page.busy import vm_page_flag_set, vm_page_wakeup
from vmsmp.vm.vm_page.flags import PAGE_SIZE, PG_REFERENCED
from vmsmp.vm.vm_page.lookup import vm_page_lookup

if TYPE_CHECKING:
    from vmsmp.vm.vm_map.entry import VmMapEntry
    from vmsmp.vm.vm_map.map import VmMap


def vm_fault_collapse(map: VmMap, entry: VmMapEntry) -> int:
    """Bring every page of the entry into its first object, from wherever it is in the chain.

    Returns: a KERN_* code.  The range is unmapped, unless all pages were in the first object already.
    Locks: the map exclusively.  Sleeps: for pages, memory and pagers, with the map locked.
    """
    vm = map.vm
    fs = Faultstate(vm, VM_FAULT_NORMAL, 0)
    fs.map = map
    fs.entry = entry
    fs.lookup_still_valid = -1
    fs.first_prot = entry.max_protection.load() | VM_PROT_RW | VM_PROT_OVERRIDE_WRITE
    fs.first_ba = entry.ba
    fs.first_ba_held = -1
    obj = entry.ba.object
    vm_object_hold(obj)
    rv, all_shadowed = KERN_SUCCESS, True
    scan = entry.ba.start
    while scan < entry.ba.end:
        pindex = scan - entry.ba.start + entry.ba.offset >> PAGE_SHIFT
        if vm_page_lookup(obj, pindex) is not None:
            scan += PAGE_SIZE
            continue
        all_shadowed = False
        fs.ba = fs.first_ba
        fs.prot = fs.first_prot
        rv = vm_fault_object(fs, pindex, fs.first_prot, True)
        if rv == KERN_TRY_AGAIN:
            continue
        if rv != KERN_SUCCESS:
            break
        vm_page_flag_set(fs.m, PG_REFERENCED)
        vm_page_activate(fs.m)
        vm_page_wakeup(fs.m)
        scan += PAGE_SIZE
    if entry.ba.object is not obj:
        vm.panic("vm_fault_collapse: the entry's object has changed")
    vm_object_drop(obj)
    if not all_shadowed:
        pmap_remove(map.pmap, entry.ba.start, entry.ba.end)
    return rv
