"""Removing and protecting ranges."""

from __future__ import annotations

import pytest

from tables import MEMORY, Space, at
from vmsmp.mmu.entry import PG_A, PG_M, PG_RW
from vmsmp.vm.pmap import (
    pmap_protect,
    pmap_pte,
    pmap_remove,
    pmap_remove_noinval,
    pmap_remove_pages,
)
from vmsmp.vm.vm_map import VM_PROT_EXECUTE, VM_PROT_READ, VM_PROT_RW
from vmsmp.vm.vm_page import PG_MAPPED, PG_REFERENCED, PG_WRITEABLE, VM_PAGE_BITS_ALL

MINE = PG_MAPPED | PG_WRITEABLE | PG_REFERENCED


def prepared(vm, wired=False):
    """A space that maps a page that was written to."""
    space = Space(vm)
    space.enter(0, VM_PROT_RW, wired)
    pmap_pte(space.pmap, at(0)).value |= PG_M
    return space


def state(space):
    """What is known of the page, and the counts."""
    m = space.pages[0]
    table = space.pmap.raw_pm_pvroot.peekitem(0)[1].raw_pv_m
    return (
        m.flags.peek() & MINE,
        m.peek("dirty"),
        m.interlock_count.peek(),
        space.counts(),
        table.wire_count.peek(),
    )


@pytest.mark.parametrize("remove", [pmap_remove, pmap_remove_noinval, pmap_remove_pages])
@pytest.mark.parametrize("pages", [1, 2])
def test_a_removed_page_learns_what_its_entry_said(alone, remove, pages):
    def program(vm):
        space = prepared(vm, wired=True)
        remove(space.pmap, at(0), at(pages))
        return pmap_pte(space.pmap, at(0)).peek(), state(space)

    assert (0, (PG_REFERENCED, VM_PAGE_BITS_ALL, 0, (4, 0), 1)) == alone(program, **MEMORY)


@pytest.mark.parametrize("call", [pmap_remove, pmap_remove_noinval, pmap_remove_pages])
def test_there_may_be_no_pmap(alone, call):
    assert None is alone(lambda vm: call(None, 0, 4096), **MEMORY)
    assert None is alone(lambda vm: pmap_protect(None, 0, 4096, 0), **MEMORY)


def test_a_count_is_up_while_an_entry_goes(rows):
    def prepare(vm):
        return [prepared(vm).pmap, at(0), at(1)]

    found = rows(prepare, pmap_remove)
    counted = [
        n
        for n, row in enumerate(found)
        if row.startswith("fetchadd pg[") and row.endswith(".interlock_count")
    ]
    gone = next(n for n, row in enumerate(found) if "swap table[" in row)
    dirty = next(n for n, row in enumerate(found) if row.endswith(".dirty"))
    flags = next(n for n, row in enumerate(found) if row.startswith("cmpset pg["))
    assert counted[0] < gone < dirty < flags < counted[1]


@pytest.mark.parametrize("prot", [VM_PROT_READ, VM_PROT_EXECUTE])
def test_a_protected_page_learns_what_its_entry_said_and_stays_mapped(alone, prot):
    def program(vm):
        space = prepared(vm, wired=True)
        pmap_protect(space.pmap, at(0), at(1), prot)
        pte = pmap_pte(space.pmap, at(0)).peek()
        return pte & (PG_RW | PG_A | PG_M), state(space)

    assert (0, (MINE, VM_PAGE_BITS_ALL, 0, (5, 1), 2)) == alone(program, **MEMORY)


def test_rights_are_never_given(alone):
    def program(vm):
        space = prepared(vm)
        before = pmap_pte(space.pmap, at(0)).peek()
        pmap_protect(space.pmap, at(0), at(1), VM_PROT_RW)
        return before == pmap_pte(space.pmap, at(0)).peek()

    assert alone(program, **MEMORY)


def test_without_any_right_a_page_is_removed(alone):
    def program(vm):
        space = prepared(vm)
        pmap_protect(space.pmap, at(0), at(1), 0)
        return pmap_pte(space.pmap, at(0)).peek()

    assert 0 == alone(program, **MEMORY)
