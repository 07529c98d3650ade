"""A page's mapping: entering it, storing through it, and removing it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from mappings import BOTH, RW, busied, mapped, seen
from vmsmp.vm import page_entry
from vmsmp.vm.page_entry import VM_PROT_NONE, VM_PROT_READ, VM_PROT_WRITE
from vmsmp.vm.pmap import interlock
from vmsmp.vm.vm_page import (
    INTERLOCK,
    INTERLOCK_WAITING,
    PG_FICTITIOUS,
    PG_MAPPED,
    PG_MAPPEDMULTI,
    PG_RAM,
    PG_WRITEABLE,
    PTE_M,
    PTE_V,
    PTE_W,
    VM_PAGE_BITS_ALL,
    vm_page_busy_try,
    vm_page_busy_wait,
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
        page_entry.pmap_enter(m, prot)
        return m.flags.peek()

    assert PG_MAPPEDMULTI | (BOTH if prot == RW else PG_MAPPED) == alone(program)


def test_a_page_that_is_unmapped_is_not_mapped_more_than_once_either(alone, page_on):
    def program(vm):
        m = mapped(vm, page_on, RW)
        page_entry.pmap_enter(m, RW)
        page_entry.pmap_page_protect(m, VM_PROT_NONE)
        return m.flags.peek()

    assert 0 == alone(program)


def test_flags_that_say_enough_already_are_not_set_again(steps, page_on):
    def prepare(vm):
        m = mapped(vm, page_on, RW)
        page_entry.pmap_enter(m, RW)
        return [m, VM_PROT_READ]

    assert ["load pg[7].flags", "setbits pg[7].md"] == steps(prepare, page_entry.pmap_enter)


@pytest.mark.parametrize(
    ("flags", "modified"), [(BOTH, True), (PG_MAPPED, False), (BOTH | PG_FICTITIOUS, False)]
)
def test_only_a_page_that_may_be_written_is_looked_at_for_modifications(alone, page_on, flags, modified):
    def program(vm):
        m = mapped(vm, page_on, RW, True)
        m.flags.value = flags
        return page_entry.pmap_is_modified(m)

    assert modified is alone(program)


@pytest.mark.parametrize("prot", [VM_PROT_READ, RW])
def test_the_flags_are_set_before_the_entry(steps, page_on, prot):
    rows = steps(lambda vm: [busied(vm, page_on), prot], page_entry.pmap_enter)
    assert ["load pg[7].flags", "cmpset pg[7].flags", "setbits pg[7].md"] == rows


def test_a_soft_busy_is_enough_to_map_a_page(alone, page_on):
    def program(vm):
        m = page_on(vm, "active")
        vm_page_sbusy_try(m)
        page_entry.pmap_enter(m, VM_PROT_READ)
        return m.md.peek()

    assert PTE_V == alone(program)


def test_a_page_may_be_mapped_during_i_o(alone, page_on):
    def program(vm):
        m = busied(vm, page_on)
        vm_page_io_start(m)
        vm_page_wakeup(m)
        page_entry.pmap_enter(m, VM_PROT_READ)
        return m.md.peek()

    assert PTE_V == alone(program)


def test_mapping_a_page_that_one_does_not_busy_panics(panic, page_on):
    def program(vm):
        m = busied(vm, page_on)
        vm.machine.spawn(page_entry.pmap_enter, m, VM_PROT_READ)  # the busy is another CPU's
        vm.machine.join()

    assert "pmap_enter: page not busied" == panic(program)


@pytest.mark.parametrize(
    ("prot", "could", "entry"),
    [(None, False, 0), (VM_PROT_READ, False, PTE_V), (RW, True, PTE_V | PTE_W | PTE_M)],
)
def test_a_process_stores_through_a_writeable_entry_only(alone, page_on, prot, could, entry):
    def program(vm):
        m = busied(vm, page_on) if prot is None else mapped(vm, page_on, prot)
        return page_entry.pmap_store(m), page_entry.pmap_is_modified(m), m.md.peek(), m.dirty

    assert (could, could, entry, 0) == alone(program)  # the page itself does not know of it yet


# -- removing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("stored", [False, True])
def test_an_entry_removed_by_its_process_takes_the_flags_along_and_tells_what_was_written(
    alone, page_on, stored
):
    def program(vm):
        m = mapped(vm, page_on, RW, stored)
        page_entry.pmap_remove(m)
        return seen(m)

    assert (0, 0, VM_PAGE_BITS_ALL if stored else 0) == alone(program)


def test_a_page_that_may_be_mapped_elsewhere_keeps_its_flags(alone, page_on):
    def program(vm):
        m = mapped(vm, page_on, RW)
        page_entry.pmap_enter(m, RW)
        page_entry.pmap_remove(m)
        return m.flags.peek()

    assert BOTH | PG_MAPPEDMULTI == alone(program)


def test_what_was_written_is_told_before_the_flags_go(steps, page_on):
    rows = steps(lambda vm: [mapped(vm, page_on, RW, True)], page_entry.pmap_remove)
    assert [
        "load pg[7].md",
        "fetchadd pg[7].md",
        "clearbits pg[7].md",
        "load pg[7].queue",
        "load pg[7].dirty",
        "store pg[7].dirty",
        "load pg[7].object",
        "load obj[0].flags",
        "setbits obj[0].flags",
        "load obj[0].type",
        "load pg[7].flags",
        "cmpset pg[7].flags",
        "fetchadd pg[7].md",
    ] == rows


def test_nothing_is_removed_where_nothing_is_mapped(steps, page_on):
    assert ["load pg[7].md"] == steps(lambda vm: [busied(vm, page_on)], page_entry.pmap_remove)


def test_flags_that_another_cpu_changes_meanwhile_are_read_again():
    tried = []

    def fcmpset(old, new):
        tried.append((old, new))
        return len(tried) == 2, PG_MAPPED | PG_RAM

    flags = SimpleNamespace(load=lambda: PG_MAPPED, fcmpset=fcmpset)
    interlock.pmap_removed_pte(SimpleNamespace(flags=flags))
    assert [(PG_MAPPED, 0), (PG_MAPPED | PG_RAM, PG_RAM)] == tried


@pytest.mark.parametrize("gone", [True, False])
def test_flags_are_only_told_however_few_entries_are_left(steps, alone, page_on, gone):
    def prepare(vm):
        m = mapped(vm, page_on, RW)
        page_entry.pmap_enter(m, RW)
        if gone:
            page_entry.pmap_remove(m)
        return [m]

    assert ["load pg[7].flags"] == steps(prepare, page_entry.pmap_mapped_sync)
    assert BOTH | PG_MAPPEDMULTI == alone(lambda vm: page_entry.pmap_mapped_sync(*prepare(vm)))


# -- protecting -----------------------------------------------------------------------------------


@pytest.mark.parametrize("prot", [VM_PROT_WRITE, RW])
def test_a_protection_never_gives_rights(steps, page_on, prot):
    assert [] == steps(lambda vm: [mapped(vm, page_on, VM_PROT_READ), prot], page_entry.pmap_page_protect)


@pytest.mark.parametrize(
    ("prot", "rows"),
    [
        (
            VM_PROT_NONE,
            [
                "cmpset pg[7].md",
                "load pg[7].flags",
                "cmpset pg[7].flags",
                "load pg[7].md",
                "clearbits pg[7].flags",
            ],
        ),
        (VM_PROT_READ, ["cmpset pg[7].md", "load pg[7].md", "clearbits pg[7].flags"]),
    ],
)
def test_a_protection_looks_for_cpus_that_remove_before_it_clears_the_flags(steps, page_on, prot, rows):
    found = steps(lambda vm: [mapped(vm, page_on, RW), prot], page_entry.pmap_page_protect)
    assert rows == found[-len(rows) :]


@pytest.mark.parametrize("flags", [0, PG_MAPPED])
def test_a_page_that_nobody_may_write_is_not_looked_at_for_writeable_entries(steps, page_on, flags):
    def prepare(vm):
        m = busied(vm, page_on)
        m.flags.setbits(flags)
        return [m, VM_PROT_READ]

    rows = steps(prepare, page_entry.pmap_page_protect)
    assert {"load pg[7].flags"} == {*rows}


def test_a_page_in_no_object_has_no_entries_to_find(alone, page_on):
    def program(vm):
        m = mapped(vm, page_on, RW)
        m.object.rb_memq.clear()
        m.object = None
        page_entry.pmap_page_protect(m, VM_PROT_NONE)
        return seen(m), page_entry.pmap_is_modified(m)

    assert ((PTE_V | PTE_W, 0, 0), False) == alone(program)


# -- interlock_count ------------------------------------------------------------------------------


def being_removed(vm, page_on):
    """A mapped page from which another CPU is about to take the entry away."""
    m = mapped(vm, page_on, RW)
    m.md.fetchadd(INTERLOCK)
    return m


@pytest.mark.parametrize("prot", [VM_PROT_NONE, VM_PROT_READ])
def test_a_protection_waits_for_who_takes_an_entry_away(alone, page_on, prot):
    def program(vm):
        m = being_removed(vm, page_on)
        cpu = vm.machine.spawn(_protect, m, prot)
        vm.machine.yield_()
        waits = cpu.done, m.md.peek() & INTERLOCK_WAITING, m.flags.peek() & BOTH
        interlock.interlock_drop(m)
        cpu.join()
        return waits, m.md.peek() & ~PTE_V, m.flags.peek() & PG_WRITEABLE, vm.machine.ticks

    def _protect(m, prot):
        page_entry.pmap_page_protect(m, prot)

    waits, left, flags, ticks = alone(program)
    assert (False, INTERLOCK_WAITING) == waits[:2]
    assert (0, 0, 0) == (left, flags, ticks)


def test_a_wait_for_who_takes_an_entry_away_lasts_a_tick_at_most(alone, page_on):
    def program(vm):
        m = being_removed(vm, page_on)
        waited = interlock.interlock_wait(m)
        return waited, vm.machine.ticks

    assert (True, 1) == alone(program)


def test_nobody_waits_where_no_entry_is_being_taken_away(steps, page_on):
    rows = steps(lambda vm: [mapped(vm, page_on, RW)], interlock.interlock_wait)
    assert ["load pg[7].md"] == rows


@pytest.mark.parametrize("more", [0, 1])
def test_the_last_one_wakes_who_waits(steps, page_on, more):
    def prepare(vm):
        m = being_removed(vm, page_on)
        m.md.fetchadd(INTERLOCK_WAITING + more * INTERLOCK)
        return [m]

    woken = ["clearbits pg[7].md", "wakeup pg[7].interlock_count"]
    assert ["fetchadd pg[7].md", *(woken if not more else [])] == steps(prepare, interlock.interlock_drop)


def test_a_page_says_that_entries_are_being_taken_away(alone, page_on):
    def program(vm):
        m = being_removed(vm, page_on)
        m.md.setbits(INTERLOCK_WAITING)
        return m.md.state()

    assert "vw+1|WAITING" == alone(program)


def test_what_is_written_before_an_unmapping_is_known_after_a_protection(together, page_on):
    def program(vm):
        m = page_on(vm, "active")
        vm_page_busy_try(m, False)
        page_entry.pmap_enter(m, RW)
        vm_page_wakeup(m)
        stored = vm.machine.atomic(0)

        def process():
            if page_entry.pmap_store(m):
                stored.store(1)
            page_entry.pmap_remove(m)

        vm.machine.spawn(process)
        vm_page_busy_wait(m, False)
        page_entry.pmap_page_protect(m, VM_PROT_NONE)
        written, dirty = stored.load(), m.hint("dirty")
        vm.machine.check(dirty or not written, "what was written is known once the page is protected")
        vm_page_wakeup(m)
        vm.machine.join()

    together(program, schedules=300)
