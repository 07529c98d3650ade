"""Buffers that read and write a page of a file."""

from __future__ import annotations

import pytest

import vmsmp
from vmsmp.library import find_scenario
from vmsmp.scenarios._kit import contents, file_object, give_pages, idle_pages, take_pages
from vmsmp.vm.vfs_bio import bdwrite, bread, brelse, bwrite, getblk, vfs_busy_pages, vn_cache_strategy
from vmsmp.vm.vm_object import vm_object_drop, vm_object_hold
from vmsmp.vm.vm_page import (
    PAGE_SIZE,
    PG_SWAPPED,
    vm_page_busy_wait,
    vm_page_dirty,
    vm_page_flag_set,
    vm_page_io_start,
    vm_page_wakeup,
)
from vmsmp.vm.vm_pager import swp_pager_getswapspace, swp_pager_meta_build


def file_with(vm, value):
    """A vnode whose file holds a value, and its object."""
    vp, obj = file_object(vm, 1)
    vp.contents[0] = {0: value}
    return vp, obj


def soft_busied(page):
    vm_page_busy_wait(page, True)
    vm_page_io_start(page)
    vm_page_wakeup(page)


def test_a_page_is_read_from_the_file_once(alone):
    def program(vm):
        vp, _ = file_with(vm, "old")
        first = bread(vp, 0)
        vp.contents[0] = {0: "new"}
        second = bread(vp, 0)
        return first.page is second.page, contents(second.page), second.page.peek("wire_count")

    assert (True, "old", 2) == alone(program)


def test_a_buffer_keeps_its_page_and_lets_it_go(alone):
    def program(vm):
        vp, obj = file_with(vm, "old")
        bp = bread(vp, 0)
        kept = bp.page.peek("wire_count"), bp.page.peek("busy_count"), obj.peek("paging_in_progress")
        brelse(bp)
        return kept, bp.page.peek("wire_count"), vm.page.queue_type(bp.page.raw_queue)

    assert ((1, 0, 0), 0, "inactive") == alone(program)


def test_what_is_stored_to_a_buffer_is_written_and_clean(alone):
    def program(vm):
        vp, _ = file_with(vm, "old")
        bp = bread(vp, 0)
        vm.memory.store(bp.page.phys, 0, "new")
        vm_page_busy_wait(bp.page, True)
        vm_page_dirty(bp.page)
        vm_page_wakeup(bp.page)
        bwrite(bp)
        return vp.contents[0][0], bp.page.peek("dirty"), bp.page.peek("busy_count")

    assert ("new", 0, 0) == alone(program)


def test_a_page_that_others_write_is_made_a_buffer_of_and_written(alone):
    def program(vm):
        vp, obj = file_with(vm, "old")
        (page,) = idle_pages(vm, obj, [0])
        soft_busied(page)
        bwrite(getblk(vp, 0))
        return page.peek("busy_count")

    assert 1 == alone(program)


@pytest.mark.parametrize("deed", [lambda bp: getblk(bp.vp, 0), bwrite, brelse])
def test_a_page_that_is_hard_busied_is_waited_for(sleeps, deed):
    def program(vm):
        vp, _ = file_with(vm, "old")
        bp = getblk(vp, 0)
        vm_page_busy_wait(bp.page, True)
        vm.machine.spawn(deed, bp)
        vm.machine.join()

    assert sleeps(program)


def test_a_page_that_has_become_valid_meanwhile_is_not_read(alone):
    def program(vm):
        vp, _ = file_with(vm, "old")
        bp = getblk(vp, 0)
        before = vfs_busy_pages(bp, write=False)
        bp.page.publish("valid", 0xFF)
        return bp.cached, before, vfs_busy_pages(bp, write=False)

    assert (False, False, True) == alone(program)


@pytest.mark.parametrize(("enabled", "value"), [(1, "cached"), (0, "old")])
def test_a_page_that_is_in_swap_is_read_from_there_if_that_is_enabled(alone, enabled, value):
    def program(vm):
        vm.pager.vm_swapcache_read_enable = enabled
        vp, obj = file_with(vm, "old")
        vm_object_hold(obj)
        blk = swp_pager_getswapspace(vm)
        vm.pager.contents[blk] = {0: "cached"}
        swp_pager_meta_build(obj, 0, blk)
        vm_object_drop(obj)
        bp = getblk(vp, 0)
        return vn_cache_strategy(bp), contents(bread(vp, 0).page)

    assert (bool(enabled), value) == alone(program)


def test_what_is_written_to_the_file_is_no_longer_in_swap(alone):
    def program(vm):
        vp, obj = file_with(vm, "old")
        vm_object_hold(obj)
        swp_pager_meta_build(obj, 0, swp_pager_getswapspace(vm))
        vm_object_drop(obj)
        bp = bread(vp, 0)
        vm_page_busy_wait(bp.page, True)
        vm_page_flag_set(bp.page, PG_SWAPPED)
        vm_page_wakeup(bp.page)
        bwrite(bp)
        return bool(bp.page.peek("flags") & PG_SWAPPED), obj.peek("swblock_count")

    assert (False, 0) == alone(program)


def test_a_buffer_that_is_discarded_leaves_its_page_invalid_and_without_swap(alone):
    def program(vm):
        vp, obj = file_with(vm, "old")
        vm_object_hold(obj)
        swp_pager_meta_build(obj, 0, swp_pager_getswapspace(vm))
        vm_object_drop(obj)
        bp = bread(vp, 0)
        before = bp.page.peek("valid"), obj.peek("swblock_count")
        brelse(bp, nocache=True)
        return before, bp.page.peek("valid"), obj.peek("swblock_count"), bp.page.peek("wire_count")

    assert ((0xFF, 1), 0, 0, 0) == alone(program)


def test_two_that_free_the_swap_of_a_page_at_once_panic():
    scenario = find_scenario("discarded_buffer_does_not_busy_its_page")
    found = vmsmp.explore(scenario, sched="sticky", schedules=500, check=False)
    assert "check: panic: swap_pager_unswapped: PG_SWAPPED is no longer set" == found.failure.signature


def test_a_buffer_may_be_of_a_part_of_a_page(alone):
    def program(vm):
        vp, _ = file_with(vm, "first")
        vp.contents[0][4] = "second"
        half = PAGE_SIZE // 2
        bp = bread(vp, 0, half, half)
        read = bp.page.peek("valid"), contents(bp.page), vm.memory.peek(bp.page.phys, half)
        other = getblk(vp, 0, 0, half)
        vm.memory.store(other.page.phys, 0, "new")
        bdwrite(other)
        later = bp.page.peek("valid"), bp.page.peek("busy_count"), dict(vp.contents[0])
        bwrite(other)
        return read, later, vp.contents[0][0], vp.contents[0][4]

    assert ((0xF0, 0, "second"), (0xFF, 0, {0: "first", 4: "second"}), "new", "second") == alone(program)


def test_a_part_that_is_valid_is_not_read_again(alone):
    def program(vm):
        vp, _ = file_with(vm, "old")
        half = PAGE_SIZE // 2
        first, second = bread(vp, 0, 0, half), getblk(vp, 0, half, half)
        return first.cached, getblk(vp, 0, 0, half).cached, second.cached, getblk(vp, 0).cached

    assert (False, True, False, False) == alone(program)


def test_a_buffer_waits_for_memory(alone):
    def program(vm):
        vp, _ = file_with(vm, "old")
        pages = take_pages(vm, 8)

        def reader():
            brelse(bread(vp, 0))

        vm.machine.spawn(reader)
        vm.machine.spawn(give_pages, [page for page in pages if page is not None])
        vm.machine.join()
        return vm.machine.ticks > 0

    assert alone(program)


def test_what_cannot_be_read_from_swap_has_failed_once(alone):
    def program(vm):
        vm.pager.vm_swapcache_read_enable = 1
        vp, obj = file_with(vm, "old")
        vm_object_hold(obj)
        blk = swp_pager_getswapspace(vm)
        swp_pager_meta_build(obj, 0, blk)
        vm_object_drop(obj)
        vm.pager.device.bad_blocks.add(blk)
        first = bread(vp, 0)
        failed = first.failed, first.page.peek("valid"), first.page.peek("busy_count")
        brelse(first)
        second = bread(vp, 0)
        return failed, obj.peek("swblock_count"), second.failed, contents(second.page)

    assert ((True, 0, 0), 0, False, "old") == alone(program)
