"""Mapping a map inside another one.

Models: vm_map_submap of sys/vm/vm_map.c.
Locks: takes the outer map's lock exclusively.
Deviations: none known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.vm_map.clip import vm_map_clip_end, vm_map_clip_start
from vmsmp.vm.vm_map.flags import (
    KERN_INVALID_ARGUMENT,
    KERN_SUCCESS,
    MAP_ENTRY_COW,
    MAP_RESERVE_COUNT,
    VM_MAPTYPE_SUBMAP,
)
from vmsmp.vm.vm_map.link import vm_map_entry_after, vm_map_lookup_entry
from vmsmp.vm.vm_map.lock import VM_MAP_RANGE_CHECK, vm_map_lock, vm_map_unlock
from vmsmp.vm.vm_map.supply import vm_map_entry_release, vm_map_entry_reserve

if TYPE_CHECKING:
    from vmsmp.vm.vm_map.map import VmMap


def vm_map_submap(map: VmMap, start: int, end: int, submap: VmMap) -> int:
    """Map another map in a range; return a KERN_* code.

    Exactly one entry must cover the range, without an object and not copied on write.
    Locks: takes the map's exclusively.  Sleeps: for entries and the map, and as clipping does.
    """
    vm = map.vm
    count = vm_map_entry_reserve(vm, MAP_RESERVE_COUNT)
    vm_map_lock(map)
    start, end = VM_MAP_RANGE_CHECK(map, start, end)
    hit, entry = vm_map_lookup_entry(map, start)
    if not hit:
        entry = vm_map_entry_after(map, entry)
    elif entry is not None:
        vm_map_clip_start(map, entry, start, count)
    rv = KERN_INVALID_ARGUMENT
    if entry is not None:
        vm_map_clip_end(map, entry, end, count)
        exact = entry.ba.start == start and entry.ba.end == end
        if exact and not entry.eflags & MAP_ENTRY_COW and entry.ba.object is None:
            entry.ba.object = submap
            entry.maptype = VM_MAPTYPE_SUBMAP
            rv = KERN_SUCCESS
    vm_map_unlock(map)
    vm_map_entry_release(vm, count)
    return rv
