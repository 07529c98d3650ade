"""From an address to its entry, and what an entry says of its page."""

from __future__ import annotations

import pytest

from tables import MEMORY, Space, at, new_pmap
from vmsmp.mmu.entry import PG_A, PG_M, frame_of
from vmsmp.vm.pmap import page_named, page_of, pmap_pte, pv_alloc, transfer, vtopte
from vmsmp.vm.vm_map import VM_MAX_KERNEL_ADDRESS
from vmsmp.vm.vm_page import PG_REFERENCED, VM_PAGE_BITS_ALL


def test_an_unlocked_walk_reads_each_table_on_its_own(rows):
    def prepare(vm):
        space = Space(vm)
        space.enter()
        return [space.pmap, at(0)]

    found = rows(prepare, pmap_pte)
    assert 3 == len(found)
    assert all(row.startswith("load table[") for row in found)


def test_an_address_without_tables_has_no_entry(alone):
    assert None is alone(lambda vm: pmap_pte(new_pmap(vm), at(0)), **MEMORY)


def test_the_entry_of_an_address_names_its_page(alone):
    def program(vm):
        space = Space(vm, 2)
        space.enter(1)
        word = pmap_pte(space.pmap, at(1))
        return frame_of(word.peek()) == space.pages[1].phys, page_named(vm, word.peek()) is space.pages[1]

    assert (True, True) == alone(program, **MEMORY)


def test_the_kernel_s_tables_end(panic):
    assert panic(lambda vm: vtopte(vm, VM_MAX_KERNEL_ADDRESS - 4096), **MEMORY).startswith("vtopte:")


def test_a_table_without_its_page_panics(panic):
    def program(vm):
        page_of(pv_alloc(new_pmap(vm), 1 << 36)[0])

    assert "pmap: pv entry without its page" == panic(program, **MEMORY)


@pytest.mark.parametrize(("pte", "dirty", "used"), [(PG_A, 0, True), (PG_M, VM_PAGE_BITS_ALL, False)])
def test_a_page_is_told_what_its_entry_said(alone, pte, dirty, used):
    def program(vm):
        space = Space(vm)
        m = space.enter()
        transfer(m, pte)
        return m.peek("dirty"), bool(m.flags.peek() & PG_REFERENCED)

    assert (dirty, used) == alone(program, **MEMORY)
