"""More memory for map entries, out of the kernel's map.

Models: the refill of mapentzone by zget of sys/vm/vm_zone.c (ZONE_SPECIAL), with kmem_alloc3 of
sys/vm/vm_kern.c.
Locks: takes the kernel's map exclusively, so the CPU must not hold it: an operation on that map reserves its
entries first.  The refill needs entries itself, and takes them from the CPU's permanent ones.
Deviations:
  * the addresses are mapped, and the memory behind them is there: no pages are allocated and wired.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vmsmp.vm.vm_map.find import vm_map_findspace
from vmsmp.vm.vm_map.flags import (
    MAP_RESERVE_COUNT,
    VM_PROT_ALL,
    VM_SUBSYS_ZALLOC,
)
from vmsmp.vm.vm_map.insert import Mapping, vm_map_insert
from vmsmp.vm.vm_map.lock import vm_map_lock, vm_map_unlock
from vmsmp.vm.vm_map.supply import vm_map_entry_krelease, vm_map_entry_kreserve
from vmsmp.vm.vm_object.hold import vm_object_drop, vm_object_hold
from vmsmp.vm.vm_object.reference import vm_object_reference_locked
from vmsmp.vm.vm_page.flags import PAGE_SIZE

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem

#: Bytes of an entry, and how many entries the CPU gets before the zone gets the rest.
ENTRY_SIZE: Final = 192
_READY: Final = 2


def mapentzone_refill(vm: VmSystem) -> int:
    """Map a page of the kernel's addresses and return how many entries it holds.  Sleeps: yes."""
    map = vm.map.kernel_map
    reserved = vm_map_entry_kreserve(vm, MAP_RESERVE_COUNT)
    vm_map_lock(map)
    address = vm_map_findspace(map, map.min_addr, PAGE_SIZE, PAGE_SIZE)
    if address is not None:
        obj = vm.objects.kernel_object
        vm_object_hold(obj)
        vm_object_reference_locked(obj)
        vm_map_insert(
            map,
            reserved,
            address,
            address + PAGE_SIZE,
            Mapping(obj, address, id=VM_SUBSYS_ZALLOC, prot=VM_PROT_ALL, max=VM_PROT_ALL),
        )
        vm_object_drop(obj)
    vm_map_unlock(map)
    vm_map_entry_krelease(vm, reserved)
    if address is None:
        return 0
    made = PAGE_SIZE // ENTRY_SIZE
    gd = vm.map.supply()
    while gd.gd_vme_avail < _READY and made > 1:
        gd.gd_vme_base += 1
        gd.gd_vme_avail += 1
        made -= 1
    return made
