"""Wiring the pages of an entry by faults, and unwiring what its mappings name.

Models: vm_fault_wire and vm_fault_unwire of sys/vm/vm_fault.c.
Locks: the map exclusively.  Wiring unlocks it while pages are faulted in, since a thread that has one of them
busied may wait for the map; the range is in transition meanwhile.
Deviations:
  * vm_fault is called through `Maps.fault`, so that a scenario can make it fail.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.pmap.pgscan import pmap_unwire
from vmsmp.vm.vm_map.flags import (
    KERN_SUCCESS,
    KM_NOTLBSYNC,
    MAP_ENTRY_KSTACK,
    VM_FAULT_CHANGE_WIRING,
    VM_FAULT_USER_WIRE,
    VM_MAPTYPE_NORMAL,
    VM_MAPTYPE_UKSMAP,
    VM_PROT_NOSYNC,
    VM_PROT_READ,
    VM_PROT_RW,
)
from vmsmp.vm.vm_map.lock import vm_map_lock, vm_map_timestamp_bump, vm_map_unlock
from vmsmp.vm.vm_object.object import OBJT_DEVICE, OBJT_MGTDEVICE
from vmsmp.vm.vm_page.busy import vm_page_busy_wait, vm_page_wakeup
from vmsmp.vm.vm_page.flags import PAGE_SIZE
from vmsmp.vm.vm_page.holding import vm_page_unwire

if TYPE_CHECKING:
    from vmsmp.vm.pmap.pmap import Pmap
    from vmsmp.vm.vm_map.entry import VmMapEntry
    from vmsmp.vm.vm_map.map import VmMap


def vm_fault_wire(map: VmMap, entry: VmMapEntry, user_wire: bool, kmflags: int) -> int:
    """Fault in and wire the pages of an entry; return a KERN_* code.

    The first page of a kernel stack, its guard, is left out.  After an error the pages wired so far are
    unwired.
    Locks: the map exclusively, and the entry in transition; the map is unlocked meanwhile, and the entry may
    be in pieces when it is locked again.  Sleeps: yes.
    """
    if user_wire:
        prot, flags = VM_PROT_READ, VM_FAULT_USER_WIRE
    else:
        prot, flags = VM_PROT_RW, VM_FAULT_CHANGE_WIRING
    if kmflags & KM_NOTLBSYNC:
        prot |= VM_PROT_NOSYNC
    pmap: Pmap = map.pmap
    start, end = entry.ba.start, entry.ba.end
    fictitious = entry.maptype == VM_MAPTYPE_UKSMAP or _of_device(entry)
    if entry.eflags & MAP_ENTRY_KSTACK:
        start += PAGE_SIZE
    vm_map_timestamp_bump(map)
    vm_map_unlock(map)
    rv = KERN_SUCCESS
    for va in range(start, end, PAGE_SIZE):
        rv = map.vm.map.fault(map, va, prot, flags)
        if rv != KERN_SUCCESS:
            for done in range(va - PAGE_SIZE, start - PAGE_SIZE, -PAGE_SIZE):
                _unwire(pmap, done, fictitious)
            break
    vm_map_lock(map)
    return rv


def vm_fault_unwire(map: VmMap, entry: VmMapEntry) -> None:
    """Unwire the pages that the mappings of an entry name.  Locks: the map.  Sleeps: for busy pages."""
    start = entry.ba.start
    fictitious = _of_device(entry)
    if entry.eflags & MAP_ENTRY_KSTACK:
        start += PAGE_SIZE
    for va in range(start, entry.ba.end, PAGE_SIZE):
        _unwire(map.pmap, va, fictitious)


def _of_device(entry: VmMapEntry) -> bool:
    """Whether the pages of an entry are a device's, which are wired as long as they are mapped."""
    obj = entry.ba.object
    return (
        entry.maptype == VM_MAPTYPE_NORMAL
        and obj is not None
        and obj.raw_type in (OBJT_DEVICE, OBJT_MGTDEVICE)
    )


def _unwire(pmap: Pmap, va: int, fictitious: bool) -> None:
    """Unwire the page at an address, if one is mapped there."""
    m = pmap_unwire(pmap, va)
    if m is not None and not fictitious:
        vm_page_busy_wait(m, False, "vmwrpg")
        vm_page_unwire(m, True)
        vm_page_wakeup(m)
