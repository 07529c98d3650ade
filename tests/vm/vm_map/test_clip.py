"""Cutting and joining entries: what is covered, what is the same, and in which order."""

from __future__ import annotations

import pytest

from maps import ANON, at, entry_at, floored, layout, new_map, over, put
from vmsmp.vm.vm_map import (
    MAP_ENTRY_IN_TRANSITION,
    MAP_ENTRY_NEEDS_WAKEUP,
    vm_map_clip_end,
    vm_map_clip_start,
    vm_map_entry_allocate_object,
    vm_map_entry_partition,
    vm_map_entry_reserve,
    vm_map_lock,
    vm_map_protect,
    vm_map_simplify_entry,
)
from vmsmp.vm.vm_object import vm_object_allocate
from vmsmp.vm.vm_page import PAGE_SIZE

PARTITION = 32 << 20


def locked(vm, pages=4, what=ANON):
    """A locked map, its entry at page 2 with an object, and a reservation."""
    map = floored(vm)
    if what.object is None:
        what = what._replace(object=vm_object_allocate(vm, 8))
    put(map, 2, pages, what)
    vm_map_lock(map)
    return map, entry_at(map, 2), vm_map_entry_reserve(vm, 4)


def pieces(map):
    return [(one[0], one[1], (entry_at(map, one[0]).ba.offset) // PAGE_SIZE) for one in layout(map)]


def test_cut_at_the_start_the_entry_stays_the_part_behind(alone):
    def program(vm):
        map, entry, reserved = locked(vm)
        vm_map_clip_start(map, entry, at(3), reserved)
        obj = entry.ba.object
        return pieces(map), entry is entry_at(map, 3), obj.peek("ref_count"), len(obj.peek("backing_list"))

    assert ([(2, 1, 0), (3, 3, 1)], True, 2, 2) == alone(program)


def test_cut_at_the_end_the_entry_stays_the_part_before(alone):
    def program(vm):
        map, entry, reserved = locked(vm)
        vm_map_clip_end(map, entry, at(3), reserved)
        return pieces(map), entry is entry_at(map, 2), map.size // PAGE_SIZE

    assert ([(2, 1, 0), (3, 3, 1)], True, 5) == alone(program)


@pytest.mark.parametrize(("clip", "page"), [(vm_map_clip_start, 2), (vm_map_clip_end, 6)])
def test_an_entry_that_fits_is_not_cut(alone, clip, page):
    def program(vm):
        map, entry, reserved = locked(vm)
        clip(map, entry, at(page), reserved)
        return pieces(map)

    assert [(2, 4, 0)] == alone(program)


@pytest.mark.parametrize("clip", [vm_map_clip_start, vm_map_clip_end])
def test_both_parts_are_what_the_entry_was(alone, clip):
    def program(vm):
        map, entry, reserved = locked(vm)
        entry.eflags |= MAP_ENTRY_IN_TRANSITION | MAP_ENTRY_NEEDS_WAKEUP
        entry.wired_count, entry.inheritance, entry.aux = 2, 0, 77
        clip(map, entry, at(4), reserved)
        return [
            tuple(
                getattr(entry_at(map, page), name) for name in ("eflags", "wired_count", "inheritance", "aux")
            )
            for page in (2, 4)
        ]

    assert [(0x300, 2, 0, 77)] * 2 == alone(program)


@pytest.mark.parametrize("clip", [vm_map_clip_start, vm_map_clip_end])
def test_a_part_is_on_the_list_before_the_other_is_cut(steps, clip):
    def prepared(vm):
        map, entry, reserved = locked(vm)
        return map, entry, at(4), reserved

    seen = [text for text in steps(prepared, clip) if "baclk" in text or ".start" in text or ".end" in text]
    assert ["request obj[0].baclk", "release obj[0].baclk", "request obj[0].baclk"] == seen[:3]
    assert 1 == len([text for text in seen[3:] if text.startswith("store ")])


def test_memory_without_an_object_gets_one_before_it_is_cut(alone):
    def program(vm):
        map = floored(vm)
        put(map, 2, 4)
        over(vm_map_protect, map, 3, 1, 1, False)
        return layout(map)

    assert [(2, 1, 3, True), (3, 1, 1, True), (4, 2, 3, True)] == alone(program)


def test_kernel_addresses_are_cut_without_an_object(alone):
    def program(vm):
        map = floored(vm)
        map.system_map = 1
        put(map, 2, 4)
        over(vm_map_protect, map, 3, 1, 1, False)
        return [entry[3] for entry in layout(map)]

    assert [False, False, False] == alone(program)


def test_memory_of_several_partitions_is_cut_without_an_object(alone):
    def program(vm):
        map = new_map(vm, 3 * PARTITION // PAGE_SIZE)
        put(map, 0, 2 * PARTITION // PAGE_SIZE)
        over(vm_map_protect, map, 1, 1, 1, False)
        return [entry[3] for entry in layout(map)]

    assert [False, False, False] == alone(program)


def test_an_entry_is_cut_down_to_its_partition(alone):
    def program(vm):
        map = new_map(vm, 4 * PARTITION // PAGE_SIZE)
        put(map, 0, 3 * PARTITION // PAGE_SIZE)
        vm_map_lock(map)
        entry = entry_at(map, 0)
        vm_map_entry_partition(map, entry, PARTITION + 4096, vm_map_entry_reserve(vm, 4))
        return (entry.ba.start, entry.ba.end), map.nentries

    assert ((PARTITION, 2 * PARTITION), 3) == alone(program)


def test_an_entry_s_object_is_as_large_as_it_and_can_be_seen_before_it_is_listed(steps, alone):
    def prepared(vm):
        map = floored(vm)
        put(map, 2, 3)
        vm_map_lock(map)
        return (entry_at(map, 2),)

    done = steps(prepared, vm_map_entry_allocate_object)
    assert next(text for text in done if ".object" in text or "baclk" in text).endswith(".object")

    def program(vm):
        (entry,) = prepared(vm)
        vm_map_entry_allocate_object(entry)
        return entry.ba.object.peek("size"), entry.ba.offset

    assert (3, 0) == alone(program)


def joined(vm, change=lambda *_: None, page=3):
    """What is left of three parts of an entry after the one at that page is simplified."""
    map, entry, reserved = locked(vm, 3)
    vm_map_clip_end(map, entry, at(3), reserved)
    vm_map_clip_end(map, entry_at(map, 3), at(4), reserved)
    change(entry_at(map, 2), entry_at(map, 3), entry_at(map, 4))
    middle = entry_at(map, page)
    vm_map_simplify_entry(map, middle, reserved)
    return pieces(map), middle.linked, reserved.count, len(middle.ba.object.peek("backing_list"))


def test_parts_are_joined_into_the_one_that_was_asked(alone):
    assert ([(2, 3, 0)], True, 4, 1) == alone(joined)


@pytest.mark.parametrize(("page", "left"), [(2, [(2, 2, 0), (4, 1, 2)]), (4, [(2, 1, 0), (3, 2, 1)])])
def test_only_neighbours_are_joined(alone, page, left):
    assert left == alone(lambda vm: joined(vm, page=page))[0]


@pytest.mark.parametrize(
    ("name", "value"),
    [("eflags", 1), ("protection", 1), ("inheritance", 0), ("wired_count", 1), ("id", 7)],
)
def test_parts_that_differ_stay_apart(alone, name, value):
    def change(one, middle, other):
        setattr(middle, name, value)

    assert [(2, 1, 0), (3, 1, 1), (4, 1, 2)] == alone(lambda vm: joined(vm, change))[0]


def test_parts_with_other_limits_stay_apart(alone):
    def change(one, middle, other):
        middle.max_protection.store(1)

    assert 3 == len(alone(lambda vm: joined(vm, change))[0])


def test_an_entry_in_transition_is_not_joined_but_counted(alone):
    def program(vm):
        def change(one, middle, other):
            for entry in (one, middle, other):
                entry.eflags |= MAP_ENTRY_IN_TRANSITION

        left = joined(vm, change)[0]
        return len(left), vm.mycpu().v_intrans_coll

    assert (3, 1) == alone(program)


def test_memory_without_an_object_is_joined_and_begins_at_0(alone):
    def program(vm):
        map = floored(vm)
        map.system_map = 1
        put(map, 2, 3)
        over(vm_map_protect, map, 3, 2, 1, False)
        over(vm_map_protect, map, 3, 2, 3, False)
        return layout(map), entry_at(map, 2).ba.offset

    assert ([(2, 3, 3, False)], 0) == alone(program)


def test_joining_the_first_entry_with_the_next_follows_a_null_pointer(panic):
    def program(vm):
        map = new_map(vm)
        put(map, 0, 2)
        over(vm_map_protect, map, 0, 1, 1, False)
        over(vm_map_protect, map, 0, 1, 3, False)

    assert "vm_map_simplify_entry: page fault, prev is NULL" == panic(program)
