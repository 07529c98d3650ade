"""Working on a range with the map unlocked: marking its entries, and waiting for CPUs that have done so.

Models: vm_map_transition_wait, vm_map_clip_range and vm_map_unclip_range of sys/vm/vm_map.c.
Locks: the map exclusively, at entry and exit; waiting unlocks it.  An entry in transition is neither removed
nor joined with others, but it may be cut, and its pieces are in transition, too.
Deviations:
  * at the atomic depth a contested release of the map's lock does not wake the threads that sleep here; the
    kernel's does, and they look again.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from vmsmp.sync.errno import PINTERLOCKED
from vmsmp.vm.vm_map.clip import vm_map_clip_end, vm_map_clip_start, vm_map_simplify_entry
from vmsmp.vm.vm_map.flags import (
    MAP_CLIP_NO_HOLES,
    MAP_ENTRY_IN_TRANSITION,
    MAP_ENTRY_NEEDS_WAKEUP,
)
from vmsmp.vm.vm_map.link import vm_map_lookup_entry
from vmsmp.vm.vm_map.lock import vm_map_lock, vm_map_unlock
from vmsmp.vm.vm_map.map import Transition

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_map.entry import VmMapEntry
    from vmsmp.vm.vm_map.map import VmMap
    from vmsmp.vm.vm_map.supply import Reserved


def vm_map_transition_wait(map: VmMap, relock: bool) -> None:
    """Unlock the map and sleep until a transition may have ended; then lock the map if `relock`.

    The caller must look everything up again.
    """
    machine = map.vm.machine
    machine.tsleep_interlock(map.lock)
    vm_map_unlock(map)
    machine.tsleep(map.lock, PINTERLOCKED, "vment", overdue=partial(_overdue, map))
    if relock:
        vm_map_lock(map)


def _overdue(map: VmMap) -> str | None:
    """Return why a wait should be over, or None if it should not."""
    if any(entry.raw_eflags & MAP_ENTRY_NEEDS_WAKEUP for entry in map.raw_rb_root):
        return None
    return "no entry in transition is left whose end would wake the waiter"


def vm_map_entry_wait(map: VmMap, entry: VmMapEntry, *, relock: bool = True) -> None:
    """Ask for a wakeup at the end of an entry's transition, count the wait, and sleep."""
    gd = map.vm.mycpu()
    entry.eflags |= MAP_ENTRY_NEEDS_WAKEUP
    gd.v_intrans_coll += 1
    gd.v_intrans_wait += 1
    vm_map_transition_wait(map, relock)


def vm_map_clip_range(map: VmMap, start: int, end: int, reserved: Reserved, flags: int) -> VmMapEntry | None:
    """Cut the range out of its entries and put them in transition; return the first, or None.

    There is none if `start` is not mapped, or with MAP_CLIP_NO_HOLES if anything is not.
    Sleeps: while another CPU has a part of the range in transition; the map is unlocked meanwhile.
    """
    while True:
        hit, entry = vm_map_lookup_entry(map, start)
        if not hit or entry is None:
            return None
        if not entry.in_transition:
            break
        vm_map_entry_wait(map, entry)
    start_entry = entry
    vm_map_clip_start(map, entry, start, reserved)
    vm_map_clip_end(map, entry, end, reserved)
    entry.eflags |= MAP_ENTRY_IN_TRANSITION
    mine = Transition(map.vm.engine.current, start, entry.ba.end)
    map.transitions.append(mine)
    while True:
        following = map.rb_root.next(entry)
        if following is None or following.ba.start >= end:
            break
        if flags & MAP_CLIP_NO_HOLES and following.ba.start > entry.ba.end:
            vm_map_unclip_range(map, start_entry, start, entry.ba.end, reserved, flags)
            return None
        if following.in_transition:
            save_end = entry.ba.end
            vm_map_entry_wait(map, following)
            entry = CLIP_CHECK_FWD(map, entry, save_end)
            start_entry = CLIP_CHECK_BACK(map, start_entry, start)
            continue
        vm_map_clip_end(map, following, end, reserved)
        following.eflags |= MAP_ENTRY_IN_TRANSITION
        entry = following
        mine.end = entry.ba.end
    if flags & MAP_CLIP_NO_HOLES and entry.ba.end != end:
        vm_map_unclip_range(map, start_entry, start, entry.ba.end, reserved, flags)
        return None
    return start_entry


def CLIP_CHECK_FWD(map: VmMap, entry: VmMapEntry, end: int) -> VmMapEntry:
    """Return the last piece of an entry that ended at `end` and may have been cut since."""
    vm: VmSystem = map.vm
    while entry.ba.end != end:
        following = map.rb_root.next(entry)
        if following is None:
            vm.panic("vm_map: an entry in transition has lost its end")
        entry = following
    return entry


def CLIP_CHECK_BACK(map: VmMap, entry: VmMapEntry, start: int) -> VmMapEntry:
    """Return the first piece of an entry that began at `start` and may have been cut since."""
    vm: VmSystem = map.vm
    while entry.ba.start != start:
        before = map.rb_root.prev(entry)
        if before is None:
            vm.panic("vm_map: an entry in transition has lost its start")
        entry = before
    return entry


def vm_map_unclip_range(
    map: VmMap, start_entry: VmMapEntry, start: int, end: int, reserved: Reserved, _flags: int
) -> None:
    """End the transition of the range's entries, wake those who wait for one, and join what can be joined."""
    if start_entry.ba.start != start:
        map.vm.panic("vm_map_unclip_range: illegal base entry")
    entry: VmMapEntry | None = start_entry
    while entry is not None and entry.ba.start < end:
        if not entry.in_transition:
            map.vm.panic("vm_map_unclip_range: in-transition flag not set")
        if entry.ba.end > end:
            map.vm.panic("vm_map_unclip_range: tail wasn't clipped")
        entry.eflags &= ~MAP_ENTRY_IN_TRANSITION
        if entry.eflags & MAP_ENTRY_NEEDS_WAKEUP:
            entry.eflags &= ~MAP_ENTRY_NEEDS_WAKEUP
            map.vm.machine.wakeup(map.lock)
        entry = map.rb_root.next(entry)
    me = map.vm.engine.current
    map.transitions[:] = [other for other in map.transitions if other.cpu is not me or other.start != start]
    entry = start_entry
    while entry is not None and entry.ba.start < end:
        vm_map_simplify_entry(map, entry, reserved)
        entry = map.rb_root.next(entry)
