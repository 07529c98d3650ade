"""Range interlocks: who waits for whom, and how a wait ends."""

from __future__ import annotations

import pytest

from maps import at, floored
from vmsmp.vm import vm_map as v
from vmsmp.vm.vm_map import ILOCK_WAITING

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])


def taken(map, page, pages):
    ilock = v.vm_map_ilock(map.vm)
    v.vm_map_interlock(map, ilock, at(page), at(page + pages))
    return ilock


def listed(map):
    """The interlocks of a map, in order."""
    found, scan = [], map.peek("ilock_base")
    while scan is not None:
        found.append(scan)
        scan = scan.peek("next")
    return found


def test_an_interlock_goes_to_the_head_of_its_map_s_list(alone):
    def program(vm):
        map = floored(vm)
        first, second = taken(map, 0, 2), taken(map, 2, 2)
        return listed(map) == [second, first], first.map is map, first.state()

    together, mine, state = alone(program)
    assert (True, True) == (together, mine)
    assert f"{at(0):#x} to {at(2):#x}, on map" == state


@pytest.mark.parametrize("which", [0, 1, 2])
def test_each_can_be_given_back_from_anywhere_in_the_list(alone, which):
    def program(vm):
        map = floored(vm)
        ilocks = [taken(map, page, 1) for page in range(3)]
        gone = ilocks.pop(which)
        v.vm_map_deinterlock(map, gone)
        return listed(map) == ilocks[::-1], gone.map, gone.state().endswith("on no list")

    assert (True, None, True) == alone(program)


def test_one_that_is_not_the_map_s_cannot_be_given_back(panic):
    def program(vm):
        map = floored(vm)
        taken(map, 0, 1)
        v.vm_map_deinterlock(map, v.vm_map_ilock(vm))

    assert "vm_map_deinterlock: missing ilock" == panic(program)


@pytest.mark.parametrize(
    ("page", "pages", "waits"),
    [(0, 4, False), (8, 4, False), (3, 2, True), (7, 2, True), (5, 1, True), (0, 16, True), (4, 4, True)],
)
def test_a_range_that_overlaps_waits(sleeps, page, pages, waits):
    def program(vm):
        map = floored(vm)
        taken(map, 4, 4)
        taken(map, page, pages)

    assert waits is sleeps(program)


def test_who_waits_says_so_on_what_is_in_its_way(alone):
    def program(vm):
        map = floored(vm)
        first = taken(map, 0, 2)
        waiter = vm.machine.spawn(taken, map, 1, 2)
        while not first.peek("flags"):
            vm.machine.yield_()
        told = first.peek("flags"), "somebody waits" in first.state()
        v.vm_map_deinterlock(map, first)
        waiter.join()
        return told, [ilock.peek("ran_beg") == at(1) for ilock in listed(map)]

    assert ((ILOCK_WAITING, True), [True]) == alone(program)


def test_nobody_is_woken_where_nobody_waits(steps):
    def prepare(vm):
        map = floored(vm)
        return map, taken(map, 0, 1)

    rows = steps(prepare, v.vm_map_deinterlock)
    assert ["acquire", "release", "load"] == [row.split()[0] for row in rows]


@DEPTHS
def test_all_who_wait_get_their_turn(together, locks):
    def program(vm):
        map = floored(vm)

        def user(page):
            ilock = taken(map, page, 2)
            v.vm_map_deinterlock(map, ilock)

        for page in (0, 1, 2):
            vm.machine.spawn(user, page)
        vm.machine.join()
        vm.machine.check(not listed(map), "all are given back")

    together(program, locks=locks)
