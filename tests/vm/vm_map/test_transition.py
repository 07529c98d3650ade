"""Ranges in transition: marked, waited for, cut meanwhile, and ended."""

from __future__ import annotations

import pytest

from maps import ANON, at, entry_at, floored, layout, over, put
from vmsmp.vm.vm_map import (
    CLIP_CHECK_BACK,
    CLIP_CHECK_FWD,
    MAP_CLIP_NO_HOLES,
    MAP_ENTRY_IN_TRANSITION,
    MAP_ENTRY_NEEDS_WAKEUP,
    vm_map_clip_end,
    vm_map_clip_range,
    vm_map_entry_reserve,
    vm_map_lock,
    vm_map_protect,
    vm_map_remove,
    vm_map_transition_wait,
    vm_map_unclip_range,
    vm_map_unlock,
)


def locked(vm, *ranges):
    map = floored(vm)
    for n, (page, pages) in enumerate(ranges or ((2, 6),)):
        put(map, page, pages, ANON._replace(id=10 + n))
    reserved = vm_map_entry_reserve(vm, 8)
    vm_map_lock(map)
    return map, reserved


def marked(map):
    return [one[:2] for one in layout(map) if entry_at(map, one[0]).peek("eflags") & MAP_ENTRY_IN_TRANSITION]


def test_a_range_is_cut_out_and_marked(alone):
    def program(vm):
        map, reserved = locked(vm)
        first = vm_map_clip_range(map, at(3), at(5), reserved, MAP_CLIP_NO_HOLES)
        return first is entry_at(map, 3), marked(map), [one[:2] for one in layout(map)]

    assert (True, [(3, 2)], [(2, 1), (3, 2), (5, 3)]) == alone(program)


def test_several_entries_are_marked(alone):
    def program(vm):
        map, reserved = locked(vm, (2, 2), (4, 2), (6, 2))
        vm_map_clip_range(map, at(3), at(7), reserved, MAP_CLIP_NO_HOLES)
        return marked(map)

    assert [(3, 1), (4, 2), (6, 1)] == alone(program)


@pytest.mark.parametrize(
    ("start", "end", "flags", "left"),
    [
        (1, 3, 0, None),
        (2, 8, MAP_CLIP_NO_HOLES, None),
        (5, 9, MAP_CLIP_NO_HOLES, None),
        (2, 8, 0, [(2, 2), (5, 2)]),
    ],
    ids=["start unmapped", "hole", "end unmapped", "holes allowed"],
)
def test_holes_end_it_unless_they_are_allowed(alone, start, end, flags, left):
    def program(vm):
        map, reserved = locked(vm, (2, 2), (5, 2))
        first = vm_map_clip_range(map, at(start), at(end), reserved, flags)
        return None if first is None else marked(map), marked(map), map.transitions == []

    assert (left, left or [], left is None) == alone(program)


def test_the_end_of_a_transition_joins_what_it_cut(alone):
    def program(vm):
        map, reserved = locked(vm)
        first = vm_map_clip_range(map, at(3), at(5), reserved, MAP_CLIP_NO_HOLES)
        vm_map_unclip_range(map, first, at(3), at(5), reserved, MAP_CLIP_NO_HOLES)
        return marked(map), [one[:2] for one in layout(map)], map.transitions

    assert ([], [(2, 6)], []) == alone(program)


def test_who_finds_a_range_in_transition_waits_and_looks_again(alone):
    def program(vm):
        map, reserved = locked(vm)
        first = vm_map_clip_range(map, at(3), at(5), reserved, MAP_CLIP_NO_HOLES)
        vm_map_unlock(map)
        done = []

        def remover():
            over(vm_map_remove, map, 2, 6)
            done.append(marked(map))

        cpu = vm.machine.spawn(remover)
        while not first.peek("eflags") & MAP_ENTRY_NEEDS_WAKEUP:
            vm.machine.pause()
        before = [*done]
        vm_map_lock(map)
        vm_map_unclip_range(map, first, at(3), at(5), reserved, MAP_CLIP_NO_HOLES)
        vm_map_unlock(map)
        vm.machine.join()
        gd = vm.meter.globaldata[cpu.index]
        return before, done, layout(map), (gd.v_intrans_wait > 0, gd.v_intrans_coll >= gd.v_intrans_wait)

    assert ([], [[]], [], (True, True)) == alone(program)


def test_a_transition_that_nobody_ends_is_waited_for_for_good(sleeps):
    def program(vm):
        map, reserved = locked(vm)
        vm_map_clip_range(map, at(3), at(5), reserved, MAP_CLIP_NO_HOLES)
        vm_map_unlock(map)
        vm.machine.spawn(lambda: over(vm_map_remove, map, 2, 6))
        vm.machine.join()

    assert sleeps(program)


def test_a_wait_announces_the_sleep_before_it_unlocks(steps):
    def prepared(vm):
        return locked(vm)[0], False

    done = steps(prepared, vm_map_transition_wait, ends="deadlock")
    interlock = next(n for n, text in enumerate(done) if "interlock" in text)
    assert interlock < done.index("release map.vm_maplk")


def test_pieces_of_a_marked_entry_are_found_from_either_end(alone):
    def program(vm):
        map, reserved = locked(vm)
        entry = vm_map_clip_range(map, at(3), at(7), reserved, MAP_CLIP_NO_HOLES)
        vm_map_clip_end(map, entry, at(4), reserved)
        vm_map_clip_end(map, entry_at(map, 4), at(5), reserved)
        last = CLIP_CHECK_FWD(map, entry, at(7))
        return (
            last is entry_at(map, 5),
            CLIP_CHECK_BACK(map, last, at(3)) is entry,
            marked(map),
        )

    assert (True, True, [(3, 1), (4, 1), (5, 2)]) == alone(program)


@pytest.mark.parametrize(
    ("check", "page"), [(CLIP_CHECK_FWD, 20), (CLIP_CHECK_BACK, -3)], ids=["forward", "backward"]
)
def test_a_piece_that_is_nowhere_is_a_panic(panic, check, page):
    def program(vm):
        map, _ = locked(vm)
        check(map, entry_at(map, 2), at(page))

    assert "an entry in transition has lost its" in panic(program)


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        (3, 4, "illegal base entry"),
        (2, 8, "in-transition flag not set"),
    ],
)
def test_a_range_that_is_not_in_transition_cannot_end(panic, start, end, message):
    def program(vm):
        map, reserved = locked(vm)
        vm_map_unclip_range(map, entry_at(map, 2), at(start), at(end), reserved, 0)

    assert message in panic(program)


def test_a_transition_ends_with_its_own_entries(panic):
    def program(vm):
        map, reserved = locked(vm)
        first = vm_map_clip_range(map, at(3), at(6), reserved, MAP_CLIP_NO_HOLES)
        vm_map_unclip_range(map, first, at(3), at(5), reserved, 0)

    assert "tail wasn't clipped" in panic(program)


def test_rights_may_be_changed_in_transition(alone):
    def program(vm):
        map, reserved = locked(vm)
        vm_map_clip_range(map, at(3), at(7), reserved, MAP_CLIP_NO_HOLES)
        vm_map_unlock(map)
        over(vm_map_protect, map, 4, 1, 1, False)
        return marked(map)

    assert [(3, 1), (4, 1), (5, 2)] == alone(program)
