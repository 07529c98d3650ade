"""Activating, deactivating and unqueueing a page."""

from __future__ import annotations

import pytest

from mappings import accessed, map_page, store
from page_layer import busied, on
from vmsmp.vm import vm_page as p
from vmsmp.vm.vm_map import VM_PROT_READ, VM_PROT_WRITE
from vmsmp.vm.vm_page import (
    ACT_INIT,
    PG_FICTITIOUS,
    PG_RAM,
    PG_REFERENCED,
    PG_UNQUEUED,
    PG_WINATCFLS,
    vm_page_busy_try,
)

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])
NO_QUEUE = pytest.mark.parametrize("flag", [PG_FICTITIOUS, PG_UNQUEUED], ids=["fictitious", "unqueued"])


MOVES = {
    "active": p.vm_page_activate,
    "inactive": p.vm_page_deactivate,
}


@pytest.mark.parametrize("kind", ["none", "inactive", "active", "cache"])
@pytest.mark.parametrize("target", MOVES)
def test_a_page_is_moved_to_the_queue_of_its_colour_from_wherever_it_is(alone, page_on, kind, target):
    def program(vm):
        m = page_on(vm, kind)
        MOVES[target](m)
        pq = vm.page.vm_page_queues[m.queue]
        return on(m), m.queue - pq.base == m.pc, [*pq.pages()] == [m]

    assert (target, True, True) == alone(program, l2_size=4)


@NO_QUEUE
@pytest.mark.parametrize("move", [*MOVES.values(), p.vm_page_dontneed])
def test_a_page_that_must_be_on_no_queue_is_not_moved_to_one(alone, move, flag):
    def program(vm):
        m = busied(vm)
        m.flags.setbits(flag)
        move(m)
        return on(m), m.spin.holders

    assert ("none", []) == alone(program)


@pytest.mark.parametrize("kind", ["inactive", "active"])
@pytest.mark.parametrize(("before", "after"), [(0, ACT_INIT), (ACT_INIT - 1, ACT_INIT), (9, 9)])
def test_activation_gives_a_page_at_least_act_init_credits(alone, page_on, kind, before, after):
    def program(vm):
        m = page_on(vm, kind)
        m.act_count = before
        p.vm_page_activate(m)
        return m.act_count

    assert after == alone(program)


@pytest.mark.parametrize(
    "move", [*MOVES.values(), p.vm_page_dontneed, p.vm_page_unqueue, p.vm_page_unqueue_nowakeup]
)
@pytest.mark.parametrize("kind", ["inactive", "active", "cache"])
def test_a_page_is_moved_under_its_spinlock_and_each_queue_s_inside(steps, page_on, kind, move):
    rows = steps(lambda vm: [page_on(vm, kind)], move)
    locks = [row for row in rows if row.endswith(".spin")]
    page, queues = [row for row in locks if "pg" in row], [row for row in locks if "pq" in row]
    if queues:
        first, last = "acquire pg[7].spin", "release pg[7].spin"
        assert [first, last, first, last] == [*page, locks[0], locks[-1]]
        assert f"acquire pq.{kind}[0].spin" == queues[0]
    taken = [row.split()[1] for row in locks if row.startswith("acquire")]
    given = [row.split()[1] for row in locks if row.startswith("release")]
    assert sorted(taken) == sorted(given)


@pytest.mark.parametrize("kind", ["cache", "inactive"])
def test_activation_of_a_page_that_could_be_had_tells_the_pagedaemon(steps, page_on, kind):
    def prepare(vm):
        m = page_on(vm, kind)
        vm.meter.limits.v_paging_start = 99
        return [m]

    assert (kind == "cache") is ("wakeup vm_pages_needed" in steps(prepare, p.vm_page_activate))


def test_deactivation_of_an_inactive_page_leaves_it_in_its_place(alone, page_on):
    def program(vm):
        pages = [page_on(vm, "inactive", None, n) for n in range(3)]
        p.vm_page_deactivate(pages[0])
        return [*vm.page.vm_page_queues[vm.page.PQ_INACTIVE].pages()] == pages

    assert True is alone(program)


LEFT_ALONE, TO_HEAD, TO_TAIL = 14, 15, 127  # what the counter of pages not needed is before the call


@pytest.mark.parametrize(("credit", "left"), [(ACT_INIT + 1, ACT_INIT), (ACT_INIT, 4), (4, 4), (0, 0)])
@pytest.mark.parametrize(
    ("kind", "weight"), [("inactive", TO_HEAD), ("cache", TO_HEAD), ("active", LEFT_ALONE)]
)
def test_an_inactive_or_cached_page_not_needed_and_any_now_and_then_only_ages(
    alone, page_on, kind, weight, credit, left
):
    def program(vm):
        m = page_on(vm, kind)
        m.act_count = credit
        m.flags.setbits(PG_REFERENCED)
        vm.page.dnweight.store(weight)
        p.vm_page_dontneed(m)
        return on(m), m.act_count, m.flags.peek(), m.spin.holders

    assert (kind, left, PG_REFERENCED, []) == alone(program)


@pytest.mark.parametrize(
    ("before", "where"),
    [(0, None), (LEFT_ALONE, None), (TO_HEAD, 0), (126, 0), (TO_TAIL, 1), (142, 1), (143, 0), (511, None)],
)
def test_where_a_clean_page_not_needed_goes_depends_on_how_many_there_were(alone, page_on, before, where):
    def program(vm):
        page_on(vm, "inactive")
        m = page_on(vm, "active", None, 1)
        vm.page.dnweight.store(before)
        p.vm_page_dontneed(m)
        pages = [*vm.page.vm_page_queues[vm.page.PQ_INACTIVE].pages()]
        return pages.index(m) if m in pages else None, vm.page.dnweight.peek()

    assert (where, before + 1) == alone(program)


def test_a_page_not_needed_counts_as_used_by_nobody(alone, page_on):
    def program(vm):
        m = page_on(vm, "active")
        vm_page_busy_try(m, False)
        map_page(m, VM_PROT_READ)
        m.flags.setbits(PG_REFERENCED)
        vm.page.dnweight.store(TO_HEAD)
        p.vm_page_dontneed(m)
        return m.flags.peek() & PG_REFERENCED, accessed(m)

    assert (0, False) == alone(program)


@pytest.mark.parametrize("how", ["dirty", "written"])
def test_a_dirty_page_not_needed_goes_to_the_tail(alone, page_on, how):
    def program(vm):
        page_on(vm, "inactive")
        m = page_on(vm, "active", None, 1)
        vm_page_busy_try(m, False)
        if how == "written":
            map_page(m, VM_PROT_READ | VM_PROT_WRITE)
            store(m)
        else:
            m.dirty = 1
        vm.page.dnweight.store(TO_HEAD)
        p.vm_page_dontneed(m)
        return bool(m.dirty), [*vm.page.vm_page_queues[m.queue].pages()].index(m)

    assert (True, 1) == alone(program)


@pytest.mark.parametrize(("before", "added"), [(TO_HEAD, 0), (TO_TAIL, 1)])
def test_only_a_deactivation_to_the_tail_counts_as_an_addition(alone, page_on, before, added):
    def program(vm):
        m = page_on(vm, "active")
        adds = vm.page.vm_page_queues[vm.page.PQ_INACTIVE].adds
        vm.page.dnweight.store(before)
        p.vm_page_dontneed(m)
        return vm.page.vm_page_queues[m.queue].adds - adds

    assert added == alone(program)


def test_deactivation_of_an_inactive_page_takes_no_lock(steps, page_on):
    rows = steps(lambda vm: [page_on(vm, "inactive")], p.vm_page_deactivate)
    assert ["load pg[7].queue"] == rows


@pytest.mark.parametrize(("kind", "locks"), [("active", False), ("inactive", True)])
def test_a_soft_activation_takes_a_lock_only_if_the_page_is_not_active(steps, page_on, kind, locks):
    rows = steps(lambda vm: [page_on(vm, kind)], p.vm_page_soft_activate)
    assert locks is ("acquire pg[7].spin" in rows)


@pytest.mark.parametrize("kind", ["active", "inactive"])
def test_a_soft_activation_leaves_the_page_active_and_with_credits(alone, page_on, kind):
    def program(vm):
        m = page_on(vm, kind)
        m.act_count = 1
        p.vm_page_soft_activate(m)
        return on(m), m.act_count

    assert ("active", ACT_INIT) == alone(program)


def test_activation_of_an_active_page_takes_no_lock(steps, page_on):
    rows = steps(lambda vm: [page_on(vm, "active")], p.vm_page_activate)
    assert [] == [row for row in rows if row.startswith("acquire")]


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
def test_a_page_that_comes_from_the_cache_is_counted_as_reactivated(alone, page_on, move):
    def program(vm):
        before = vm.mycpu().v_reactivated
        move(page_on(vm, "cache"))
        return vm.mycpu().v_reactivated - before

    assert 1 == alone(program)


@DEPTHS
@pytest.mark.parametrize("how", ["unqueued", "active"])
def test_activation_looks_again_under_the_spinlock(alone, page_on, locks, how):
    def program(vm):
        m = page_on(vm, "none")
        m.spin.acquire()
        vm.machine.spawn(p.vm_page_activate, m)
        vm.machine.yield_()  # it has looked, and waits for the spinlock
        if how == "unqueued":
            m.flags.setbits(PG_UNQUEUED)
        else:
            m.queue = vm.page.PQ_ACTIVE + m.pc
        m.spin.release()
        vm.machine.join()
        return on(m), vm.page.vm_page_queues[vm.page.PQ_ACTIVE].adds, m.act_count, m.spin.holders

    assert ("active" if how == "active" else "none", 0, ACT_INIT, []) == alone(program, locks=locks)


def test_deactivation_looks_at_the_flags_again_once_the_page_is_off_its_queue(alone, page_on):
    def program(vm):
        m = page_on(vm, "active")
        spin = vm.page.vm_page_queues[m.queue].spin
        spin.acquire()
        vm.machine.spawn(p.vm_page_deactivate, m)
        vm.machine.yield_()  # it has looked, and waits for the queue's spinlock
        m.flags.setbits(PG_UNQUEUED)
        spin.release()
        vm.machine.join()
        return on(m), m.spin.holders

    assert ("none", []) == alone(program)


def test_deactivation_clears_winatcfls(alone, page_on):
    def program(vm):
        m = page_on(vm, "active")
        m.flags.setbits(PG_WINATCFLS | PG_RAM)
        p.vm_page_deactivate(m)
        return m.flags.peek()

    assert PG_RAM == alone(program)


def test_deactivated_pages_queue_up_in_order(alone, page_on):
    def program(vm):
        pages = [page_on(vm, "active", None, n) for n in range(3)]
        for m in pages:
            p.vm_page_deactivate(m)
        return [*vm.page.vm_page_queues[vm.page.PQ_INACTIVE].pages()] == pages

    assert True is alone(program)


@pytest.mark.parametrize("athead", [False, True])
def test_a_page_not_needed_becomes_inactive_unused_and_at_the_head_or_the_tail(alone, page_on, athead):
    def program(vm):
        page_on(vm, "inactive")
        m = page_on(vm, "active", None, 1)
        m.flags.setbits(PG_REFERENCED | PG_RAM)
        vm.page.dnweight.store(TO_HEAD if athead else TO_TAIL)
        p.vm_page_dontneed(m)
        return on(m), m.flags.peek(), [*vm.page.vm_page_queues[m.queue].pages()].index(m)

    assert ("inactive", PG_RAM, 0 if athead else 1) == alone(program)


@pytest.mark.parametrize("act", [p.vm_page_unqueue, p.vm_page_unqueue_nowakeup])
def test_a_page_may_be_taken_off_its_queue(alone, page_on, act):
    def program(vm):
        m = page_on(vm, "active")
        act(m)
        return on(m), m.spin.holders, vm.meter.count("v_active_count")

    assert ("none", [], 0) == alone(program)


@pytest.mark.parametrize("kind", ["free", "cache"])
@pytest.mark.parametrize(
    ("act", "told"), [(p.vm_page_unqueue, True), (p.vm_page_unqueue_nowakeup, False)], ids=["", "nowakeup"]
)
def test_taking_a_page_that_could_be_had_off_its_queue_tells_the_pagedaemon(steps, page_on, kind, act, told):
    def prepare(vm):
        m = page_on(vm, kind)
        vm.meter.limits.v_paging_start = 99
        return [m]

    assert told is ("wakeup vm_pages_needed" in steps(prepare, act))


@pytest.mark.parametrize("kind", ["active", "inactive"])
def test_taking_a_page_in_use_off_its_queue_tells_nobody(steps, page_on, kind):
    def prepare(vm):
        m = page_on(vm, kind)
        vm.meter.limits.v_paging_start = 99
        return [m]

    assert "wakeup vm_pages_needed" not in steps(prepare, p.vm_page_unqueue)


def test_a_page_deactivated_under_its_spinlock_keeps_it_and_goes_to_the_tail(alone, page_on):
    def program(vm):
        other, m = page_on(vm, "inactive"), page_on(vm, "active")
        p.vm_page_spin_lock(m)
        p.vm_page_deactivate_locked(m)
        held = m.spin.held()
        p.vm_page_spin_unlock(m)
        pq = vm.page.vm_page_queues[m.queue]
        return held, on(m), [page is m for page in pq.pages()], other.queue == m.queue

    assert (True, "inactive", [False, True], True) == alone(program)
