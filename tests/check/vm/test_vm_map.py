"""The rules of maps: each is broken once, and said so."""

from __future__ import annotations

import pytest

import vmsmp
from maps import ANON, at, entry_at, floored, put, touch
from vmsmp.vm.pmap import pmap_remove
from vmsmp.vm.vm_map import (
    MAP_CLIP_NO_HOLES,
    MAP_ENTRY_COW,
    MAP_ENTRY_IN_TRANSITION,
    MAP_ENTRY_NEEDS_COPY,
    MAP_ENTRY_NEEDS_WAKEUP,
    MAP_ENTRY_STACK,
    MAP_ENTRY_USER_WIRED,
    VM_PROT_READ,
    vm_map_clip_range,
    vm_map_entry_create,
    vm_map_entry_release,
    vm_map_entry_reserve,
    vm_map_freehint_update,
    vm_map_lock,
    vm_map_unlock,
)
from vmsmp.vm.vm_map.backing import vm_map_backing_detach
from vmsmp.vm.vm_map.supply import free_record, new_backing
from vmsmp.vm.vm_object import vm_object_allocate
from vmsmp.vm.vm_page import PAGE_SIZE

UNCOPIED = MAP_ENTRY_COW | MAP_ENTRY_NEEDS_COPY


def told(wrong):
    """What is said of a map after `wrong(map, entry)` was done to it in an exclusive section."""

    def program(m):
        vm = m.boot(pages=8, l2_size=1)
        map = floored(vm)
        put(map, 2, 2, ANON._replace(object=vm_object_allocate(vm, 2)))
        put(map, 6, 1)
        touch(map, 2)
        entry = entry_at(map, 2)

        def changer():
            vm_map_lock(map)
            wrong(map, entry)
            vm_map_unlock(map)

        m.spawn(changer)
        m.join()

    failure = vmsmp.explore(program, sched="dfs:0", schedules=1).failure
    return failure and (failure.kind, failure.message)


def test_what_is_right_is_not_complained_about():
    assert None is told(lambda map, entry: None)


@pytest.mark.parametrize(("page", "pages"), [(1, 1), (4, 2), (7, 3)])
def test_a_promise_that_is_kept_is_not_complained_about(page, pages):
    assert None is told(lambda map, entry: promise(map, page, pages))


def test_the_room_of_a_stack_is_no_hole():
    def program(map, entry):
        mark(entry, MAP_ENTRY_STACK)
        entry.aux = PAGE_SIZE
        promise(map, 4, 1)

    assert None is told(program)


def test_a_search_that_began_in_the_middle_promises_nothing():
    assert None is told(lambda map, entry: vm_map_freehint_update(map, at(9), PAGE_SIZE, PAGE_SIZE))


def unmap(map):
    pmap_remove(map.pmap, map.min_addr, map.max_addr)


def moved(map, entry, **bounds):
    unmap(map)
    entry.ba.object.backing_lk.acquire()
    for name, value in bounds.items():
        setattr(entry.ba, name, value)
    entry.ba.object.backing_lk.release()


def mark(entry, bits):
    entry.eflags |= bits


def count(map, name, n):
    setattr(map, name, getattr(map, name) + n)


def grown_too_far(map, entry):
    mark(entry, MAP_ENTRY_STACK)
    entry.aux = -PAGE_SIZE


def promise(map, page, pages):
    vm_map_freehint_update(map, at(page), pages * PAGE_SIZE, PAGE_SIZE, whole=True)


def range_of_two(map, entry):
    reserved = vm_map_entry_reserve(map.vm, 4)
    vm_map_clip_range(map, at(2), at(4), reserved, MAP_CLIP_NO_HOLES)
    map.transitions.append(map.transitions[0])


def forgotten_mark(map, entry):
    reserved = vm_map_entry_reserve(map.vm, 4)
    vm_map_clip_range(map, at(2), at(4), reserved, MAP_CLIP_NO_HOLES)
    entry.eflags &= ~MAP_ENTRY_IN_TRANSITION


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda map, entry: moved(map, entry, end=at(3) + 1), "INV-M1: map: an entry does not begin and end"),
        (lambda map, entry: moved(map, entry, end=at(7)), "INV-M1: map: its entries are out of order"),
        (lambda map, entry: moved(map, entry, end=at(99)), "INV-M1: map: its entries are out of order"),
        (lambda map, entry: count(map, "nentries", 1), "INV-M1: map: it counts 4 entries and has 3"),
        (lambda map, entry: count(map, "size", PAGE_SIZE), "INV-M8: map: its size is 0x5000"),
        (lambda map, entry: count(map, "timestamp", -1), "INV-M9: map: an exclusive section ends"),
        (
            lambda map, entry: mark(entry, MAP_ENTRY_NEEDS_WAKEUP),
            "INV-M3: map: an entry is waited for and not in transition",
        ),
        (
            lambda map, entry: mark(entry, MAP_ENTRY_IN_TRANSITION),
            "INV-M2: map: there is a range in transition, which is nobody's",
        ),
        (
            lambda map, entry: mark(entry, MAP_ENTRY_USER_WIRED),
            "INV-M4: map: an entry is wired for a user, and that is not counted",
        ),
        (grown_too_far, "INV-M13: map: a stack has grown beyond the room that it had"),
        (
            lambda map, entry: promise(map, 7, 2),
            "INV-M10: map: a search would begin behind a hole that it wants",
        ),
        (
            lambda map, entry: vm_map_freehint_update(map, at(9), 0, 0, whole=True),
            "INV-M10: map: a search would begin behind a hole that it wants",
        ),
        (
            lambda map, entry: setattr(entry_at(map, 6).ba, "object", map),
            "INV-B1: map: an element of a chain is 0 times on its object's list",
        ),
        (range_of_two, "INV-M2: map: an entry is in transition for two CPUs at once"),
        (forgotten_mark, "INV-M2: map: there is a range in transition, and an entry of it is not marked so"),
        (
            lambda map, entry: moved(map, entry, offset=PAGE_SIZE // 2),
            "INV-B2: map: an element of a chain is another pmap's, or not at a page",
        ),
        (
            lambda map, entry: setattr(entry.ba, "backing_count", 1),
            "INV-B4: map: an element of a chain counts 1 below it, of 0",
        ),
        (
            lambda map, entry: (unmap(map), vm_map_backing_detach(entry, entry.ba)),
            "INV-B1: map: an element of a chain is 0 times on its object's list",
        ),
        (
            lambda map, entry: mark(entry_at(map, 6), UNCOPIED),
            "INV-M5: map: an entry without an object needs a copy of it",
        ),
        (
            lambda map, entry: (unmap(map), mark(entry, MAP_ENTRY_NEEDS_COPY)),
            "INV-M5: map: an entry needs a copy, and is not copied on write",
        ),
        (
            lambda map, entry: entry.max_protection.store(VM_PROT_READ),
            "INV-M7: map: an entry gives a right that it may never give",
        ),
        (
            lambda map, entry: setattr(entry.ba.object, "raw_size", 1),
            "INV-B7: map: an entry reaches beyond the end of its anonymous object",
        ),
    ],
    ids=[
        "page",
        "overlap",
        "bounds",
        "count",
        "size",
        "timestamp",
        "wakeup",
        "nobody",
        "wired",
        "stack",
        "hint",
        "hint of nothing",
        "object that is none",
        "two",
        "mark",
        "offset",
        "chain",
        "list",
        "copy of nothing",
        "copy not on write",
        "a right too many",
        "too small",
    ],
)
def test_a_broken_rule_is_named(wrong, message):
    kind, said = told(wrong)
    assert ("accounting", message) == (kind, said[: len(message)])


def test_a_mapping_that_a_scan_would_miss_is_seen_when_the_list_is_free_again():
    kind, said = told(lambda map, entry: vm_map_backing_detach(entry, entry.ba))
    expected = "INV-B5: obj: a page of it is mapped where no backing on its list says it is"
    assert ("accounting", expected) == (kind, said)


def test_keys_out_of_order_are_seen_at_once():
    def wrong(map, entry):
        entry.ba.object.backing_lk.acquire()
        entry.ba.publish("start", at(7))
        entry.ba.object.backing_lk.release()

    assert ("accounting", "INV-M1: ba: the starts of entries in the tree are out of order") == told(wrong)


def test_an_entry_in_the_tree_is_not_freed():
    said = told(lambda map, entry: free_record(entry))
    assert ("accounting", "INV-M14: entry: it is freed, and linked or freed already") == said


def test_a_backing_on_a_list_is_not_freed():
    said = told(lambda map, entry: free_record(entry.ba))
    assert ("accounting", "INV-M14: ba: it is freed, and listed or freed already") == said


def test_a_reservation_is_given_back():
    kind, said = told(lambda map, entry: vm_map_entry_reserve(map.vm, 1))
    assert ("leak", "INV-M15: gd_vme: a reservation of its entries was never given back") == (kind, said)


def test_an_entry_is_in_a_map_or_given_back():
    def wrong(map, entry):
        reserved = vm_map_entry_reserve(map.vm, 1)
        vm_map_entry_create(map, reserved)
        vm_map_entry_release(map.vm, reserved)

    assert ("leak", "INV-M15: entry: it is in no map, and was not given back") == told(wrong)


def test_an_element_is_in_a_chain_or_given_back():
    said = told(lambda map, entry: new_backing(map))
    assert ("leak", "INV-M15: ba: it is in no entry's chain, and was not given back") == said


def test_entries_are_not_lost():
    def wrong(map, entry):
        map.vm.map.supply().gd_vme_base -= 1

    assert ("accounting", "INV-M15: gd_vme: it has -1 entries that nobody accounts for") == told(wrong)
