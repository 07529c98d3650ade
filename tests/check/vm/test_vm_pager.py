"""Rules of swap: its blocks, and the pages that they are of."""

from functools import partial

import pytest

import verdicts
import vmsmp
from page_layer import poke
from vmsmp.check.vm.vm_page import broken_swap
from vmsmp.check.vm.vm_pager import behind_the_end, broken_blocks
from vmsmp.scenarios._kit import idle_pages
from vmsmp.vm.vm_object import vm_object_allocate, vm_object_drop, vm_object_hold
from vmsmp.vm.vm_page import PG_SWAPPED, vm_page_busy_wait, vm_page_wakeup
from vmsmp.vm.vm_pager import (
    swap_pager_freespace_all,
    swp_pager_getswapspace,
    swp_pager_meta_build,
)

silent = partial(verdicts.silent, schedules=1)

WRONG = "a block of its swap is free, or another page's"


def told_of(change):
    """What the rule says before a change to an object with two blocks of swap, with it, and after it."""
    told = []

    def program(m):
        vm = m.boot(pages=2, l2_size=1, swap_pages=4)
        obj = vm_object_allocate(vm, 2)
        vm_object_hold(obj)
        for pindex in range(2):
            swp_pager_meta_build(obj, pindex, swp_pager_getswapspace(vm))
        vm_object_drop(obj)
        told.append(broken_blocks(vm))
        blocks, free = dict(obj.peek("swblock_root")), list(vm.pager.free_blocks)
        change(vm, obj)
        told.append(broken_blocks(vm))
        poke(obj, swblock_root=blocks, swblock_count=2)
        vm.pager.free_blocks, vm.pager.vm_swap_size, obj.freed = free, 2, False
        swap_pager_freespace_all(obj)
        told.append(broken_blocks(vm))

    silent(program)
    before, broken, after = told
    assert (None, None) == (before, after)
    return broken[1].text


def shares_a_block(_vm, obj):
    poke(obj, swblock_root=dict.fromkeys((0, 1), obj.peek("swblock_root")[0]))


def has_a_free_block(vm, obj):
    vm.pager.free_blocks.append(obj.peek("swblock_root")[1])


@pytest.mark.parametrize("change", [shares_a_block, has_a_free_block])
def test_a_block_of_swap_is_one_page_s_or_free(change):
    assert WRONG == told_of(change)


@pytest.mark.parametrize(("blk", "text"), [(3, None), (4, "a block of its swap is none")])
def test_a_block_of_swap_is_one_of_it(blk, text):
    told = []

    def program(m):
        vm = m.boot(pages=2, l2_size=1, swap_pages=4)
        obj = vm_object_allocate(vm, 1)
        poke(obj, swblock_root={0: blk})
        told.append(behind_the_end(obj, None))
        poke(obj, swblock_root={})

    silent(program)
    assert text == (told[0] and told[0].text)


def test_no_block_of_swap_is_lost():
    def loses_a_block(_vm, obj):
        poke(obj, swblock_root={0: obj.peek("swblock_root")[0]}, swblock_count=1)

    assert "blocks of swap are in use, and of no page" == told_of(loses_a_block)


def test_an_object_counts_its_blocks_of_swap():
    assert "it does not count its blocks of swap" == told_of(lambda _vm, obj: poke(obj, swblock_count=1))


def test_an_object_that_is_freed_has_no_swap():
    def is_freed(_vm, obj):
        obj.freed = True

    assert "it is freed, and has blocks of swap" == told_of(is_freed)


@pytest.mark.parametrize("swapped", [0, PG_SWAPPED])
@pytest.mark.parametrize("blocks", [{}, {0: 0}])
def test_a_page_that_is_not_busy_says_that_it_has_a_block(blocks, swapped):
    told = []

    def program(m):
        vm = m.boot(pages=2, l2_size=1)
        obj = vm_object_allocate(vm, 1)
        (page,) = idle_pages(vm, obj, [0])
        vm_page_busy_wait(page, True)
        before = page.peek("flags")
        poke(page, flags=before | swapped)
        poke(obj, swblock_root=blocks)
        told.append(broken_swap(page, None))
        busy, page.busy_count.value = page.busy_count.value, 0
        told.append(broken_swap(page, None))
        page.busy_count.value = busy
        poke(page, flags=before)
        poke(obj, swblock_root={})
        vm_page_wakeup(page)

    silent(program)
    while_busy, broken = told
    assert while_busy is None
    assert (bool(blocks) and not swapped) == (broken is not None and broken.invariant == "INV-SW2")


def test_a_block_that_is_none_is_found_as_a_page_gets_it():
    def program(m):
        vm = m.boot(pages=2, l2_size=1, swap_pages=4)
        obj = vm_object_allocate(vm, 1)
        vm_object_hold(obj)
        swp_pager_meta_build(obj, 0, 4)
        vm_object_drop(obj)

    failures = vmsmp.explore(program, cpus=1, schedules=1).failures
    assert ["accounting: INV-SW1: obj: a block of its swap is none"] == [one.signature for one in failures]


def test_who_has_the_token_may_take_the_mark_off_before_the_block():
    told = []

    def program(m):
        vm = m.boot(pages=2, l2_size=1)
        obj = vm_object_allocate(vm, 1)
        (page,) = idle_pages(vm, obj, [0])
        vm_object_hold(obj)
        poke(obj, swblock_root={0: 0})
        told.append(broken_swap(page, None))
        poke(obj, swblock_root={})
        vm_object_drop(obj)

    silent(program)
    assert {None} == set(told)
