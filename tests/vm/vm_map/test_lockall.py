"""Locking what comes, and unlocking all."""

from __future__ import annotations

import pytest

from faults import new_process
from maps import FLOOR, at, entry_at, over, put
from vmsmp.sync.errno import EINVAL, ENOSYS
from vmsmp.vm import vm_map as v
from vmsmp.vm.vm_map import MAP_WIREFUTURE, MCL_CURRENT, MCL_FUTURE


@pytest.mark.parametrize(
    ("how", "error", "flag"),
    [
        (0, EINVAL, 0),
        (4, EINVAL, 0),
        (MCL_CURRENT, ENOSYS, 0),
        (MCL_CURRENT | MCL_FUTURE, ENOSYS, 0),
        (MCL_FUTURE, 0, MAP_WIREFUTURE),
    ],
)
def test_only_what_comes_can_be_locked_as_a_whole(alone, how, error, flag):
    def program(vm):
        map = new_process(vm, 1)
        return v.mlockall(map, how), map.peek("flags") & MAP_WIREFUTURE, map.lock.held()

    assert (error, flag, False) == alone(program)


def locked(vm):
    """The map of a process with three pages behind its first one."""
    map = new_process(vm, 1, FLOOR)
    put(map, 1, 3)
    return map


def wirings(map):
    """How often each of the three pages is wired."""
    return [entry_at(map, page).peek("wired_count") for page in range(1, 4)]


def test_all_wirings_of_the_user_end_and_no_others(alone):
    def program(vm):
        map = locked(vm)
        v.mlockall(map, MCL_FUTURE)
        over(v.vm_map_user_wiring, map, 1, 1, False)
        over(v.vm_map_kernel_wiring, map, 3, 1, 0)
        before = wirings(map)
        said = v.munlockall(map)
        return before, said, wirings(map), map.peek("flags") & MAP_WIREFUTURE, map.pmap.wired_count.peek()

    assert ([1, 0, 1], 0, [0, 0, 1], 0, 1) == alone(program, pages=16)


def test_a_range_in_transition_is_waited_for_and_then_all_is_looked_at_anew(alone):
    def program(vm):
        map = locked(vm)
        over(v.vm_map_user_wiring, map, 1, 3, False)
        reserved = v.vm_map_entry_reserve(vm, 4)
        v.vm_map_lock(map)
        first = v.vm_map_clip_range(map, at(2), at(3), reserved, 0)
        v.vm_map_unlock(map)
        cpu = vm.machine.spawn(v.munlockall, map)
        vm.machine.tsleep("a while", 0, "", 2)
        waits = wirings(map)
        v.vm_map_lock(map)
        v.vm_map_unclip_range(map, first, at(2), at(3), reserved, 0)
        v.vm_map_unlock(map)
        v.vm_map_entry_release(vm, reserved)
        cpu.join()
        return waits, wirings(map), cpu.result

    assert ([0, 1, 1], [0, 0, 0], 0) == alone(program, pages=16)
