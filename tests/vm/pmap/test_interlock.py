"""interlock_count, and the flags of a page whose entry is gone."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from vmsmp.vm.pmap import interlock_bump, interlock_drop, interlock_wait, pmap_removed_pte
from vmsmp.vm.vm_page import (
    INTERLOCK_WAITING,
    PG_MAPPED,
    PG_MAPPEDMULTI,
    PG_RAM,
    PG_WRITEABLE,
)


@pytest.mark.parametrize(
    ("flags", "left"),
    [
        (PG_MAPPED | PG_WRITEABLE | PG_RAM, PG_RAM),
        (PG_MAPPED | PG_MAPPEDMULTI | PG_WRITEABLE, PG_MAPPED | PG_MAPPEDMULTI | PG_WRITEABLE),
    ],
)
def test_the_flags_go_unless_the_page_was_mapped_more_than_once(alone, page_on, flags, left):
    def program(vm):
        m = page_on(vm, "none")
        m.flags.value = flags
        pmap_removed_pte(m)
        found, m.flags.value = m.flags.peek(), 0
        return found

    assert left == alone(program)


def test_flags_that_change_meanwhile_are_looked_at_again():
    tried = []

    def fcmpset(old, new):
        tried.append((old, new))
        return len(tried) == 2, PG_MAPPED | PG_RAM

    flags = SimpleNamespace(load=lambda: PG_MAPPED, fcmpset=fcmpset)
    pmap_removed_pte(SimpleNamespace(flags=flags))
    assert [(PG_MAPPED, 0), (PG_MAPPED | PG_RAM, PG_RAM)] == tried


def test_who_counts_itself_is_waited_for_until_it_is_done(alone, page_on):
    def program(vm):
        m = page_on(vm, "none")
        waited = []
        interlock_bump(m)
        cpu = vm.machine.spawn(lambda: waited.append(interlock_wait(m)))
        vm.machine.yield_()
        told = cpu.done, m.interlock_count.peek()
        interlock_drop(m)
        cpu.join()
        return told, waited, m.interlock_count.peek(), vm.machine.ticks

    assert ((False, INTERLOCK_WAITING | 1), [True], 0, 0) == alone(program)


def test_nobody_is_waited_for_where_nobody_is_counted(alone, page_on):
    assert False is alone(lambda vm: interlock_wait(page_on(vm, "none")))


def test_a_wait_lasts_a_tick_at_most(alone, page_on):
    def program(vm):
        m = page_on(vm, "none")
        interlock_bump(m)
        waited = interlock_wait(m), vm.machine.ticks
        interlock_drop(m)
        return waited

    assert (True, 1) == alone(program)


@pytest.mark.parametrize("more", [0, 1])
def test_the_last_one_wakes_who_waits(alone, page_on, steps, more):
    def prepare(vm):
        m = page_on(vm, "none")
        m.interlock_count.fetchadd(INTERLOCK_WAITING + 1 + more)
        return [m]

    woken = ["clearbits pg[7].interlock_count", "wakeup pg[7].interlock_count"]
    assert ["fetchadd pg[7].interlock_count", *(woken if not more else [])] == steps(prepare, interlock_drop)


def test_the_count_is_shown_with_its_waiters(alone, page_on):
    def program(vm):
        m = page_on(vm, "none")
        m.interlock_count.fetchadd(INTERLOCK_WAITING | 2)
        return m.interlock_count.state()

    assert "WAITING|2" == alone(program)
