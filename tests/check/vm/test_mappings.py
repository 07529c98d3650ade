"""What the flags of a page say of the entries that name it, whichever of the two changes."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace

import pytest

import vmsmp
from tables import MEMORY, Space, at
from vmsmp.check.vm.mappings import broken_change, broken_mapping
from vmsmp.engine import ops
from vmsmp.mmu.entry import PG_A, PG_M, PG_NX, PG_RW, PG_V, make_entry
from vmsmp.scenarios.vm_fault._memory import Process, object_at
from vmsmp.scenarios.vm_map._spaces import map_anon
from vmsmp.vm.pmap import (
    PG_MANAGED,
    PG_W,
    pmap_clear_modify,
    pmap_pte,
    pmap_pte_pindex,
    pmap_remove,
    pv_get,
    pv_placemarker_wakeup,
)
from vmsmp.vm.vm_page import (
    PAGE_SIZE,
    PG_MAPPED,
    PG_MAPPEDMULTI,
    PG_WRITEABLE,
    vm_page_busy_wait,
    vm_page_dirty,
    vm_page_wakeup,
)

READABLE = PG_V | PG_MANAGED
WRITABLE = READABLE | PG_RW


def fails(program):
    """The message with which all checkers stop `program(vm)`, or None."""
    result = vmsmp.explore(lambda m: program(m.boot(**MEMORY)), sched="dfs:0", schedules=1)
    return result.failure and result.failure.message


@contextmanager
def placemark(space, page):
    """The entry of a page, with its placemark owned."""
    _, pmark = pv_get(space.pmap, pmap_pte_pindex(at(page)), mark=True)
    yield pmap_pte(space.pmap, at(page))
    pv_placemarker_wakeup(pmark)


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
        with placemark(space, 1) as entry:
            entry.swap(make_entry(space.pages[1].phys, READABLE))
            entry.load()

    assert "INV-P1: pg: an entry of a page table names it, and it is not flagged as mapped" == fails(program)


def test_a_second_entry_of_a_page_is_seen():
    def program(vm):
        space = Space(vm, 2)
        m = space.enter()
        with placemark(space, 1) as entry:
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


# -- who changes an entry, and how ----------------------------------------------------------------

OLD, NEW = make_entry(7, WRITABLE), make_entry(8, WRITABLE)
MORE = "an entry of its table gives more than before, by one without its placemark"
UNSEEN = "an entry of its table is taken away unseen, by one without its placemark"
STORED = "a valid entry of its table is stored to, and what a walk set meanwhile is lost"
NO_STORE = "an entry of its table says that a process has stored, and none has"
NO_USE = "an entry of its table says that a process has used it, and none has"


def judged(before, after, kind, owned=False, walks=False):
    """What is wrong with a change of an entry."""
    same = bool(before & after & PG_V) and before >> 12 == after >> 12
    write = SimpleNamespace(before=before, kind=kind)
    broken = broken_change(write, after, owned=owned, same=same, walks=walks)
    return broken and f"{broken.invariant}: {broken.text}"


@pytest.mark.parametrize(
    ("before", "after", "kind", "word"),
    [
        (0, OLD, ops.SWAP, MORE),
        (OLD, NEW, ops.CMPSET, MORE),
        (OLD & ~PG_RW, OLD, ops.CMPSET, MORE),
        (OLD | PG_NX, OLD, ops.CMPSET, MORE),
        (OLD, 0, ops.SWAP, UNSEEN),
        (OLD, OLD & ~PG_RW, ops.CLEARBITS, UNSEEN),
        (OLD, 0, ops.CMPSET, None),
        (OLD, OLD & ~PG_RW, ops.CMPSET, None),
        (OLD | PG_W, OLD, ops.CLEARBITS, None),
        (OLD | PG_A | PG_M, OLD, ops.CLEARBITS, None),
    ],
)
def test_who_has_no_placemark_takes_away_only_what_it_has_seen(before, after, kind, word):
    assert (word and f"INV-R6: {word}") == judged(before, after, kind)
    assert None is judged(before, after, kind, owned=True)


@pytest.mark.parametrize(
    ("before", "after", "kind", "how", "word"),
    [
        (OLD, OLD | PG_A, ops.SETBITS, "", NO_USE),
        (OLD, OLD | PG_A, ops.CMPSET, "walks", None),
        (OLD, OLD | PG_A, ops.SWAP, "owned", None),
        (OLD, OLD | PG_M, ops.SWAP, "owned", NO_STORE),
        (OLD, OLD | PG_A | PG_M, ops.CMPSET, "walks", None),
        (0, NEW | PG_M, ops.SWAP, "owned", NO_STORE),
        (OLD | PG_M, NEW | PG_M, ops.SWAP, "owned", NO_STORE),
        (OLD, 0, ops.ATOMIC_STORE, "owned", STORED),
        (0, NEW, ops.ATOMIC_STORE, "owned", None),
    ],
)
def test_a_and_m_are_set_by_walks_and_lost_by_nobody(before, after, kind, how, word):
    found = judged(before, after, kind, **({how: True} if how else {}))
    assert (word and f"INV-R7: {word}") == found


@pytest.mark.parametrize(
    ("change", "invariant"),
    [
        pytest.param(lambda entry: entry.swap(0), "INV-R6: pv", id="taken away unseen"),
        pytest.param(lambda entry: entry.cmpset(entry.peek(), 0), None, id="taken away as seen"),
        pytest.param(lambda entry: entry.clearbits(PG_RW), "INV-R6: pv", id="made read-only unseen"),
        pytest.param(lambda entry: entry.setbits(PG_M), "INV-R7: pv", id="said to be stored to"),
        pytest.param(lambda entry: entry.store(0), "INV-R7: pv", id="stored to"),
        pytest.param(lambda entry: entry.clearbits(PG_A), None, id="said to be unused"),
    ],
)
def test_a_checker_sees_how_an_entry_changes(change, invariant):
    def program(vm):
        space = Space(vm)
        space.enter()
        entry = pmap_pte(space.pmap, at(0))
        change(entry)
        entry.load()

    found = fails(program) or ""
    assert found.startswith(invariant) if invariant else found[:6] not in ("INV-R6", "INV-R7")


def test_who_owns_another_entry_s_placemark_may_not_make_one():
    def program(vm):
        space = Space(vm, 2)
        space.enter()
        with placemark(space, 1):
            entry = pmap_pte(space.pmap, at(0))
            entry.swap(make_entry(space.pages[0].phys, READABLE | PG_A))
            entry.swap(0)
            entry.load()

    assert "INV-R6: pv: an entry of its table is taken away unseen" in (fails(program) or "")


# -- what a page is told --------------------------------------------------------------------------

UNTOLD = "INV-P5: pg: a process has written to it, which an entry that is gone said, and it was not told"


def written_to(vm):
    """A process' pmap and its page, to which it has written."""
    process = Process(vm)
    map_anon(vm.machine, process.map, PAGE_SIZE, 1)
    process.enter().store(PAGE_SIZE, 1)
    return process.map.pmap, next(iter(object_at(process.map, PAGE_SIZE).peek("rb_memq").values()))


@pytest.mark.parametrize("told", [True, False])
def test_the_page_learns_before_the_placemark_goes_that_it_was_written_to(told):
    def program(vm):
        pmap, m = written_to(vm)
        m.dirty = 0
        _, pmark = pv_get(pmap, pmap_pte_pindex(PAGE_SIZE), mark=True)
        assert pmap_pte(pmap, PAGE_SIZE).swap(0) & PG_M
        if told:
            vm_page_dirty(m)
        pv_placemarker_wakeup(pmark)
        vm.machine.panic("all is told")

    assert ("panic: all is told" if told else UNTOLD) == fails(program)


@pytest.mark.parametrize("told", [True, False])
def test_the_page_learns_before_its_busy_goes_that_it_was_written_to(told):
    def program(vm):
        pmap, m = written_to(vm)
        vm_page_busy_wait(m, True)
        m.dirty = 0
        entry = pmap_pte(pmap, PAGE_SIZE)
        assert entry.cmpset(entry.peek(), entry.peek() & ~(PG_RW | PG_M))
        if told:
            vm_page_dirty(m)
        vm_page_wakeup(m)
        vm.machine.panic("all is told")

    assert ("panic: all is told" if told else UNTOLD) == fails(program)


def test_who_forgets_that_a_page_was_written_to_need_not_tell_it():
    def program(vm):
        _, m = written_to(vm)
        vm_page_busy_wait(m, True)
        m.dirty = 0
        pmap_clear_modify(m)
        vm_page_wakeup(m)
        vm.machine.panic("all is told")

    assert "panic: all is told" == fails(program)
