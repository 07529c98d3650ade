"""Chains of backings: references and lists, copies, moves and ends."""

from __future__ import annotations

import pytest

from maps import ANON, at, entry_at, floored, put
from vmsmp.vm.vm_map import (
    MAP_BACK_BASEOBJREFD,
    MAP_BACK_CLIPPED,
    UKSMAPOP_ADD,
    UKSMAPOP_REM,
    VM_MAPTYPE_UKSMAP,
    Mapping,
    vm_map_backing_adjust_end,
    vm_map_backing_adjust_start,
    vm_map_backing_replicated,
    vm_map_entry_create,
    vm_map_entry_delete,
    vm_map_entry_dispose,
    vm_map_entry_reserve,
    vm_map_find,
    vm_map_lock,
    vm_map_remove,
)
from vmsmp.vm.vm_map.backing import copy_entry
from vmsmp.vm.vm_map.supply import new_backing
from vmsmp.vm.vm_object import OBJ_ONEMAPPING, vm_object_allocate
from vmsmp.vm.vm_page import PAGE_SIZE


def chained(vm):
    """A locked map with an entry of four pages whose chain has two elements, at pages 1 and 5 of objects."""
    map = floored(vm)
    head, below = vm_object_allocate(vm, 8), vm_object_allocate(vm, 12)
    put(map, 4, 4, ANON._replace(object=head, offset=PAGE_SIZE))
    entry = entry_at(map, 4)
    vm_map_lock(map)
    ba = new_backing(map)
    ba.start, ba.end, ba.offset, ba.pmap, ba.object = at(4), at(8), 5 * PAGE_SIZE, map.pmap, below
    ba.backing_ba, ba.backing_count = None, 0
    entry.ba.backing_ba, entry.ba.backing_count = ba, 1
    below.backing_lk.acquire()
    below.backing_list.append(ba)
    below.backing_lk.release()
    ba.listed = below
    return map, entry, head, below


def copied(map, entry):
    reserved = vm_map_entry_reserve(map.vm, 4)
    new = vm_map_entry_create(map, reserved)
    copy_entry(new, entry)
    return new, reserved


def test_a_copy_owns_its_chain_and_a_reference_of_each_element(alone):
    def program(vm):
        map, entry, head, below = chained(vm)
        new, _ = copied(map, entry)
        vm_map_backing_replicated(map, new, 0)
        return (
            new.ba.backing_ba is not entry.ba.backing_ba,
            [obj.peek("ref_count") for obj in (head, below)],
            [len(obj.peek("backing_list")) for obj in (head, below)],
            [bool(obj.peek("flags") & OBJ_ONEMAPPING) for obj in (head, below)],
        )

    assert (True, [2, 2], [2, 2], [False, False]) == alone(program)


@pytest.mark.parametrize(
    ("flags", "refs", "onemapping"),
    [(MAP_BACK_BASEOBJREFD, [1, 2], [True, False]), (MAP_BACK_CLIPPED, [2, 2], [True, True])],
)
def test_the_flags_of_a_copy_say_whose_the_reference_is_and_whether_more_is_mapped(
    alone, flags, refs, onemapping
):
    def program(vm):
        map, entry, head, below = chained(vm)
        vm_map_backing_replicated(map, copied(map, entry)[0], flags)
        objects = (head, below)
        return (
            [obj.peek("ref_count") for obj in objects],
            [bool(obj.peek("flags") & OBJ_ONEMAPPING) for obj in objects],
        )

    assert (refs, onemapping) == alone(program)


def test_a_copy_of_another_part_moves_the_whole_chain(alone):
    def program(vm):
        map, entry, _, _ = chained(vm)
        new, _ = copied(map, entry)
        new.ba.start = at(6)
        new.ba.offset += 2 * PAGE_SIZE
        vm_map_backing_replicated(map, new, MAP_BACK_CLIPPED)
        return [(ba.start, ba.end, ba.offset // PAGE_SIZE) for ba in new.chain()]

    assert [(at(6), at(8), 3), (at(6), at(8), 7)] == alone(program)


def test_the_start_of_a_chain_moves_with_its_offsets_and_the_end_without(alone):
    def program(vm):
        _, entry, _, _ = chained(vm)
        vm_map_backing_adjust_start(entry, at(5))
        vm_map_backing_adjust_end(entry, at(7))
        return [(ba.start, ba.end, ba.offset // PAGE_SIZE) for ba in entry.chain()]

    assert [(at(5), at(7), 2), (at(5), at(7), 6)] == alone(program)


def test_each_element_moves_in_one_section_of_its_list(steps):
    def prepared(vm):
        return chained(vm)[1], at(5)

    assert [
        "request obj[0].baclk",
        "store ba[384].start",
        "release obj[0].baclk",
        "request obj[1].baclk",
        "store ba[512].start",
        "release obj[1].baclk",
    ] == steps(prepared, vm_map_backing_adjust_start)


def test_the_end_of_an_entry_gives_back_what_its_chain_had(alone):
    def program(vm):
        map, entry, head, below = chained(vm)
        reserved = vm_map_entry_reserve(vm, 4)
        size = map.size
        vm_map_entry_delete(map, entry, reserved)
        return (
            (head.freed, below.freed),
            (map.nentries, size - map.size),
            all(thing.freed for thing in (entry, *entry.chain())),
            reserved.count,
        )

    assert ((True, True), (1, 4 * PAGE_SIZE), True, 5) == alone(program)


def test_disposing_of_an_entry_leaves_the_map_alone(alone):
    def program(vm):
        map, entry, head, _ = chained(vm)
        new, reserved = copied(map, entry)
        vm_map_backing_replicated(map, new, 0)
        vm_map_entry_dispose(new, reserved)
        return head.peek("ref_count"), len(head.peek("backing_list")), map.nentries

    assert (1, 1, 2) == alone(program)


def test_a_device_is_told_of_its_mappings(alone):
    def program(vm):
        told = []

        class Dev:
            minor = 5

        def uksmap(ba, op, dev, fake):
            told.append((op, dev.minor, ba.peek("aux_info"), fake))

        map = floored(vm)
        what = Mapping(uksmap, aux=Dev, maptype=VM_MAPTYPE_UKSMAP, prot=3, max=7)
        vm_map_find(map, at(2), PAGE_SIZE, PAGE_SIZE, False, what)
        vm_map_remove(map, at(2), at(3))
        return told, vm.mycpu().proc

    told, proc = alone(program)
    assert [(UKSMAPOP_ADD, 5, proc, None), (UKSMAPOP_REM, 5, proc, None)] == told
