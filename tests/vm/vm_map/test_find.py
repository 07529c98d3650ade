"""Finding room: where a search begins and ends, alignments, and what is remembered."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from maps import ANON, at, entry_at, floored, new_map, put
from vmsmp.vm.vm_map import (
    COWF_32BIT,
    COWF_IS_STACK,
    KERN_NO_SPACE,
    KERN_SUCCESS,
    MAP_32BIT,
    MAP_TRYFIXED,
    VM_MAPTYPE_UKSMAP,
    Mapping,
    vm_map_find,
    vm_map_findspace,
    vm_map_freehint_find,
    vm_map_freehint_hole,
    vm_map_freehint_update,
    vm_map_hint,
    vm_map_init,
    vm_map_lock,
    vm_map_remove,
)
from vmsmp.vm.vm_page import PAGE_SIZE


def found(vm, start, pages, align=PAGE_SIZE, flags=0):
    """Where there is room in a map with pages 0, 3 and 4 taken, of 8."""
    map = floored(vm, 8)
    put(map, 3, 2)
    vm_map_lock(map)
    return vm_map_findspace(map, start, pages * PAGE_SIZE, align, flags)


@pytest.mark.parametrize(
    ("start", "pages", "page"),
    [(0, 1, 1), (0, 2, 1), (0, 3, 5), (2, 1, 2), (2, 2, 5), (4, 1, 5), (7, 1, 7)],
)
def test_the_first_hole_that_is_large_enough_is_found(alone, start, pages, page):
    assert at(page) == alone(lambda vm: found(vm, at(start), pages))


@pytest.mark.parametrize(("start", "pages"), [(0, 4), (6, 3), (9, 1)])
def test_where_there_is_no_room_none_is_found(alone, start, pages):
    assert None is alone(lambda vm: found(vm, at(start), pages))


@pytest.mark.parametrize(
    ("align", "page"), [(1, 1), (2 * PAGE_SIZE, 2), (4 * PAGE_SIZE, None), (3 * PAGE_SIZE, 2)]
)
def test_room_is_aligned(alone, align, page):
    assert (None if page is None else at(page)) == alone(lambda vm: found(vm, 0, 1, align))


def test_room_below_a_stack_is_left_to_it_unless_the_place_was_chosen(alone):
    def program(vm):
        map = floored(vm, 8)
        put(map, 6, 1, ANON._replace(cow=COWF_IS_STACK))
        vm_map_lock(map)
        entry_at(map, 6).aux = 3 * PAGE_SIZE
        return [
            vm_map_findspace(map, at(1), 2 * PAGE_SIZE, PAGE_SIZE),
            *(
                vm_map_findspace(map, at(2), pages * PAGE_SIZE, 1, flags)
                for pages, flags in ((3, 0), (3, MAP_TRYFIXED))
            ),
        ]

    assert [at(1), None, at(2)] == alone(program)


def test_a_search_begins_where_the_last_one_like_it_ended(alone):
    def program(vm):
        map = floored(vm, 8)
        vm_map_lock(map)
        vm_map_freehint_update(map, at(5), PAGE_SIZE, PAGE_SIZE)
        return [
            vm_map_findspace(map, at(1), PAGE_SIZE, PAGE_SIZE),
            vm_map_findspace(map, at(1), 2 * PAGE_SIZE, PAGE_SIZE),
            vm_map_findspace(map, at(1), PAGE_SIZE, 1),
        ]

    assert [at(5), at(1), at(1)] == alone(program)


def test_a_hole_takes_searches_back_that_it_might_satisfy(alone):
    def program(vm):
        map = new_map(vm)
        vm_map_lock(map)
        for pages in (1, 2, 3):
            vm_map_freehint_update(map, at(20), pages * PAGE_SIZE, PAGE_SIZE)
        vm_map_freehint_hole(map, at(4), 2 * PAGE_SIZE)
        return [vm_map_freehint_find(map, pages * PAGE_SIZE, PAGE_SIZE) for pages in (1, 2, 3, 4)]

    assert [at(4), at(4), at(20), 0] == alone(program)


def test_four_kinds_of_searches_are_remembered(alone):
    def program(vm):
        map = new_map(vm)
        vm_map_lock(map)
        for pages in range(1, 6):
            vm_map_freehint_update(map, at(pages), pages * PAGE_SIZE, PAGE_SIZE)
        return [vm_map_freehint_find(map, pages * PAGE_SIZE, PAGE_SIZE) for pages in range(1, 6)]

    assert [0, at(2), at(3), at(4), at(5)] == alone(program)


def test_a_removed_range_is_found_again(alone):
    def program(vm):
        map = floored(vm, 4)
        first = [vm_map_find(map, at(0), PAGE_SIZE, PAGE_SIZE, True, ANON)[1] for _ in range(3)]
        full = vm_map_find(map, at(0), PAGE_SIZE, PAGE_SIZE, True, ANON)[0]
        vm_map_remove(map, at(2), at(3))
        return first, full, vm_map_find(map, at(0), PAGE_SIZE, PAGE_SIZE, True, ANON)

    assert ([at(1), at(2), at(3)], KERN_NO_SPACE, (KERN_SUCCESS, at(2))) == alone(program)


def test_addresses_of_32_bits_end_below_4_gigabytes_and_use_no_hint(alone):
    def program(vm):
        map = vm_map_init(vm, 0, 1 << 40, vm.pmap.make("pmap"), "map")
        vm_map_lock(map)
        vm_map_freehint_update(map, 1 << 33, PAGE_SIZE, PAGE_SIZE)
        return (
            vm_map_findspace(map, 0, PAGE_SIZE, PAGE_SIZE, MAP_32BIT),
            vm_map_findspace(map, (1 << 32) - PAGE_SIZE, PAGE_SIZE, PAGE_SIZE, MAP_32BIT),
            vm_map_findspace(map, (1 << 32) - PAGE_SIZE, 2 * PAGE_SIZE, PAGE_SIZE, MAP_32BIT),
        )

    assert (0, (1 << 32) - PAGE_SIZE, None) == alone(program)


def test_a_mapping_of_32_bits_is_found_there(alone):
    def program(vm):
        map = vm_map_init(vm, 0, 1 << 40, vm.pmap.make("pmap"), "map")
        what = ANON._replace(cow=COWF_32BIT)
        return vm_map_find(map, 1 << 32, PAGE_SIZE, PAGE_SIZE, True, what)[0]

    assert KERN_NO_SPACE == alone(program)


def test_the_kernel_s_page_tables_grow_with_its_map(alone):
    def program(vm):
        map = vm.map.kernel_map
        vm_map_find(map, 0, 5 << 20, PAGE_SIZE, True, ANON)
        return vm.pmap.kernel_vm_end - map.min_addr, vm.sysctl["vm.kvm_size"] - vm.sysctl["vm.kvm_free"]

    assert (6 << 20, 6 << 20) == alone(program)


@pytest.mark.parametrize(("minor", "whose"), [(5, "proc"), (6, None), (7, "lwp")])
def test_a_device_s_mapping_is_a_process_s_nobody_s_or_a_thread_s(alone, minor, whose):
    def program(vm):
        map = floored(vm)
        what = Mapping(
            lambda *_: None, aux=SimpleNamespace(minor=minor), maptype=VM_MAPTYPE_UKSMAP, prot=1, max=1
        )
        vm_map_find(map, at(2), PAGE_SIZE, PAGE_SIZE, False, what)
        gd = vm.mycpu()
        return entry_at(map, 2).ba.peek("aux_info") is {"proc": gd.proc, "lwp": gd.lwp, None: None}[whose]

    assert alone(program)


def test_a_device_is_not_mapped_without_its_function(panic):
    def program(vm):
        vm_map_find(floored(vm), at(2), PAGE_SIZE, PAGE_SIZE, False, Mapping(maptype=VM_MAPTYPE_UKSMAP))

    assert "vm_map_find: a device" in panic(program)


SPACE = SimpleNamespace(vm_taddr=0x1000, vm_daddr=0x8000)


@pytest.mark.parametrize(
    ("address", "hint"),
    [(0, 0xC000), (0x2000, 0xC000), (0xB000, 0xC000), (0xC000, 0xC000), (0x20000, 0x20000)],
)
def test_mmap_looks_behind_the_data_unless_it_is_told_elsewhere(alone, address, hint):
    assert hint == alone(lambda vm: vm_map_hint(vm, SPACE, address, 0x4000))


def test_a_random_hint_is_up_to_the_data_s_limit_behind_the_data(alone):
    def program(vm):
        vm.sysctl["vm.randomize_mmap"] = 1
        hints = [vm_map_hint(vm, SPACE, 0, 0x400000) for _ in range(3)]
        return (
            all(0x408000 <= hint <= 0x808000 for hint in hints),
            len({*hints}),
            vm_map_hint(vm, SPACE, 0, 0),
        )

    assert (True, 3, 0x8000) == alone(program)
