"""Copying the pages of a wired entry as it is forked.

Models: vm_fault_copy_entry of sys/vm/vm_fault.c.
Locks: both maps exclusively, and both objects' tokens.  A page of the source is copied as it is: wired, and
not busied.
Deviations: none known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.pmap.enter import pmap_enter
from vmsmp.vm.vm_map.clip import vm_map_entry_allocate_object
from vmsmp.vm.vm_map.flags import PAGE_SHIFT
from vmsmp.vm.vm_object.hold import vm_object_drop, vm_object_hold
from vmsmp.vm.vm_page.activity import vm_page_activate
from vmsmp.vm.vm_page.alloc import vm_page_alloc
from vmsmp.vm.vm_page.busy import vm_page_wakeup
from vmsmp.vm.vm_page.flags import PAGE_SIZE, VM_ALLOC_NORMAL
from vmsmp.vm.vm_page.lookup import vm_page_lookup
from vmsmp.vm.vm_page.validity import vm_page_copy
from vmsmp.vm.vm_page.wait import vm_wait

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_map.entry import VmMapEntry
    from vmsmp.vm.vm_map.map import VmMap
    from vmsmp.vm.vm_object.object import VmObject


def vm_fault_copy_entry(dst_map: VmMap, src_map: VmMap, dst_entry: VmMapEntry, src_entry: VmMapEntry) -> None:
    """Give an entry without an object one with copies of all pages of another entry, and map them.

    Panics if the first object of the source lacks a page.
    Locks: both maps exclusively.  Sleeps: for tokens and memory, with both maps locked.
    """
    del src_map
    vm: VmSystem = dst_map.vm
    src_object: VmObject = src_entry.ba.object
    src_offset = src_entry.ba.offset
    vm_map_entry_allocate_object(dst_entry)
    dst_object: VmObject = dst_entry.ba.object
    prot = dst_entry.max_protection.load()
    vm_object_hold(src_object)
    vm_object_hold(dst_object)
    for vaddr in range(dst_entry.ba.start, dst_entry.ba.end, PAGE_SIZE):
        dst_pindex = vaddr - dst_entry.ba.start >> PAGE_SHIFT
        dst_m = vm_page_alloc(vm, dst_object, dst_pindex, VM_ALLOC_NORMAL)
        while dst_m is None:
            vm_wait(vm, 0)
            dst_m = vm_page_alloc(vm, dst_object, dst_pindex, VM_ALLOC_NORMAL)
        src_m = vm_page_lookup(src_object, dst_pindex + (src_offset >> PAGE_SHIFT))
        if src_m is None:
            vm.panic("vm_fault_copy_wired: page missing")
        vm_page_copy(src_m, dst_m)
        pmap_enter(dst_map.pmap, vaddr, dst_m, prot, False, dst_entry)
        vm_page_activate(dst_m)
        vm_page_wakeup(dst_m)
    vm_object_drop(dst_object)
    vm_object_drop(src_object)
