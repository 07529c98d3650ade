"""The page's one mapping: entering, storing, removing, protecting, and the dirt that comes of it."""

from __future__ import annotations

import pytest

from vmsmp.vm import pmap, vm_page
from vmsmp.vm.pmap import VM_PROT_NONE, VM_PROT_READ, VM_PROT_WRITE
from vmsmp.vm.vm_object import vm_object_allocate, vm_object_hold
from vmsmp.vm.vm_page import (
    PG_MAPPED,
    PG_MAPPEDMULTI,
    PG_RAM,
    PG_REFERENCED,
    PG_WRITEABLE,
    PTE_M,
    PTE_V,
    PTE_W,
    VM_PAGE_BITS_ALL,
    vm_page_busy_try,
    vm_page_busy_wait,
    vm_page_sbusy_drop,
    vm_page_sbusy_try,
    vm_page_wakeup,
)

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])
RW = VM_PROT_READ | VM_PROT_WRITE
BOTH = PG_MAPPED | PG_WRITEABLE


def busied(vm, page_on, kind="active"):
    m = page_on(vm, kind)
    vm_page_busy_try(m, False)
    return m


def mapped(vm, page_on, prot, stored=False):
    """A hard-busied page that a process maps."""
    m = busied(vm, page_on)
    pmap.pmap_enter(m, prot)
    if stored:
        pmap.pmap_store(m)
    return m


def seen(m):
    """The page's entry, its MAPPED and WRITEABLE flags, and whether it is dirty."""
    return m.md.peek(), m.flags.peek() & BOTH, m.dirty


# -- entering and storing -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prot", "entry", "flags"), [(VM_PROT_READ, PTE_V, PG_MAPPED), (RW, PTE_V | PTE_W, BOTH)]
)
def test_a_mapping_is_an_entry_and_the_flags_that_say_so(alone, page_on, prot, entry, flags):
    def program(vm):
        m = mapped(vm, page_on, prot)
        return m.md.peek(), m.flags.peek()

    assert (entry, flags | PG_MAPPEDMULTI) == alone(program)


@pytest.mark.parametrize("prot", [VM_PROT_READ, RW])
def test_the_flags_are_set_before_the_entry(steps, page_on, prot):
    rows = steps(lambda vm: [busied(vm, page_on), prot], pmap.pmap_enter)
    assert ["setbits pg[7].flags", "setbits pg[7].md"] == rows


def test_a_soft_busy_is_enough_to_map_a_page(alone, page_on):
    def program(vm):
        m = page_on(vm, "active")
        vm_page_sbusy_try(m)
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


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("before", [VM_PROT_READ, RW])
def test_a_page_protected_altogether_has_no_entry_and_no_flags(alone, page_on, before, stored):
    def program(vm):
        m = mapped(vm, page_on, before, stored)
        m.flags.setbits(PG_RAM)
        vm_page.vm_page_protect(m, VM_PROT_NONE)
        assert m.flags.peek() & PG_RAM
        return seen(m)

    assert (0, 0, VM_PAGE_BITS_ALL if stored and before == RW else 0) == alone(program)


@pytest.mark.parametrize("stored", [False, True])
def test_a_page_protected_against_writing_stays_mapped_for_reading(alone, page_on, stored):
    def program(vm):
        m = mapped(vm, page_on, RW, stored)
        vm_page.vm_page_protect(m, VM_PROT_READ)
        return seen(m), pmap.pmap_store(m)

    assert ((PTE_V, PG_MAPPED, VM_PAGE_BITS_ALL if stored else 0), False) == alone(program)


@pytest.mark.parametrize(
    ("flags", "prot"), [(0, VM_PROT_NONE), (0, VM_PROT_READ), (PG_MAPPED, VM_PROT_READ), (BOTH, RW)]
)
def test_a_protection_that_takes_nothing_away_touches_no_entry(steps, page_on, flags, prot):
    def prepare(vm):
        m = busied(vm, page_on)
        m.flags.setbits(flags)
        return [m, prot]

    assert ["load pg[7].flags"] == steps(prepare, vm_page.vm_page_protect)


@pytest.mark.parametrize("kind", ["nobody", "soft", "another"])
def test_a_page_protected_without_one_s_own_hard_busy_panics(panic, page_on, kind):
    def program(vm):
        m = page_on(vm, "active")
        if kind == "soft":
            vm_page_sbusy_try(m)
        elif kind == "another":
            vm.machine.spawn(vm_page_busy_try, m, False).join()
        vm_page.vm_page_protect(m, VM_PROT_NONE)

    assert "vm_page_protect: page not hard-busied" == panic(program)


@pytest.mark.parametrize(("prot", "lost"), [(VM_PROT_NONE, True), (VM_PROT_READ, False)])
def test_taking_an_entry_away_may_block_so_that_tokens_are_lost(steps, page_on, prot, lost):
    def prepare(vm):
        m = mapped(vm, page_on, RW)
        vm_object_hold(vm_object_allocate(vm, 1))
        return [m, prot]

    rows = steps(prepare, vm_page.vm_page_protect)
    assert lost is any("release obj" in row for row in rows)
    assert lost is any("reacquire obj" in row for row in rows)


def test_the_entry_goes_before_the_flags(steps, page_on):
    rows = steps(lambda vm: [mapped(vm, page_on, RW), VM_PROT_NONE], vm_page.vm_page_protect)
    assert ["pg[7].md", "pg[7].flags"] == [row.split()[-1] for row in rows[-2:]]


@pytest.mark.parametrize(("gone", "flags"), [(True, 0), (False, BOTH)])
def test_the_flags_of_a_mapping_are_dropped_once_its_entry_is_gone(alone, page_on, gone, flags):
    def program(vm):
        m = mapped(vm, page_on, RW)
        if gone:
            pmap.pmap_remove(m)
        pmap.pmap_mapped_sync(m)
        return m.flags.peek() & BOTH

    assert flags == alone(program)


# -- dirty ----------------------------------------------------------------------------------------


def test_a_page_made_dirty_is_so_in_all_of_its_pieces_and_clean_in_all_again(alone, page_on):
    def program(vm):
        m = busied(vm, page_on)
        m.dirty = 1
        vm_page.vm_page_dirty(m)
        before = m.dirty
        vm_page.vm_page_undirty(m)
        return before, m.dirty

    assert (VM_PAGE_BITS_ALL, 0) == alone(program)


def test_a_cached_page_made_dirty_panics(panic, page_on):
    message = panic(lambda vm: vm_page.vm_page_dirty(busied(vm, page_on, "cache")))
    assert "vm_page_dirty: page in cache" == message


@pytest.mark.parametrize("stored", [False, True])
def test_a_look_for_dirt_finds_what_was_stored_and_leaves_the_mapping(alone, page_on, stored):
    def program(vm):
        m = mapped(vm, page_on, RW, stored)
        vm_page.vm_page_test_dirty(m)
        return m.dirty, m.md.peek() & (PTE_V | PTE_W)

    assert (VM_PAGE_BITS_ALL if stored else 0, PTE_V | PTE_W) == alone(program)


def test_a_page_referenced_is_marked_so(alone, page_on):
    def program(vm):
        m = busied(vm, page_on)
        vm_page.vm_page_reference(m)
        return m.flags.peek()

    assert PG_REFERENCED == alone(program)


@DEPTHS
@pytest.mark.parametrize("prot", [VM_PROT_NONE, VM_PROT_READ])
def test_no_store_slips_past_a_protection(together, page_on, locks, prot):
    def program(vm):
        m = page_on(vm, "active")
        stored = vm.machine.atomic(0)

        def process():
            if not vm_page_sbusy_try(m):
                pmap.pmap_enter(m, RW)
                vm_page_sbusy_drop(m)
                if pmap.pmap_store(m):
                    stored.store(1)

        def protector():
            vm_page_busy_wait(m, True)
            vm_page.vm_page_protect(m, prot)
            vm.machine.check(not m.md.peek() & PTE_W, "nobody can write any more")
            vm.machine.check(not m.flags.peek() & PG_WRITEABLE, "and it says so")
            vm_page_wakeup(m)

        vm.machine.spawn(process)
        vm.machine.spawn(protector)
        vm.machine.join()
        if stored.load():
            vm.machine.check(m.dirty or m.md.peek() & PTE_M, "what was written is known")

    together(program, schedules=150, locks=locks)


def test_parallel_processes_write_and_unmap_and_the_page_is_dirty(parallel, page_on):
    def program(vm):
        m = page_on(vm, "active")
        stored = vm.machine.atomic(0)

        def process():
            for _ in range(20):
                vm_page_busy_wait(m, True)
                pmap.pmap_enter(m, RW)
                stored.fetchadd(pmap.pmap_store(m))
                vm_page.vm_page_protect(m, VM_PROT_NONE)
                vm_page_wakeup(m)

        for _ in range(3):
            vm.machine.spawn(process)
        vm.machine.join()
        return stored.load(), *seen(m)

    assert (60, 0, 0, VM_PAGE_BITS_ALL) == parallel(program)
