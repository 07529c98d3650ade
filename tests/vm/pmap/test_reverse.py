"""From a page to its entries."""

from __future__ import annotations

import pytest

from tables import MEMORY, Space, at, busied
from vmsmp.mmu.entry import PG_A, PG_M, PG_RW
from vmsmp.vm.pmap import (
    After,
    pmap_clear_modify,
    pmap_clear_reference,
    pmap_is_modified,
    pmap_mapped_sync,
    pmap_page_backing_scan,
    pmap_page_protect,
    pmap_pte,
    pmap_remove_specific,
    pmap_ts_referenced,
)
from vmsmp.vm.vm_map import VM_PROT_NONE, VM_PROT_READ, VM_PROT_RW
from vmsmp.vm.vm_page import (
    PG_FICTITIOUS,
    PG_MAPPED,
    PG_MAPPEDMULTI,
    PG_REFERENCED,
    PG_WRITEABLE,
    VM_ALLOC_NORMAL,
    VM_PAGE_BITS_ALL,
    vm_page_alloc,
)

MINE = PG_MAPPED | PG_MAPPEDMULTI | PG_WRITEABLE | PG_REFERENCED


def two_spaces(vm, bits=PG_M, wired=False):
    """Two spaces that map one page, which was written to through the first."""
    first = Space(vm, name="first")
    second = Space(vm, name="second", obj=first.obj)
    for space in (first, second):
        space.enter(0, VM_PROT_RW, wired)
    entry(first).value |= bits
    return first, second, busied(first.pages[0])


def entry(space):
    return pmap_pte(space.pmap, at(0))


def bits_of(*spaces):
    """A, M and the right to write of the entries."""
    return [entry(space).peek() & (PG_A | PG_M | PG_RW) for space in spaces]


def known(m):
    return m.flags.peek() & MINE, m.peek("dirty"), m.interlock_count.peek()


def test_a_page_is_taken_away_from_all(alone):
    def program(vm):
        first, second, m = two_spaces(vm, wired=True)
        pmap_page_protect(m, VM_PROT_NONE)
        return bits_of(first, second), known(m), first.counts(), second.counts()

    assert ([0, 0], (PG_REFERENCED, VM_PAGE_BITS_ALL, 0), (4, 0), (4, 0)) == alone(
        program, pages=40, l2_size=1
    )


def test_a_page_is_taken_away_from_one(alone):
    def program(vm):
        first, second, m = two_spaces(vm)
        pmap_remove_specific(second.pmap, m)
        return bits_of(first, second), m.flags.peek() & MINE, first.counts(), second.counts()

    found = alone(program, pages=40, l2_size=1)
    assert ([PG_A | PG_M | PG_RW, 0], MINE, (5, 0), (4, 0)) == found


def test_a_page_that_is_made_read_only_keeps_its_mappings(alone):
    def program(vm):
        first, second, m = two_spaces(vm)
        pmap_page_protect(m, VM_PROT_READ)
        return bits_of(first, second), known(m), first.counts()

    found = alone(program, pages=40, l2_size=1)
    assert ([PG_A, PG_A], (PG_MAPPED | PG_MAPPEDMULTI, VM_PAGE_BITS_ALL, 0), (5, 0)) == found


@pytest.mark.parametrize(
    ("clear", "bits"), [(pmap_clear_modify, PG_A | PG_RW), (pmap_clear_reference, PG_M | PG_RW)]
)
def test_a_bit_is_forgotten_and_nothing_is_told(alone, clear, bits):
    def program(vm):
        space = Space(vm)
        m = busied(space.enter())
        entry(space).value |= PG_M
        clear(m)
        return bits_of(space), known(m)

    assert ([bits], (PG_MAPPED | PG_WRITEABLE, 0, 0)) == alone(program, **MEMORY)


@pytest.mark.parametrize("prot", [VM_PROT_NONE, VM_PROT_READ])
def test_a_page_that_is_not_mapped_is_asked_once(rows, prot):
    found = rows(lambda vm: [busied(Space(vm).pages[0]), prot], pmap_page_protect)
    assert 1 == len(found)
    assert found[0].endswith(".flags")


def test_a_page_that_may_be_written_to_stays_as_it_is(rows):
    assert [] == rows(lambda vm: [busied(Space(vm).pages[0]), VM_PROT_RW], pmap_page_protect)


def test_a_page_was_modified_if_any_entry_says_so(alone):
    def program(vm):
        first, second, m = two_spaces(vm, 0)
        before = pmap_is_modified(m)
        entry(second).value |= PG_M
        return before, pmap_is_modified(m), pmap_mapped_sync(m) & MINE, bits_of(first)

    flags = PG_MAPPED | PG_MAPPEDMULTI | PG_WRITEABLE
    assert (False, True, flags, [PG_A | PG_RW]) == alone(program, pages=40, l2_size=1)


def test_a_read_only_page_is_not_looked_for(rows):
    def prepare(vm):
        space = Space(vm)
        return [space.enter(0, VM_PROT_READ)]

    found = rows(prepare, pmap_is_modified)
    assert 1 == len(found)


def test_uses_are_counted_and_forgotten(alone):
    def program(vm):
        first, second, m = two_spaces(vm, 0)
        return pmap_ts_referenced(m), pmap_ts_referenced(m), bits_of(first, second)

    assert (2, 0, [PG_RW, PG_RW]) == alone(program, pages=40, l2_size=1)


def test_a_fictitious_page_was_neither_used_nor_modified(alone):
    def program(vm):
        m = vm.page.marker(PG_FICTITIOUS | PG_WRITEABLE)
        return pmap_ts_referenced(m), pmap_is_modified(m)

    assert (0, False) == alone(program, **MEMORY)


def test_a_page_in_no_object_is_mapped_by_nobody(alone):
    def program(vm):
        m = vm_page_alloc(vm, None, 0, VM_ALLOC_NORMAL)
        seen = []
        pmap_page_backing_scan(m, lambda *args: seen.append(args) or After.NEXT)
        return seen

    assert [] == alone(program, **MEMORY)


def test_a_scan_tries_again_goes_on_or_stops_as_it_is_told(alone):
    def program(vm):
        _, _, m = two_spaces(vm)
        seen = []

        def body(ipmap, iptep, ipte, iva):
            seen.append(ipmap.name)
            return (After.RETRY, After.NEXT, After.STOP)[len(seen) - 1]

        pmap_page_backing_scan(m, body)
        return seen, m.object.backing_lk.holders

    assert (["first", "first", "second"], []) == alone(program, pages=40, l2_size=1)


def test_an_entry_that_names_another_page_is_not_the_page_s(alone):
    def program(vm):
        space = Space(vm, 2)
        space.enter(0, VM_PROT_READ)
        space.enter(0, VM_PROT_RW)  # counts as mapped more than once, so its flags stay
        space.enter(1, VM_PROT_RW, False, 0)
        m = busied(space.pages[0])
        pmap_page_protect(m, VM_PROT_NONE)
        return bits_of(space), m.flags.peek() & MINE & ~PG_REFERENCED

    assert ([PG_A | PG_RW], 0) == alone(program, **MEMORY)
