"""Removing ranges: what is cut, what is freed, and what is left to others."""

from __future__ import annotations

import pytest

from maps import ANON, at, entry_at, floored, layout, mapped, over, put, touch
from vmsmp.vm.vm_map import (
    KERN_SUCCESS,
    vm_map_freehint_find,
    vm_map_freehint_update,
    vm_map_inherit,
    vm_map_init,
    vm_map_lock,
    vm_map_remove,
    vm_map_submap,
    vm_map_unlock,
    vm_map_user_wiring,
)
from vmsmp.vm.vm_object import vm_object_allocate, vm_object_reference_quick
from vmsmp.vm.vm_page import PAGE_SIZE
from vmsmp.vm.vm_pager import vnode_pager_alloc
from vmsmp.vm.vnode import getnewvnode


@pytest.mark.parametrize(
    ("first", "pages", "left"),
    [
        (2, 4, []),
        (1, 30, []),
        (3, 2, [(2, 1), (5, 1)]),
        (2, 1, [(3, 3)]),
        (4, 9, [(2, 2)]),
        (8, 2, [(2, 4)]),
    ],
)
def test_a_range_is_removed_and_the_rest_left(alone, first, pages, left):
    def program(vm):
        map = floored(vm)
        put(map, 2, 4)
        code = over(vm_map_remove, map, first, pages)
        size = sum(pages for _, pages in [one[:2] for one in layout(map)]) + 1
        return code, [one[:2] for one in layout(map)], map.peek("size") == size * PAGE_SIZE

    assert (KERN_SUCCESS, left, True) == alone(program)


def test_pages_and_mappings_of_a_part_go_with_it(alone):
    def program(vm):
        map = floored(vm)
        put(map, 2, 4)
        for page in range(2, 6):
            touch(map, page)
        obj = entry_at(map, 2).ba.peek("object")
        over(vm_map_remove, map, 4, 2)
        return mapped(map), [*obj.peek("rb_memq")], obj.peek("size")

    assert ([at(2), at(3)], [0, 1], 2) == alone(program)


def test_pages_stay_that_others_may_map(alone):
    def program(vm):
        map = floored(vm)
        put(map, 2, 2)
        put(map, 4, 1, ANON._replace(prot=1))
        for page in (2, 3):
            touch(map, page)
        put(map, 8, 1)
        obj = entry_at(map, 2).ba.peek("object")
        vm_object_reference_quick(obj)
        put(map, 12, 2, ANON._replace(object=obj))
        over(vm_map_remove, map, 3, 1)
        return [*obj.peek("rb_memq")], len(mapped(map))

    assert ([0, 1], 1) == alone(program)


def test_the_last_part_takes_the_object_with_it(alone):
    def program(vm):
        map = floored(vm)
        obj = vm_object_allocate(vm, 2)
        put(map, 2, 2, ANON._replace(object=obj))
        touch(map, 2)
        over(vm_map_remove, map, 2, 2)
        return obj.freed, mapped(map)

    assert (True, []) == alone(program)


def test_pages_of_a_file_stay(alone):
    def program(vm):
        map = floored(vm)
        obj = vnode_pager_alloc(getnewvnode(vm, "file"), 2 * PAGE_SIZE)
        put(map, 2, 2, ANON._replace(object=obj))
        touch(map, 2)
        over(vm_map_remove, map, 2, 2)
        return [*obj.peek("rb_memq")], mapped(map), obj.peek("ref_count")

    assert ([0], [], 0) == alone(program)


def test_pages_of_the_kernel_s_object_go_with_their_addresses(alone):
    def program(vm):
        map = floored(vm)
        obj = vm.objects.kernel_object
        vm_object_reference_quick(obj)
        put(map, 2, 2, ANON._replace(object=obj, offset=at(2)))
        touch(map, 3)
        there = [*obj.peek("rb_memq")]
        over(vm_map_remove, map, 2, 2)
        return there, [*obj.peek("rb_memq")], obj.peek("ref_count")

    assert ([at(3) // PAGE_SIZE], [], 1) == alone(program)


def test_a_wired_range_can_be_removed(alone):
    def program(vm):
        map = floored(vm)
        put(map, 2, 2)
        over(vm_map_user_wiring, map, 2, 2, False)
        wired = entry_at(map, 2).peek("wired_count")
        over(vm_map_remove, map, 2, 2)
        return wired, layout(map)

    assert (1, []) == alone(program)


@pytest.mark.parametrize(
    ("ranges", "removed", "hint"),
    [
        (((2, 2), (6, 1)), (2, 2), 2),
        (((2, 2), (6, 1)), (4, 3), 4),
        (((2, 2),), (4, 3), 2),
        ((), (4, 3), 0),
        (((2, 2), (6, 1)), (7, 1), 6),
    ],
    ids=["an entry", "from a hole on", "behind the last", "behind the floor", "nothing"],
)
def test_searches_begin_where_the_hole_does(alone, ranges, removed, hint):
    def program(vm):
        map = floored(vm)
        for page, pages in ranges:
            put(map, page, pages, ANON._replace(id=10 + page))
        vm_map_lock(map)
        vm_map_freehint_update(map, at(20), PAGE_SIZE, PAGE_SIZE)
        vm_map_unlock(map)
        over(vm_map_remove, map, *removed)
        return vm_map_freehint_find(map, PAGE_SIZE, PAGE_SIZE)

    assert at(hint) == alone(program)


def test_mappings_go_before_entries_and_entries_before_the_next_entry(steps):
    def prepared(vm):
        map = floored(vm)
        put(map, 2, 2, ANON._replace(object=vm_object_allocate(vm, 2)))
        touch(map, 2)
        return map, at(2), at(4)

    def told(text):
        return text.startswith("swap table[") or text in ("store map.rb_root", "release obj[0].baclk")

    done = [text for text in steps(prepared, vm_map_remove, pages=16) if told(text)]
    assert ["swap", "store", "release"] == [text.split()[0] for text in done[:3]]


def test_removing_what_others_inherit_otherwise_is_the_same(alone):
    def program(vm):
        map = floored(vm)
        put(map, 2, 4)
        over(vm_map_inherit, map, 3, 1, 0)
        over(vm_map_remove, map, 2, 4)
        return layout(map)

    assert [] == alone(program)


def test_a_submap_is_never_removed(panic):
    def program(vm):
        map = floored(vm)
        put(map, 2, 2)
        over(vm_map_submap, map, 2, 2, vm_map_init(vm, at(2), at(4), map.pmap, "inner"))
        over(vm_map_remove, map, 1, 4)

    assert "vm_map_delete: page fault: the submap of an entry is taken for an object" == panic(program)
