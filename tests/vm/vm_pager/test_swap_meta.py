"""Which pages have swap."""

from __future__ import annotations

import pytest

from page_layer import made
from vmsmp.scenarios._kit import idle_pages
from vmsmp.vm import vm_pager as p
from vmsmp.vm.vm_object import OBJT_DEFAULT, OBJT_SWAP, vm_object_drop, vm_object_hold
from vmsmp.vm.vm_page import PG_SWAPPED, vm_page_busy_wait


def with_swap(vm, *pindexes):
    """An object whose pages at these indexes have a block, held."""
    obj = made(vm)
    vm_object_hold(obj)
    for pindex in pindexes:
        p.swp_pager_meta_build(obj, pindex, p.swp_pager_getswapspace(vm))
    return obj


def state(vm, obj):
    return sorted(obj.peek("swblock_root")), obj.peek("swblock_count"), vm.pager.vm_swap_size


def test_blocks_are_different_until_they_are_given_back(alone):
    def program(vm):
        taken = [p.swp_pager_getswapspace(vm) for _ in range(4)]
        p.swp_pager_freeswapspace(vm, taken[1])
        return taken, p.swp_pager_getswapspace(vm), p.swp_pager_getswapspace(vm)

    assert ([0, 1, 2, None], 1, None) == alone(program, swap_pages=3)


def test_memory_with_a_block_is_swap_memory(alone):
    def program(vm):
        obj = made(vm)
        before = obj.peek("type")
        vm_object_hold(obj)
        p.swp_pager_meta_build(obj, 3, p.swp_pager_getswapspace(vm))
        return before, obj.peek("type"), state(vm, obj)

    assert (OBJT_DEFAULT, OBJT_SWAP, ([3], 1, 9)) == alone(program, swap_pages=10)


def test_a_new_block_takes_the_place_of_the_old_one(alone):
    def program(vm):
        obj = with_swap(vm, 3, 3)
        return state(vm, obj), p.swp_pager_meta_ctl(obj, 3), p.swp_pager_meta_ctl(obj, 4)

    assert (([3], 1, 9), 1, None) == alone(program, swap_pages=10)


@pytest.mark.parametrize(
    ("give", "left"),
    [
        (lambda obj: p.swap_pager_freespace(obj, 2, 3), [1, 6]),
        (p.swap_pager_freespace_all, []),
        (p.swap_pager_dealloc, []),
        (lambda obj: p.swp_pager_meta_ctl(obj, 2, free=True), [1, 4, 6]),
    ],
    ids=["range", "all", "dealloc", "one"],
)
def test_blocks_are_given_back(alone, give, left):
    def program(vm):
        obj = with_swap(vm, 1, 2, 4, 6)
        give(obj)
        return state(vm, obj)

    assert (left, len(left), 10 - len(left)) == alone(program, swap_pages=10)


@pytest.mark.parametrize("give", [lambda obj: p.swap_pager_freespace(obj, 0, 9), p.swap_pager_freespace_all])
def test_an_object_without_swap_is_not_locked_for_it(steps, give):
    assert ["load obj[0].swblock_count"] == steps(lambda vm: [made(vm)], give)


def test_a_page_that_comes_is_marked_if_it_has_swap(alone):
    def program(vm):
        obj = with_swap(vm, 1)
        vm_object_drop(obj)
        pages = idle_pages(vm, obj, range(2))
        has = [p.swap_pager_haspage(obj, n) for n in range(2)]
        return [page.peek("flags") & PG_SWAPPED for page in pages], has

    assert ([0, PG_SWAPPED], [False, True]) == alone(program)


def test_a_page_that_is_newer_than_its_swap_loses_it(alone):
    def program(vm):
        obj = with_swap(vm, 0)
        vm_object_drop(obj)
        (page,) = idle_pages(vm, obj, [0])
        vm_page_busy_wait(page, True)
        p.swap_pager_unswapped(page)
        return page.peek("flags") & PG_SWAPPED, state(vm, obj)

    assert (0, ([], 0, 10)) == alone(program, swap_pages=10)


@pytest.mark.parametrize(
    ("swap", "size", "answer"),
    [
        (200, 3, (True, [2, 3, 4], 3, 136)),  # 64 blocks at once, of which 61 are left
        (70, 66, (True, [*range(2, 68)], 66, 2)),  # and then 4, of which 2 are left
        (65, 65, (True, [*range(2, 67)], 65, 0)),
        (3, 3, (True, [2, 3, 4], 3, 0)),
        (2, 3, (False, [], 0, 2)),
    ],
)
def test_a_reservation_takes_many_blocks_at_once_and_keeps_them(alone, swap, size, answer):
    def program(vm):
        obj = made(vm)
        done = p.swap_pager_reserve(obj, 2, size)
        return done, *state(vm, obj)

    assert answer == alone(program, swap_pages=swap)


def test_pages_behind_a_reservation_lose_their_blocks(alone):
    def program(vm):
        obj = with_swap(vm, 1, 3, 65, 66)
        p.swap_pager_reserve(obj, 2, 1)  # one block of 64: the next 63 pages
        vm_object_drop(obj)
        return state(vm, obj)

    assert ([1, 2, 66], 3, 134) == alone(program, swap_pages=200)


@pytest.mark.parametrize(
    ("free", "npages", "blocks", "left"),
    [
        ([2, 4, 5, 6, 9], 3, [4, 5, 6], [2, 9]),
        ([2, 4, 5, 6, 9], 2, [4, 5], [2, 6, 9]),
        ([2, 4, 5, 6, 9], 4, [], [2, 4, 5, 6, 9]),
        ([9, 6, 5], 2, [5, 6], [9]),
        ([3], 1, [3], []),
        ([], 1, [], []),
    ],
)
def test_adjacent_blocks_are_the_lowest_ones(alone, free, npages, blocks, left):
    def program(vm):
        taken = [p.swp_pager_getswapspace(vm) for _ in range(10)]
        for blk in free:
            p.swp_pager_freeswapspace(vm, taken[blk])
        got = p.swp_pager_getswapblocks(vm, npages)
        return got, sorted(vm.pager.free_blocks), vm.pager.vm_swap_size

    assert (blocks, left, len(left)) == alone(program, swap_pages=10)


def test_adjacent_blocks_are_in_one_leaf_and_those_passed_are_free(alone):
    def program(vm):
        first = p.swp_pager_getswapblocks(vm, 60)
        second = p.swp_pager_getswapblocks(vm, 8)
        rest = p.swp_pager_getswapblocks(vm, 4)
        size = vm.pager.vm_swap_size
        return first[0], second, rest, size, {p.swp_pager_getswapspace(vm) for _ in range(size)}

    assert (0, [*range(64, 72)], [*range(60, 64)], 8, {*range(72, 80)}) == alone(program, swap_pages=80)


@pytest.mark.parametrize(("other", "ends"), [(0, False), (p.SWAP_META_PAGES, True)])
def test_all_blocks_are_not_given_back_while_one_of_the_same_metadata_is(alone, panic, other, ends):
    def program(vm):
        obj = with_swap(vm, 0)
        obj.swb_freeing.append(other // p.SWAP_META_PAGES)
        p.swp_pager_meta_free_all(obj)
        return state(vm, obj)

    if ends:
        assert ([], 0, 10) == alone(program, swap_pages=10)
    else:
        assert "swap_pager_meta_free_all: swb_count != 0" == panic(program, swap_pages=10)
