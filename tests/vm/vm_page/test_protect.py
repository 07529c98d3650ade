"""Taking a page's mapping away, and looking for what was written through it."""

from __future__ import annotations

import pytest

from mappings import BOTH, RW, busied, entry, map_page, mapped, seen, store
from vmsmp.vm import vm_page
from vmsmp.vm.vm_map import VM_PROT_NONE, VM_PROT_READ
from vmsmp.vm.vm_page import (
    PG_MAPPED,
    PG_RAM,
    PG_WRITEABLE,
    VM_PAGE_BITS_ALL,
    vm_page_busy_try,
    vm_page_busy_wait,
    vm_page_sbusy_drop,
    vm_page_sbusy_try,
    vm_page_wakeup,
)

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("before", [VM_PROT_READ, RW])
def test_a_page_protected_altogether_has_no_entry_and_no_flags(alone, page_on, before, stored):
    def program(vm):
        m = mapped(vm, page_on, before, stored)
        m.flags.setbits(PG_RAM)
        vm_page.vm_page_protect(m, VM_PROT_NONE)
        assert m.flags.peek() & PG_RAM
        return seen(m)

    assert ("", 0, VM_PAGE_BITS_ALL if stored and before == RW else 0) == alone(program)


@pytest.mark.parametrize("stored", [False, True])
def test_a_page_protected_against_writing_stays_mapped_for_reading(alone, page_on, stored):
    def program(vm):
        m = mapped(vm, page_on, RW, stored)
        vm_page.vm_page_protect(m, VM_PROT_READ)
        return seen(m), store(m)

    assert (("v", PG_MAPPED, VM_PAGE_BITS_ALL if stored else 0), False) == alone(program)


@pytest.mark.parametrize(
    ("flags", "prot", "rows"),
    [
        (BOTH, RW, []),
        (0, VM_PROT_READ, ["load pg[7].flags"]),
        (PG_MAPPED, VM_PROT_READ, ["load pg[7].flags"]),
        (0, VM_PROT_NONE, ["load pg[7].flags"]),
        (PG_WRITEABLE, VM_PROT_NONE, 2 * ["load pg[7].flags"]),
        (
            BOTH,
            VM_PROT_NONE,
            [
                *2 * ["load pg[7].flags"],
                "load pg[7].object",
                "request obj[0].baclk",
                "release obj[0].baclk",
                "load pg[7].interlock_count",
                "clearbits pg[7].flags",
            ],
        ),
        (
            BOTH,
            VM_PROT_READ,
            [
                *4 * ["load pg[7].flags"],
                "load pg[7].object",
                "request obj[0].baclk",
                "release obj[0].baclk",
                "load pg[7].interlock_count",
                "clearbits pg[7].flags",
            ],
        ),
    ],
)
def test_a_protection_of_a_page_that_has_no_entry_takes_its_flags_at_most(steps, page_on, flags, prot, rows):
    def prepare(vm):
        m = busied(vm, page_on)
        m.flags.setbits(flags)
        return [m, prot]

    assert rows == steps(prepare, vm_page.vm_page_protect)


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


@pytest.mark.parametrize("prot", [VM_PROT_NONE, VM_PROT_READ])
def test_taking_an_entry_away_waits_for_who_changes_the_list_of_backings(alone, page_on, prot):
    def program(vm):
        m = mapped(vm, page_on, RW)
        lock = m.object.backing_lk
        vm_page_wakeup(m)
        lock.acquire()

        def protector():
            vm_page_busy_wait(m, True)
            vm_page.vm_page_protect(m, prot)
            vm_page_wakeup(m)

        cpu = vm.machine.spawn(protector)
        vm.machine.yield_()
        before = cpu.done, entry(m)
        lock.release()
        cpu.join()
        return before, entry(m)

    assert ((False, "vw"), "" if prot == VM_PROT_NONE else "v") == alone(program)


def test_the_entry_goes_before_the_flags(steps, page_on):
    rows = steps(lambda vm: [mapped(vm, page_on, RW), VM_PROT_NONE], vm_page.vm_page_protect)
    gone = next(n for n, row in enumerate(rows) if row.startswith("cmpset table["))
    assert rows.index("clearbits pg[7].flags") > gone
    assert "load pg[7].interlock_count" == rows[-2]


@pytest.mark.parametrize("stored", [False, True])
def test_a_look_for_dirt_finds_what_was_stored_and_leaves_the_mapping(alone, page_on, stored):
    def program(vm):
        m = mapped(vm, page_on, RW, stored)
        vm_page.vm_page_test_dirty(m)
        return m.dirty, entry(m)

    assert ((VM_PAGE_BITS_ALL, "vwm") if stored else (0, "vw")) == alone(program)


@DEPTHS
@pytest.mark.parametrize("prot", [VM_PROT_NONE, VM_PROT_READ])
def test_no_store_slips_past_a_protection(together, page_on, locks, prot):
    def program(vm):
        m = page_on(vm, "active")
        stored = vm.machine.atomic(0)

        def process():
            if not vm_page_sbusy_try(m):
                map_page(m, RW)
                vm_page_sbusy_drop(m)
                if store(m):
                    stored.store(1)

        def protector():
            vm_page_busy_wait(m, True)
            vm_page.vm_page_protect(m, prot)
            vm.machine.check("w" not in entry(m), "nobody can write any more")
            vm.machine.check(not m.flags.peek() & PG_WRITEABLE, "and it says so")
            vm_page_wakeup(m)

        vm.machine.spawn(process)
        vm.machine.spawn(protector)
        vm.machine.join()
        if stored.load():
            vm.machine.check(m.dirty or "m" in entry(m), "what was written is known")

    together(program, schedules=60, locks=locks)


def test_parallel_processes_write_and_unmap_and_the_page_is_dirty(parallel, page_on):
    def program(vm):
        m = page_on(vm, "active")
        stored = vm.machine.atomic(0)

        def process():
            for _ in range(20):
                vm_page_busy_wait(m, True)
                map_page(m, RW)
                stored.fetchadd(store(m))
                vm_page.vm_page_protect(m, VM_PROT_NONE)
                vm_page_wakeup(m)

        for _ in range(3):
            vm.machine.spawn(process)
        vm.machine.join()
        return stored.load(), *seen(m)

    assert (60, "", 0, VM_PAGE_BITS_ALL) == parallel(program)


def test_a_look_for_dirt_is_over_if_the_page_is_all_dirty(steps, page_on):
    def prepare(vm):
        m = busied(vm, page_on)
        m.dirty = VM_PAGE_BITS_ALL
        return [m]

    assert ["load pg[7].dirty"] == steps(prepare, vm_page.vm_page_test_dirty)
