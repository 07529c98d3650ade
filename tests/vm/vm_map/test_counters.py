"""Counting the swap and the anonymous memory of an address space."""

from __future__ import annotations

import pytest

from vmsmp.vm import vm_map as v
from vmsmp.vm.vm_map import counters
from vmsmp.vm.vm_object import OBJT_SWAP, OBJT_VNODE, vm_object_allocate, vm_object_drop, vm_object_hold

COUNTS = pytest.mark.parametrize("count", [v.vmspace_anonymous_count, v.vmspace_swap_count])


def mapped(vm, *objects, page_on=None):
    """An address space that maps objects of four pages, each with a page of its own."""
    vmspace = v.vmspace_alloc(vm, 0, 1 << 30)
    for n, obj in enumerate(objects):
        if obj is not None:
            page_on(vm, "none", obj, n)
        what = v.Mapping(object=obj, prot=3, max=7, id=n)
        v.vm_map_find(vmspace.vm_map, 0x10000 * (n + 1), 0x4000, 4096, False, what)
    return vmspace


def swapped(vm, blocks):
    """An object with that many blocks of swap."""
    obj = vm_object_allocate(vm, 4, objt=OBJT_SWAP)
    vm_object_hold(obj)
    obj.swblock_count = blocks
    vm_object_drop(obj)
    return obj


@COUNTS
def test_an_empty_address_space_has_nothing(alone, count):
    assert 0 == alone(lambda vm: count(v.vmspace_alloc(vm, 0, 1 << 30)))


def test_pages_of_anonymous_memory_are_counted_and_no_others(alone, page_on):
    def program(vm):
        anonymous = vm_object_allocate(vm, 4)
        file = vm_object_allocate(vm, 4, objt=OBJT_VNODE)
        return v.vmspace_anonymous_count(mapped(vm, anonymous, file, None, page_on=page_on))

    assert 1 == alone(program)


@pytest.mark.parametrize(("blocks", "pages"), [(0, 0), (1, 17), (2, 33)])
def test_blocks_of_swap_are_counted_by_the_entry_s_part_of_the_object(alone, page_on, blocks, pages):
    def program(vm):
        return v.vmspace_swap_count(mapped(vm, swapped(vm, blocks), page_on=page_on))

    assert pages == alone(program)


@COUNTS
def test_a_count_holds_the_address_space_and_takes_the_token_alone(steps, count):
    def prepare(vm):
        return [v.vmspace_alloc(vm, 0, 1 << 30)]

    rows = steps(prepare, count)
    assert ["fetchadd", "acquire", "load", "release", "fetchadd"] == [row.split()[0] for row in rows]


def test_a_walk_goes_on_behind_an_entry_that_has_left(alone):
    def program(vm):
        vmspace = mapped(vm, None, None, None)
        walk = iter(counters.entries_unlocked(vmspace.vm_map))
        first = next(walk).name
        v.vm_map_remove(vmspace.vm_map, 0x20000, 0x24000)
        return first, [entry.name for entry in walk], [entry.name for entry in vmspace.vm_map.peek("rb_root")]

    first, rest, left = alone(program)
    assert [first, *rest] == left
