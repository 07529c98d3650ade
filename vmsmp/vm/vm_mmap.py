"""System calls on memory, as far as they are here: locking all that comes, and unlocking all that is locked.

Models: sys_mlockall and sys_munlockall of sys/vm/vm_mmap.c.
Locks: the map exclusively; waiting for a transition unlocks it.
Deviations:
  * they take the process' map, and every process has the right to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vmsmp.sync.errno import EINVAL, ENOSYS
from vmsmp.vm.vm_fault.wire import vm_fault_unwire
from vmsmp.vm.vm_map.flags import MAP_ENTRY_USER_WIRED, MAP_WIREFUTURE
from vmsmp.vm.vm_map.lock import vm_map_lock, vm_map_unlock
from vmsmp.vm.vm_map.transition import vm_map_entry_wait

if TYPE_CHECKING:
    from vmsmp.vm.vm_map.entry import VmMapEntry
    from vmsmp.vm.vm_map.map import VmMap

MCL_CURRENT: Final = 0x0001
MCL_FUTURE: Final = 0x0002


def sys_mlockall(map: VmMap, how: int) -> int:
    """Have all memory wired that is mapped from now on (MCL_FUTURE); return an errno.

    What is mapped already cannot be (MCL_CURRENT); nothing is done then.  Locks: takes the map's.
    """
    if not how & (MCL_CURRENT | MCL_FUTURE):
        return EINVAL
    vm_map_lock(map)
    error = ENOSYS if how & MCL_CURRENT else 0
    if not error and how & MCL_FUTURE:
        map.flags |= MAP_WIREFUTURE
    vm_map_unlock(map)
    return error


def sys_munlockall(map: VmMap) -> int:
    """End the user's wiring of every entry, and of what is mapped from now on; return 0.

    Locks: takes the map's, which is unlocked to wait for transitions.  Sleeps: yes.
    """
    vm_map_lock(map)
    map.flags &= ~MAP_WIREFUTURE
    entry: VmMapEntry | None = map.rb_root.first()
    while entry is not None:
        if entry.eflags & MAP_ENTRY_USER_WIRED:
            if entry.in_transition:
                vm_map_entry_wait(map, entry)
                entry = map.rb_root.first()
                continue
            if entry.wired_count <= 0:
                map.vm.panic("sys_munlockall: a user's wiring that is not counted")
            entry.eflags &= ~MAP_ENTRY_USER_WIRED
            entry.wired_count -= 1
            if entry.wired_count == 0:
                vm_fault_unwire(map, entry)
        entry = map.rb_root.next(entry)
    vm_map_unlock(map)
    return 0
