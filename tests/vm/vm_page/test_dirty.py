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
