"""Advice on a range of a map: how its owner is going to use it.

Models: vm_map_madvise of sys/vm/vm_map.c.
Locks: advice that changes entries takes the map's lock exclusively, advice on pages shared; a range that is
invalidated is interlocked.
Deviations:
  * MADV_SETMAP is refused, since no entry has page tables of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vmsmp.sync.errno import EINVAL
from vmsmp.vm.pmap.remove import pmap_remove
from vmsmp.vm.vm_map.clip import vm_map_clip_end, vm_map_clip_start, vm_map_simplify_entry
from vmsmp.vm.vm_map.flags import (
    MADV_AUTOSYNC,
    MADV_CORE,
    MADV_DONTNEED,
    MADV_FREE,
    MADV_INVAL,
    MADV_NOCORE,
    MADV_NORMAL,
    MADV_NOSYNC,
    MADV_RANDOM,
    MADV_SEQUENTIAL,
    MADV_SETMAP,
    MADV_WILLNEED,
    MAP_ENTRY_BEHAV_MASK,
    MAP_ENTRY_BEHAV_NORMAL,
    MAP_ENTRY_BEHAV_RANDOM,
    MAP_ENTRY_BEHAV_SEQUENTIAL,
    MAP_ENTRY_NOCOREDUMP,
    MAP_ENTRY_NOSYNC,
    MAP_RESERVE_COUNT,
    PAGE_SHIFT,
    VM_MAPTYPE_NORMAL,
    VM_MAPTYPE_SUBMAP,
    VM_MAX_USER_ADDRESS,
    VM_MIN_USER_ADDRESS,
)
from vmsmp.vm.vm_map.interlock import vm_map_deinterlock, vm_map_ilock, vm_map_interlock
from vmsmp.vm.vm_map.link import vm_map_entry_after, vm_map_lookup_entry
from vmsmp.vm.vm_map.lock import VM_MAP_RANGE_CHECK, vm_map_lock, vm_map_lock_read, vm_map_unlock
from vmsmp.vm.vm_map.supply import vm_map_entry_release, vm_map_entry_reserve
from vmsmp.vm.vm_object.madvise import vm_object_madvise

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_map.entry import VmMapEntry
    from vmsmp.vm.vm_map.map import VmMap
    from vmsmp.vm.vm_map.supply import Reserved

#: For each advice that changes entries: the flags that it clears and those that it sets.
_CHANGES: Final = {
    MADV_NORMAL: (MAP_ENTRY_BEHAV_MASK, MAP_ENTRY_BEHAV_NORMAL),
    MADV_SEQUENTIAL: (MAP_ENTRY_BEHAV_MASK, MAP_ENTRY_BEHAV_SEQUENTIAL),
    MADV_RANDOM: (MAP_ENTRY_BEHAV_MASK, MAP_ENTRY_BEHAV_RANDOM),
    MADV_NOSYNC: (0, MAP_ENTRY_NOSYNC),
    MADV_AUTOSYNC: (MAP_ENTRY_NOSYNC, 0),
    MADV_NOCORE: (0, MAP_ENTRY_NOCOREDUMP),
    MADV_CORE: (MAP_ENTRY_NOCOREDUMP, 0),
    MADV_SETMAP: (0, 0),
}
_OF_PAGES: Final = (MADV_INVAL, MADV_WILLNEED, MADV_DONTNEED, MADV_FREE)


def vm_map_madvise(map: VmMap, start: int, end: int, behav: int, _value: int = 0) -> int:
    """Follow the advice for a range; return 0 or EINVAL.

    Locks: takes the map's, exclusively or shared, by the kind of advice.  Sleeps: for entries and the map,
    and then as clipping does, or for pages and overlapping interlocks.
    """
    vm: VmSystem = map.vm
    count = vm_map_entry_reserve(vm, MAP_RESERVE_COUNT)
    modify = behav in _CHANGES
    if not modify and behav not in _OF_PAGES:
        vm_map_entry_release(vm, count)
        return EINVAL
    if modify:
        vm_map_lock(map)
    else:
        vm_map_lock_read(map)
    start, end = VM_MAP_RANGE_CHECK(map, start, end)
    hit, entry = vm_map_lookup_entry(map, start)
    if not hit:
        entry = vm_map_entry_after(map, entry)
    elif modify and entry is not None:
        vm_map_clip_start(map, entry, start, count)
    error = 0
    if modify:
        error = _change(map, entry, end, behav, count)
    else:
        _advise(map, entry, start, end, behav)
    vm_map_unlock(map)
    vm_map_entry_release(vm, count)
    return error


def _change(map: VmMap, entry: VmMapEntry | None, end: int, behav: int, count: Reserved) -> int:
    """Change the flags of the entries from `entry` on."""
    error = 0
    clear, put = _CHANGES[behav]
    while entry is not None and entry.ba.start < end:
        if entry.maptype != VM_MAPTYPE_SUBMAP:
            vm_map_clip_end(map, entry, end, count)
            if behav == MADV_SETMAP:
                error = EINVAL
            entry.eflags = entry.eflags & ~clear | put
            vm_map_simplify_entry(map, entry, count)
        entry = vm_map_entry_after(map, entry)
    return error


def _advise(map: VmMap, entry: VmMapEntry | None, start: int, end: int, behav: int) -> None:
    """Advise on the pages of the range, from `entry` on; no entry is clipped."""
    while entry is not None and entry.ba.start < end:
        if entry.maptype == VM_MAPTYPE_NORMAL:
            use_start = max(entry.ba.start, start)
            delta = min(entry.ba.end, end) - use_start >> PAGE_SHIFT
            pindex = (entry.ba.offset >> PAGE_SHIFT) + (use_start - entry.ba.start >> PAGE_SHIFT)
            if delta > 0 and behav == MADV_INVAL:
                _invalidate(map, use_start, use_start + (delta << PAGE_SHIFT))
            elif delta > 0:
                vm_object_madvise(entry.ba.object, pindex, delta, behav)
        entry = vm_map_entry_after(map, entry)


def _invalidate(map: VmMap, start: int, end: int) -> None:
    """Remove the mappings of a range, with the range interlocked."""
    if not (VM_MIN_USER_ADDRESS <= start <= end <= VM_MAX_USER_ADDRESS):
        map.vm.panic("vm_map_madvise: invalidation outside of user addresses")
    ilock = vm_map_ilock(map.vm)
    vm_map_interlock(map, ilock, start, end)
    pmap_remove(map.pmap, start, end)
    vm_map_deinterlock(map, ilock)
