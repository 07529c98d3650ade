"""What the flags of a page say of the entries that name it, whichever of the two changes."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

import vmsmp
from tables import MEMORY, Space, at
from vmsmp.check.vm.mappings import broken_mapping
from vmsmp.mmu.entry import PG_RW, PG_V, make_entry
from vmsmp.vm.pmap import PG_MANAGED, pmap_pte, pmap_remove
from vmsmp.vm.vm_page import (
    PG_MAPPED,
    PG_MAPPEDMULTI,
    PG_WRITEABLE,
    vm_page_busy_wait,
)

READABLE = PG_V | PG_MANAGED
WRITABLE = READABLE | PG_RW


def fails(program):
    """The message with which all checkers stop `program(vm)`, or None."""
    result = vmsmp.explore(lambda m: program(m.boot(**MEMORY)), sched="dfs:0", schedules=1)
    return result.failure and result.failure.message


@pytest.mark.parametrize(
    ("flags", "entries", "word"),
    [
        (0, [READABLE], "an entry of a page table names it, and it is not flagged as mapped"),
        (PG_MAPPED, [READABLE], None),
        (PG_MAPPED | PG_WRITEABLE, [READABLE] * 2, "2 entries name it, and it is flagged as mapped once"),
        (PG_MAPPED, [WRITABLE], "a process may write to it, and it is not flagged so"),
        (PG_MAPPED | PG_MAPPEDMULTI | PG_WRITEABLE, [READABLE, WRITABLE], None),
    ],
)
def test_flags_say_what_entries_there_are(flags, entries, word):
    broken = broken_mapping(SimpleNamespace(flags=SimpleNamespace(value=flags)), entries)
    assert word == (broken and broken.text)


def test_flags_that_say_too_little_from_now_on_are_seen():
    def program(vm):
        m = Space(vm).enter()
        m.flags.clearbits(PG_MAPPED)
        m.flags.load()

    assert "INV-P1: pg: an entry of a page table names it, and it is not flagged as mapped" == fails(program)


def test_an_entry_that_says_more_than_the_flags_is_seen():
    def program(vm):
        space = Space(vm, 2)
        space.enter()
        entry = pmap_pte(space.pmap, at(1))
        entry.swap(make_entry(space.pages[1].phys, READABLE))
        entry.load()

    assert "INV-P1: pg: an entry of a page table names it, and it is not flagged as mapped" == fails(program)


def test_a_second_entry_of_a_page_is_seen():
    def program(vm):
        space = Space(vm, 2)
        m = space.enter()
        entry = pmap_pte(space.pmap, at(1))
        entry.swap(make_entry(m.phys, READABLE))
        entry.load()

    assert "INV-P1: pg: 2 entries name it, and it is flagged as mapped once" == fails(program)


def test_what_the_page_holds_is_no_table_of_entries():
    def program(vm):
        m = Space(vm).enter()
        vm.memory.zero(m.phys)
        m.flags.clearbits(PG_WRITEABLE)
        m.flags.load()

    assert "INV-P1: pg: a process may write to it, and it is not flagged so" == fails(program)


def test_entries_that_come_and_go_as_in_the_kernel_break_nothing():
    def program(vm):
        space = Space(vm)
        for _ in range(2):
            m = space.enter()
            pmap_remove(space.pmap, at(0), at(1))
        assert not m.flags.load() & PG_MAPPED
        space.enter()

    assert None is fails(program)


def test_a_table_that_is_zeroed_names_nothing():
    def program(vm):
        space = Space(vm)
        m = space.enter()
        vm.memory.zero(space.pmap.peek("pm_pvroot").peekitem(0)[1].peek("pv_m").phys)
        m.flags.clearbits(PG_MAPPED)
        m.flags.load()

    assert not (fails(program) or "").startswith("INV-P1")


def test_a_page_that_is_freed_has_no_entries():
    def program(vm):
        space = Space(vm)
        m = space.enter()
        vm_page_busy_wait(m, True)
        for hook in vm.hooks.freed:
            hook(vm.machine.curcpu, m)

    assert "INV-P2: pg freed while an entry of a page table names it" == fails(program)
