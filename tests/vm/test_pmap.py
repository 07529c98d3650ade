"""A page's mapping: entering it, storing through it, and removing it."""

from __future__ import annotations

import pytest

from mappings import BOTH, RW, busied, mapped, seen
from vmsmp.vm import pmap
from vmsmp.vm.pmap import VM_PROT_NONE, VM_PROT_READ
from vmsmp.vm.vm_page import (
    PG_FICTITIOUS,
    PG_MAPPED,
    PG_MAPPEDMULTI,
    PTE_M,
    PTE_V,
    PTE_W,
    VM_PAGE_BITS_ALL,
    vm_page_io_start,
    vm_page_sbusy_try,
    vm_page_wakeup,
)

# -- entering and storing -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prot", "entry", "flags"), [(VM_PROT_READ, PTE_V, PG_MAPPED), (RW, PTE_V | PTE_W, BOTH)]
)
def test_a_mapping_is_an_entry_and_the_flags_that_say_so(alone, page_on, prot, entry, flags):
    def program(vm):
        m = mapped(vm, page_on, prot)
        return m.md.peek(), m.flags.peek()

    assert (entry, flags) == alone(program)


@pytest.mark.parametrize("prot", [VM_PROT_READ, RW])
def test_a_page_mapped_again_is_mapped_more_than_once(alone, page_on, prot):
    def program(vm):
        m = mapped(vm, page_on, VM_PROT_READ)
        pmap.pmap_enter(m, prot)
        return m.flags.peek()

    assert PG_MAPPEDMULTI | (BOTH if prot == RW else PG_MAPPED) == alone(program)


@pytest.mark.parametrize("how", ["protect", "sync"])
def test_a_page_that_is_unmapped_is_not_mapped_more_than_once_either(alone, page_on, how):
    def program(vm):
        m = mapped(vm, page_on, RW)
        pmap.pmap_enter(m, RW)
        if how == "sync":
            pmap.pmap_remove(m)
            assert BOTH | PG_MAPPEDMULTI == m.flags.peek()
            return pmap.pmap_mapped_sync(m)
        pmap.pmap_page_protect(m, VM_PROT_NONE)
        return m.flags.peek()

    assert 0 == alone(program)


@pytest.mark.parametrize(
    ("flags", "modified"), [(BOTH, True), (PG_MAPPED, False), (BOTH | PG_FICTITIOUS, False)]
)
def test_only_a_page_that_may_be_written_is_looked_at_for_modifications(alone, page_on, flags, modified):
    def program(vm):
        m = mapped(vm, page_on, RW, True)
        m.flags.value = flags
        return pmap.pmap_is_modified(m)

    assert modified is alone(program)


@pytest.mark.parametrize("prot", [VM_PROT_READ, RW])
def test_the_flags_are_set_before_the_entry(steps, page_on, prot):
    rows = steps(lambda vm: [busied(vm, page_on), prot], pmap.pmap_enter)
    assert ["load pg[7].flags", "cmpset pg[7].flags", "setbits pg[7].md"] == rows


def test_a_soft_busy_is_enough_to_map_a_page(alone, page_on):
    def program(vm):
        m = page_on(vm, "active")
        vm_page_sbusy_try(m)
        pmap.pmap_enter(m, VM_PROT_READ)
        return m.md.peek()

    assert PTE_V == alone(program)


def test_a_page_may_be_mapped_during_i_o(alone, page_on):
    def program(vm):
        m = busied(vm, page_on)
        vm_page_io_start(m)
        vm_page_wakeup(m)
        pmap.pmap_enter(m, VM_PROT_READ)
        return m.md.peek()

    assert PTE_V == alone(program)


def test_mapping_a_page_that_one_does_not_busy_panics(panic, page_on):
    def program(vm):
        m = busied(vm, page_on)
        vm.machine.spawn(pmap.pmap_enter, m, VM_PROT_READ)  # the busy is another CPU's
        vm.machine.join()

    assert "pmap_enter: page not busied" == panic(program)


@pytest.mark.parametrize(
    ("prot", "could", "entry"),
    [(None, False, 0), (VM_PROT_READ, False, PTE_V), (RW, True, PTE_V | PTE_W | PTE_M)],
)
def test_a_process_stores_through_a_writeable_entry_only(alone, page_on, prot, could, entry):
    def program(vm):
        m = busied(vm, page_on) if prot is None else mapped(vm, page_on, prot)
        return pmap.pmap_store(m), pmap.pmap_is_modified(m), m.md.peek(), m.dirty

    assert (could, could, entry, 0) == alone(program)  # the page itself does not know of it yet


# -- removing and protecting ----------------------------------------------------------------------


@pytest.mark.parametrize("stored", [False, True])
def test_an_entry_removed_by_its_process_leaves_the_flags_and_what_was_written(alone, page_on, stored):
    def program(vm):
        m = mapped(vm, page_on, RW, stored)
        pmap.pmap_remove(m)
        return seen(m)

    assert (0, BOTH, VM_PAGE_BITS_ALL if stored else 0) == alone(program)


@pytest.mark.parametrize(("gone", "flags"), [(True, 0), (False, BOTH)])
def test_the_flags_of_a_mapping_are_dropped_once_its_entry_is_gone(alone, page_on, gone, flags):
    def program(vm):
        m = mapped(vm, page_on, RW)
        if gone:
            pmap.pmap_remove(m)
        pmap.pmap_mapped_sync(m)
        return m.flags.peek() & BOTH

    assert flags == alone(program)
