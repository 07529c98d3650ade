"""Pages of files in the swap cache."""

from __future__ import annotations

import pytest

from vmsmp.scenarios._kit import busied, file_object, idle_pages
from vmsmp.vm.vm_object import vm_object_allocate
from vmsmp.vm.vm_page import (
    PAGE_SIZE,
    PG_SWAPPED,
    PG_UNQUEUED,
    vm_page_busy_wait,
    vm_page_dirty,
    vm_page_flag_set,
    vm_page_free,
    vm_page_hold,
    vm_page_try_to_free,
    vm_page_undirty,
    vm_page_wire,
)
from vmsmp.vm.vm_swapcache import Marker, vm_swapcache_cleaning, vm_swapcache_pass, vm_swapcache_writing


def file_page(vm):
    """A clean page of a file, and its object."""
    _, obj = file_object(vm, 1, [0])
    return obj.raw_rb_memq.get(0), obj


def test_a_clean_page_of_a_file_goes_to_swap(alone):
    def program(vm):
        page, obj = file_page(vm)
        vm.memory.store(page.phys, 0, "file")
        written = vm_swapcache_writing(page)
        block = obj.peek("swblock_root")[0]
        return (
            written,
            vm.pager.contents[block][0],
            bool(page.peek("flags") & PG_SWAPPED),
            page.peek("busy_count"),
            obj.peek("paging_in_progress"),
            obj.peek("hold_count"),
        )

    assert (True, "file", True, 0, 0, 0) == alone(program)


@pytest.mark.parametrize(
    "made",
    [
        lambda page: busied(page, vm_page_dirty),
        lambda page: busied(page, vm_page_wire),
        vm_page_hold,
        lambda page: busied(page, vm_page_flag_set, PG_UNQUEUED),
        lambda page: page.publish("valid", 1),
        lambda page: vm_page_busy_wait(page, True),
    ],
    ids=["dirty", "wired", "held", "unqueued", "partly valid", "busy"],
)
def test_a_page_that_is_used_or_not_clean_stays_out_of_it(alone, made):
    def program(vm):
        page, obj = file_page(vm)
        made(page)
        before = page.peek("busy_count")
        return vm_swapcache_writing(page), page.peek("busy_count") - before, obj.peek("swblock_count")

    assert (False, 0, 0) == alone(program)


def test_a_page_without_a_file_stays_out_of_it(alone):
    def program(vm):
        page, obj = file_page(vm)
        vm_page_busy_wait(page, True)
        vm_page_free(page)
        return vm_swapcache_writing(page), obj.peek("swblock_count")

    assert (False, 0) == alone(program)


def test_anonymous_memory_stays_out_of_it(alone):
    def program(vm):
        obj = vm_object_allocate(vm, 1)
        (page,) = idle_pages(vm, obj, [0])
        return vm_swapcache_writing(page), obj.peek("swblock_count"), page.peek("busy_count")

    assert (False, 0, 0) == alone(program)


def test_a_page_that_could_not_be_written_is_let_go(alone):
    def program(vm):
        page, obj = file_page(vm)
        return vm_swapcache_writing(page), page.peek("busy_count"), obj.peek("paging_in_progress")

    assert (True, 0, 0) == alone(program, swap_pages=0)


def test_pages_around_the_page_go_with_it_also_what_is_in_swap(alone):
    def program(vm):
        _, obj = file_object(vm, 40, [0, 1, 2, 3, 5, 32])
        pages = dict(obj.peek("rb_memq").items())
        busied(pages[0], vm_page_dirty)
        busied(pages[2], vm_page_dirty)
        vm_swapcache_writing(pages[3])
        busied(pages[2], vm_page_undirty)
        before = obj.peek("swblock_root")[3]
        vm_swapcache_writing(pages[2])
        blocks = obj.peek("swblock_root")
        return (
            sorted(blocks),
            blocks[3] == before,
            obj.peek("paging_in_progress"),
            vm_swapcache_writing(pages[3]),
        )

    assert ([1, 2, 3], False, 0, False) == alone(program)


def test_what_is_not_resident_is_given_up(alone):
    def program(vm):
        page, obj = file_page(vm)
        vm_swapcache_writing(page)
        kept = vm_swapcache_cleaning(obj), obj.peek("swblock_count")
        vm_page_try_to_free(page)
        return kept, vm_swapcache_cleaning(obj), obj.peek("swblock_count"), vm_swapcache_cleaning(obj)

    assert (((1, 32), 1), (1, 32), 0, (0, 0)) == alone(program)


def test_a_pass_goes_on_where_the_last_one_has_ended(alone):
    def program(vm):
        page, kept = file_page(vm)
        vm_swapcache_writing(page)
        gone, second = file_page(vm)
        vm_swapcache_writing(gone)
        vm_page_try_to_free(gone)
        _, empty = file_object(vm, 1)
        marker = Marker()
        told = []
        for _ in range(2):
            vm_swapcache_pass([empty, kept, second], marker, 3, 4 * PAGE_SIZE)
            told.append((marker.position, marker.size, second.peek("swblock_count")))
        return told

    assert [(1, 32, 1), (3, 0, 0)] == alone(program)
