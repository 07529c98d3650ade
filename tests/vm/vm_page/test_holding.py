"""Holding a page and wiring it."""

from __future__ import annotations

import pytest

from page_layer import busied, on
from vmsmp.vm import vm_page as p
from vmsmp.vm.vm_page import (
    PG_FICTITIOUS,
    PG_NEED_COMMIT,
    PG_UNQUEUED,
    vm_page_busy_try,
    vm_page_busy_wait,
    vm_page_free,
)
from vmsmp.vm.vm_pageout import vm_pageout_free_hold

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])


# -- hold -----------------------------------------------------------------------------------------


def test_a_hold_is_counted(alone, page_on):
    def program(vm):
        m = page_on(vm, "active")
        p.vm_page_hold(m)
        p.vm_page_hold(m)
        p.vm_page_unhold(m)
        return m.hold_count.peek(), on(m)

    assert (1, "active") == alone(program)


def test_a_hold_on_a_free_page_panics(panic, page_on):
    assert "vm_page_hold: page is free" == panic(lambda vm: p.vm_page_hold(page_on(vm, "free")))


def test_a_hold_counts_before_it_looks_at_the_queue(steps, page_on):
    rows = steps(lambda vm: [page_on(vm, "active")], p.vm_page_hold)
    assert ["fetchadd pg[7].hold_count", "load pg[7].queue"] == rows


def test_an_unhold_reads_the_count_and_the_queue_before_it_counts_down(steps, page_on):
    rows = steps(lambda vm: [page_on(vm, "hold")], p.vm_page_unhold)
    assert ["load pg[7].hold_count", "load pg[7].queue", "fetchadd pg[7].hold_count"] == rows[:3]


def test_an_unhold_of_a_page_that_nobody_holds_panics(panic, page_on):
    message = panic(lambda vm: p.vm_page_unhold(page_on(vm, "active")))
    assert "vm_page_unhold: page not held, or free" == message


def test_an_unhold_of_a_free_page_panics(panic, page_on):
    def program(vm):
        m = page_on(vm, "free")
        m.hold_count.value = 1
        p.vm_page_unhold(m)

    assert "vm_page_unhold: page not held, or free" == panic(program)


def test_the_last_unhold_of_a_page_freed_meanwhile_makes_it_free(alone, page_on):
    def program(vm):
        m = page_on(vm, "hold")
        p.vm_page_unhold(m)
        return on(m), m.hold_count.peek(), vm.meter.count("v_free_count"), vm.meter.count("v_active_count")

    assert ("free", 0, 8, 0) == alone(program)


def test_an_unhold_that_is_not_the_last_leaves_the_page_on_hold(alone, page_on):
    def program(vm):
        m = page_on(vm, "hold")
        m.hold_count.value = 2
        p.vm_page_unhold(m)
        return on(m), m.hold_count.peek()

    assert ("hold", 1) == alone(program)


def test_an_unhold_that_is_not_the_last_takes_no_lock(steps, page_on):
    def prepare(vm):
        m = page_on(vm, "hold")
        m.hold_count.value = 2
        return [m]

    assert [] == [row for row in steps(prepare, p.vm_page_unhold) if row.startswith("acquire")]


def test_the_last_unhold_of_a_page_in_use_leaves_it_where_it_is(steps, page_on):
    def prepare(vm):
        m = page_on(vm, "active")
        p.vm_page_hold(m)
        return [m]

    rows = steps(prepare, p.vm_page_unhold)
    assert ["fetchadd pg[7].hold_count", "load pg[7].queue"] == rows[-2:]


def test_the_last_unhold_moves_the_page_under_its_spinlock_and_each_queue_s(steps, page_on):
    rows = steps(lambda vm: [page_on(vm, "hold")], p.vm_page_unhold)
    assert [
        "acquire pg[7].spin",
        "load pg[7].hold_count",
        "acquire pq.hold[0].spin",
        "release pq.hold[0].spin",
        "acquire pq.free[0].spin",
        "release pq.free[0].spin",
        "release pg[7].spin",
    ] == [
        row for row in rows[rows.index("acquire pg[7].spin") :] if "gd_vm" not in row and "flags" not in row
    ]


@pytest.mark.parametrize(("kind", "holds"), [("FREE", 0), ("ACTIVE", 0), ("HOLD", 1)])
def test_an_unhold_looks_again_under_the_spinlock_whether_the_page_is_still_to_be_freed(
    alone, page_on, kind, holds
):
    def program(vm):
        m = page_on(vm, "hold")
        m.spin.acquire()
        vm.machine.spawn(p.vm_page_unhold, m)
        vm.machine.yield_()  # it has seen the page on hold, and waits for its spinlock
        left = m.queue = getattr(vm.page, f"PQ_{kind}") + m.pc  # meanwhile another freed, took or held it
        m.hold_count.value = holds
        before = sum(pq.adds for pq in vm.page.vm_page_queues)
        m.spin.release()
        vm.machine.join()
        return m.queue == left, sum(pq.adds for pq in vm.page.vm_page_queues) - before

    assert (True, 0) == alone(program)


@DEPTHS
def test_of_two_holders_the_last_to_leave_frees_the_page_once(together, page_on, locks):
    def program(vm):
        m = page_on(vm, "none")
        held = vm.machine.atomic(0)

        def holder():
            p.vm_page_hold(m)
            held.fetchadd(1)
            while held.load() < 3:
                vm.machine.pause()
            p.vm_page_unhold(m)

        def owner():
            vm_page_busy_wait(m, True)
            while held.load() < 2:
                vm.machine.pause()
            vm_page_free(m)
            held.fetchadd(1)

        for fn in (holder, holder, owner):
            vm.machine.spawn(fn)
        vm.machine.join()
        vm.machine.check((on(m), vm.meter.count("v_free_count")) == ("free", 2), "it is free, once")

    together(program, locks=locks, pages=2)


@DEPTHS
def test_an_unhold_and_a_free_at_once_leave_the_page_free_after_a_sweep(together, page_on, locks):
    def program(vm):
        m = page_on(vm, "none")
        held = vm.machine.atomic(0)

        def holder():
            p.vm_page_hold(m)
            held.store(1)
            p.vm_page_unhold(m)

        def owner():
            vm_page_busy_wait(m, True)
            while not held.load():
                vm.machine.pause()
            vm_page_free(m)

        vm.machine.spawn(holder)
        vm.machine.spawn(owner)
        vm.machine.join()
        vm.machine.check(on(m) in ("free", "hold"), "it may be left on hold")
        vm_pageout_free_hold(vm)
        vm.machine.check(on(m) == "free", "and is free after a sweep")

    together(program, schedules=150, locks=locks, pages=2)


# -- wire -----------------------------------------------------------------------------------------


def wired_count(vm):
    return vm.mycpu().gd_vmstats_adj.peek("v_wire_count")


def test_the_first_wiring_of_a_page_counts_it_as_wired_and_further_ones_do_not(alone, page_on):
    def program(vm):
        m = page_on(vm, "active")
        vm_page_busy_try(m, False)
        seen = []
        for _ in range(3):
            p.vm_page_wire(m)
            seen.append((m.wire_count.peek(), wired_count(vm)))
        return seen, on(m)  # wired pages stay where they are

    assert ([(1, 1), (2, 1), (3, 1)], "active") == alone(program)


def test_the_last_unwiring_of_a_page_counts_it_off_and_the_others_do_not(alone):
    def program(vm):
        m, seen = busied(vm), []
        for _ in range(3):
            p.vm_page_wire(m)
        for _ in range(3):
            p.vm_page_unwire(m, False)
            seen.append((m.wire_count.peek(), wired_count(vm), on(m)))
        return seen

    assert [(2, 1, "none"), (1, 1, "none"), (0, 0, "inactive")] == alone(program)


@pytest.mark.parametrize(
    ("activate", "flag", "left"),
    [
        (False, 0, "inactive"),
        (True, 0, "active"),
        (False, PG_NEED_COMMIT, "active"),
        (True, PG_UNQUEUED, "none"),
        (False, PG_UNQUEUED, "none"),
    ],
)
def test_the_last_unwiring_puts_the_page_on_the_queue_asked_for(alone, activate, flag, left):
    def program(vm):
        m = busied(vm)
        p.vm_page_wire(m)
        m.flags.setbits(flag)
        p.vm_page_unwire(m, activate)
        return on(m)

    assert left == alone(program)


def test_a_fictitious_page_is_neither_wired_nor_unwired(alone):
    def program(vm):
        m = busied(vm)
        m.flags.setbits(PG_FICTITIOUS)
        m.wire_count.value = 1
        p.vm_page_wire(m)
        p.vm_page_unwire(m, True)
        p.vm_page_unwire(m, True)
        return m.wire_count.peek(), wired_count(vm), on(m)

    assert (1, 0, "none") == alone(program)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (p.vm_page_wire, "vm_page_wire: page not busy"),
        (lambda m: p.vm_page_unwire(m, False), "vm_page_unwire: page not busy"),
    ],
)
def test_a_page_neither_busied_nor_wired_can_be_neither_wired_nor_unwired(panic, page_on, act, message):
    assert message == panic(lambda vm: act(page_on(vm, "active")))


def test_an_unwiring_reads_the_count_before_it_counts_down(steps, page_on):
    def prepare(vm):
        m = page_on(vm, "active")
        vm_page_busy_try(m, False)
        p.vm_page_wire(m)
        return [m, True]

    rows = [row for row in steps(prepare, p.vm_page_unwire) if "wire_count" in row]
    assert ["load pg[7].wire_count", "fetchadd pg[7].wire_count"] == rows[:2]


def test_an_unwiring_too_many_panics(panic):
    assert "vm_page_unwire: wire count is zero" == panic(lambda vm: p.vm_page_unwire(busied(vm), False))


@pytest.mark.parametrize(
    ("act", "first"),
    [(p.vm_page_wire, "fetchadd"), (lambda m: p.vm_page_unwire(m, False), "load")],
    ids=["wire", "unwire"],
)
def test_wiring_and_unwiring_need_not_look_at_what_their_busy_keeps_still(steps, page_on, act, first):
    def prepare(vm):
        m = page_on(vm, "active")
        vm_page_busy_try(m, False)
        p.vm_page_wire(m)
        return [m]

    assert f"{first} pg[7].wire_count" == steps(prepare, act)[0]
