"""pv entries: holds, locks, and looking them up."""

from __future__ import annotations

import pytest

from tables import MEMORY, new_pmap
from vmsmp.vm.pmap import (
    PM_NOPLACEMARK,
    PT_BASE,
    PV_HOLD_LOCKED,
    PV_HOLD_WAITING,
    pmap_allocpte,
    pv_alloc,
    pv_drop,
    pv_entry_lookup,
    pv_free,
    pv_get,
    pv_get_try,
    pv_hold_try,
    pv_lock,
    pv_placemarker_wakeup,
    pv_put,
    pv_unlock,
)

PT = PT_BASE + 3


def table(vm, pindex=PT):
    """A pmap, and the pv entry of a table page, locked."""
    pmap = new_pmap(vm)
    return pmap, pmap_allocpte(pmap, pindex)


def test_a_hold_of_a_free_entry_is_a_lock_too(alone):
    def program(vm):
        _, pv = table(vm)
        first = pv_hold_try(pv), pv.pv_hold.peek()
        pv_drop(pv)
        pv_unlock(pv)
        second = pv_hold_try(pv), pv.pv_hold.peek()
        pv_unlock(pv)
        return first, second

    assert ((False, PV_HOLD_LOCKED | 3), (True, PV_HOLD_LOCKED | 3)) == alone(program, **MEMORY)


def test_who_waits_for_a_lock_is_woken(alone):
    def program(vm):
        _, pv = table(vm)

        def waiter():
            assert not pv_hold_try(pv)
            pv_lock(pv)
            pv_put(pv)

        cpu = vm.machine.spawn(waiter)
        vm.machine.yield_()
        waits = cpu.done, pv.pv_hold.peek() & PV_HOLD_WAITING
        pv_put(pv)
        cpu.join()
        return waits, pv.pv_hold.peek(), vm.machine.ticks

    assert ((False, PV_HOLD_WAITING), 1, 0) == alone(program, **MEMORY)


def test_letting_a_lock_go_that_nobody_else_wants_is_one_step(rows):
    found = rows(lambda vm: [table(vm)[1]], pv_put)
    assert 1 == len(found)
    assert found[0].startswith("cmpset pv[")


@pytest.mark.parametrize(
    ("deed", "message"),
    [
        (pv_unlock, "pv_unlock: pv entry not locked"),
        (lambda pv: [pv_drop(pv), pv_drop(pv)], "pv_drop: last hold of a pv entry that is in use"),
    ],
)
def test_what_is_not_there_cannot_be_given_back(panic, deed, message):
    def program(vm):
        _, pv = table(vm)
        pv_put(pv)
        deed(pv)

    assert message == panic(program, **MEMORY)


def test_leaf_entries_have_no_pv_entries(alone):
    def program(vm):
        pmap, pv = table(vm)
        found = pv_entry_lookup(pmap, PT) is pv, pv_entry_lookup(pmap, PT + 1), pv_entry_lookup(pmap, 3)
        pv_put(pv)
        return found

    assert (True, None, None) == alone(program, **MEMORY)


def test_an_index_gets_one_entry(alone):
    def program(vm):
        pmap, pv = table(vm)
        pv_put(pv)
        again, isnew = pv_alloc(pmap, PT)
        pv_put(again)
        return again is pv, isnew, pmap.peek("resident_count")

    assert (True, False, 4) == alone(program, **MEMORY)


def test_memory_that_was_not_needed_is_kept_by_its_cpu(alone):
    def program(vm):
        pmap, pv = table(vm)
        pv_put(pv)
        pv_put(pv_alloc(pmap, PT)[0])
        (spare,) = vm.pmap.gd_newpv.values()
        new, isnew = pv_alloc(pmap, PT + 1)
        pmap.raw_pm_pvroot.pop(PT + 1)
        return new is spare, isnew, vm.pmap.gd_newpv

    told = []

    def outcome(vm):
        told.append(program(vm))

    alone(outcome, **MEMORY)
    assert [(True, True, {})] == told


def test_an_index_without_an_entry_is_locked_by_its_placemark(alone):
    def program(vm):
        pmap = new_pmap(vm)
        pv, pmark = pv_get(pmap, 0x12, mark=True)
        owned = pv, pmark.mark.peek()
        tries = [pv_get_try(pmap, pindex, mark=True) for pindex in (0x12, 0x22, 0x13)]
        for mark in (pmark, tries[-1][1]):
            pv_placemarker_wakeup(mark)
        plain = pv_get(pmap, 0x12), pv_get_try(pmap, 0x12)[::2], pmark.mark.peek()
        return owned, [(pv, failed) for pv, _, failed in tries], plain

    owned, tries, plain = alone(program, **MEMORY)
    assert (None, 0x12) == owned
    assert [(None, True), (None, True), (None, False)] == tries
    assert ((None, None), (None, True), PM_NOPLACEMARK) == plain


def test_a_try_for_a_locked_entry_leaves_a_hold(alone):
    def program(vm):
        pmap, pv = table(vm)
        found, _, failed = pv_get_try(pmap, PT, mark=True)
        hold = pv.pv_hold.peek()
        pv_drop(found)
        pv_put(pv)
        return found is pv, failed, hold

    assert (True, True, PV_HOLD_LOCKED | 3) == alone(program, **MEMORY)


def test_a_freed_entry_leaves_its_pmap_and_its_parent_s_page(alone):
    def program(vm):
        pmap = new_pmap(vm)
        pvp = pmap_allocpte(pmap, PT_BASE + (1 << 27))
        pv, _ = pv_alloc(pmap, PT)
        pvp.pv_m.wire_count.value += 1
        before = pmap.peek("resident_count")
        pv_free(pv, None)
        pvp.pv_m.wire_count.value -= 1
        pv_put(pvp)
        return before - pmap.peek("resident_count"), pv.raw_pv_pmap, pv.freed, PT in pmap.raw_pm_pvroot

    assert (1, None, True, False) == alone(program, **MEMORY)


def test_two_who_want_one_new_entry_get_the_same(together):
    def program(vm):
        pmap = new_pmap(vm)

        def want():
            pv_put(pmap_allocpte(pmap, PT))

        vm.machine.spawn(want)
        vm.machine.spawn(want)
        vm.machine.join()
        assert 4 == pmap.peek("resident_count")

    together(program, schedules=30, **MEMORY)
