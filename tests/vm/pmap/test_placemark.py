"""Placemarks: waiting, and letting go."""

from __future__ import annotations

import pytest

from tables import MEMORY
from vmsmp.vm.pmap import (
    PM_NOPLACEMARK,
    PM_PLACEMARK_WAKEUP,
    names,
    pv_get,
    pv_placemarker_wait,
    pv_placemarker_wakeup,
)


def owned(vm, pindex=0x12):
    """A placemark of the running CPU."""
    _, pmark = pv_get(vm.pmap.make("pmap"), pindex, mark=True)
    return pmark


def test_an_empty_slot_names_no_index():
    assert names(0x12, 0x12)
    assert names(0x12 | PM_PLACEMARK_WAKEUP, 0x12)
    assert not names(0x22, 0x12)
    assert not names(PM_NOPLACEMARK, 0x12)


def test_an_owner_that_nobody_waits_for_wakes_nobody(rows):
    found = rows(lambda vm: [owned(vm)], pv_placemarker_wakeup)
    assert ["swap pmap.placemark[2].mark"] == found


def test_a_slot_that_nobody_owns_is_not_waited_for(rows):
    found = rows(lambda vm: [vm.pmap.make("pmap").placemark(1)], pv_placemarker_wait)
    assert ["load pmap.placemark[1].mark"] == found


def test_letting_go_of_what_nobody_owns_panics(panic):
    def program(vm):
        pv_placemarker_wakeup(vm.pmap.make("pmap").placemark(1))

    assert "pv_placemarker_wakeup: nobody owns the placemark" == panic(program, **MEMORY)


def test_who_waits_sleeps_until_the_owner_lets_go(alone):
    def program(vm):
        pmark = owned(vm)
        cpu = vm.machine.spawn(pv_placemarker_wait, pmark)
        vm.machine.yield_()
        waits = cpu.done, bool(pmark.mark.peek() & PM_PLACEMARK_WAKEUP)
        pv_placemarker_wakeup(pmark)
        cpu.join()
        return waits, pmark.mark.peek()

    waits, mark = alone(program, **MEMORY)
    assert (False, True) == waits
    assert PM_NOPLACEMARK == mark


@pytest.mark.parametrize("pindex", [0x12, 0x22])
def test_a_wait_that_nobody_ends_never_ends(sleeps, pindex):
    def program(vm):
        pmark = owned(vm, pindex)
        vm.machine.spawn(pv_placemarker_wait, pmark)
        vm.machine.join()

    assert sleeps(program, **MEMORY)


def test_no_wakeup_is_lost(together):
    def program(vm):
        pmark = owned(vm)
        vm.machine.spawn(pv_placemarker_wait, pmark)
        vm.machine.spawn(pv_placemarker_wait, pmark)
        pv_placemarker_wakeup(pmark)
        vm.machine.join()

    together(program, **MEMORY)
