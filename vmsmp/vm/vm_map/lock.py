"""Locking a map, and its timestamp, which changes with every exclusive section.

Models: the vm_map_lock family of sys/vm/vm_map.h.
Locks: the map's lock, a lockmgr lock without recursion.  A contested request is a blocking point: tokens are
lost.
Deviations: none known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.records.record import has
from vmsmp.sync.errno import (
    LK_EXCLUPGRADE,
    LK_NOWAIT,
    LK_RELEASE,
    LK_SHARED,
    LK_TIMELOCK,
)
from vmsmp.sync.lock import EXCLUSIVE, SHARED
from vmsmp.vm.observer import MapSectionEnds

if TYPE_CHECKING:
    from vmsmp.vm.vm_map.map import VmMap

_U32 = 0xFFFFFFFF


def ASSERT_VM_MAP_LOCKED(map: VmMap) -> None:
    """Panic unless this CPU has the map locked exclusively, or any CPU has it locked shared."""
    cpu = map.vm.engine.current
    if not any(mode == SHARED or holder is cpu for holder, mode in map.lock.holders):
        map.vm.panic(f"{map.klass}: it is not locked")


def vm_map_timestamp_bump(map: VmMap) -> None:
    """Count one more exclusive section.  Locks: the map exclusively."""
    map.timestamp = map.timestamp + 1 & _U32


def vm_map_lock(map: VmMap) -> None:
    """Lock the map exclusively.  Sleeps: while contended.  Panics if this CPU has it already."""
    map.lock.acquire()
    vm_map_timestamp_bump(map)


def vm_map_unlock(map: VmMap) -> None:
    """Unlock the map, in either mode."""
    if has(map.vm.engine.current, map.lock, EXCLUSIVE):
        _section_ends(map)
    map.lock.lock(LK_RELEASE)


vm_map_unlock_read = vm_map_unlock


def vm_map_lock_read(map: VmMap) -> None:
    """Lock the map shared.  Sleeps: while it is locked exclusively, or another CPU asks for that."""
    map.lock.lock(LK_SHARED)


def vm_map_lock_read_try(map: VmMap) -> int:
    """Lock the map shared if that needs no waiting; return 0 or an error number."""
    return map.lock.lock(LK_SHARED | LK_NOWAIT)


def vm_map_lock_read_to(map: VmMap) -> int:
    """Lock the map shared, or give up after a tenth of a second; return 0 or an error number."""
    return map.lock.lock(LK_SHARED | LK_TIMELOCK)


def vm_map_lock_upgrade(map: VmMap) -> int:
    """Turn a shared lock into an exclusive one without releasing it; return 0 or an error number.

    If another CPU is upgrading already, the shared lock is lost.  Sleeps: until all others have unlocked.
    """
    error = map.lock.lock(LK_EXCLUPGRADE)
    if not error:
        vm_map_timestamp_bump(map)
    return error


def vm_map_lock_downgrade(map: VmMap) -> None:
    """Turn an exclusive lock into a shared one without releasing it."""
    _section_ends(map)
    map.lock.downgrade()


def _section_ends(map: VmMap) -> None:
    """Report the end of an exclusive section to checkers: from now on others can see the map."""
    for hook in map.vm.hooks.event:
        hook(map.vm.engine.current, MapSectionEnds(map))
    map.ended_at = map.timestamp


def VM_MAP_RANGE_CHECK(map: VmMap, start: int, end: int) -> tuple[int, int]:
    """Return the range, clamped to the map's bounds; one that ends before its start becomes empty."""
    start = max(start, map.min_addr)
    end = min(end, map.max_addr)
    return min(start, end), end
