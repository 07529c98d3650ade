"""Marking a page dirty, clean or referenced."""

from __future__ import annotations

import pytest

from mappings import busied
from vmsmp.vm import vm_page
from vmsmp.vm.vm_page import (
    PG_REFERENCED,
    VM_PAGE_BITS_ALL,
)


def test_a_page_made_dirty_is_so_in_all_of_its_pieces_and_clean_in_all_again(alone, page_on):
    def program(vm):
        m = busied(vm, page_on)
        m.dirty = 1
        vm_page.vm_page_dirty(m)
        before = m.dirty
        vm_page.vm_page_undirty(m)
        return before, m.dirty

    assert (VM_PAGE_BITS_ALL, 0) == alone(program)


@pytest.mark.parametrize("kind", ["cache", "free"])
def test_a_cached_or_free_page_made_dirty_panics(panic, page_on, kind):
    message = panic(lambda vm: vm_page.vm_page_dirty(busied(vm, page_on, kind)))
    assert "vm_page_dirty: page in free/cache queue" == message


def test_a_page_referenced_is_marked_so(alone, page_on):
    def program(vm):
        m = busied(vm, page_on)
        vm_page.vm_page_reference(m)
        return m.flags.peek()

    assert PG_REFERENCED == alone(program)


#: The bits are stored, and the object is told.
TOLD = [
    "store pg[7].dirty",
    "load pg[7].object",
    "load obj[0].flags",
    "setbits obj[0].flags",
    "load obj[0].type",
]


@pytest.mark.parametrize(("before", "stores"), [(0, TOLD), (VM_PAGE_BITS_ALL, [])])
def test_making_a_page_dirty_reads_its_queue_then_its_bits_and_stores_them_once(
    steps, page_on, before, stores
):
    def prepare(vm):
        m = busied(vm, page_on)
        m.dirty = before
        return [m]

    rows = steps(prepare, vm_page.vm_page_dirty)
    assert ["load pg[7].queue", "load pg[7].dirty", *stores] == rows


def test_making_a_page_clean_is_a_store_that_others_see(steps, page_on):
    rows = steps(lambda vm: [busied(vm, page_on)], vm_page.vm_page_undirty)
    assert ["store pg[7].dirty"] == rows


# -- commit ---------------------------------------------------------------------------------------


def test_a_page_to_be_committed_is_marked_and_its_object_told(steps, page_on):
    rows = steps(lambda vm: [busied(vm, page_on)], vm_page.vm_page_need_commit)
    assert ["setbits pg[7].flags", *TOLD[2:]] == rows


def test_a_page_to_be_committed_stays_clean_and_is_not_cached_until_it_is(alone, page_on):
    def program(vm):
        m = busied(vm, page_on)
        vm_page.vm_page_need_commit(m)
        cached = vm_page.vm_page_try_to_cache(m)
        vm_page.vm_page_busy_wait(m, True)
        vm_page.vm_page_clear_commit(m)
        return m.dirty, cached, vm_page.vm_page_try_to_cache(m)

    assert (0, False, True) == alone(program)


def test_a_page_that_was_committed_leaves_its_object_as_it_was(steps, page_on):
    rows = steps(lambda vm: [busied(vm, page_on)], vm_page.vm_page_clear_commit)
    assert ["clearbits pg[7].flags"] == rows
