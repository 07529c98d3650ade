"""Entering and leaving a page queue, and the locks around it."""

from __future__ import annotations

import pytest

from page_layer import move, spins_held
from vmsmp.vm import vm_page as q
from vmsmp.vm.vm_page import PG_FICTITIOUS, PG_UNQUEUED

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])


# -- both spinlocks -------------------------------------------------------------------------------


def test_locking_a_page_and_its_queue_takes_the_page_s_spinlock_first(steps):
    taken = steps(lambda vm: [vm.page.vm_page_array[3]], q.vm_page_and_queue_spin_lock, ends=None)
    assert ["acquire pg[3].spin", "acquire pq.free[0].spin"] == taken


def test_unlocking_both_gives_the_queue_s_spinlock_back_first(steps):
    def prepare(vm):
        q.vm_page_and_queue_spin_lock(vm.page.vm_page_array[3])
        return [vm.page.vm_page_array[3]]

    given = steps(prepare, q._vm_page_and_queue_spin_unlock)
    assert ["release pq.free[0].spin", "release pg[3].spin"] == given


@pytest.mark.parametrize("name", ["queue_spin_lock", "queue_spin_unlock", "and_queue_spin_unlock"])
def test_a_helper_has_a_public_name_too(steps, name):
    def rows(function):
        def prepare(vm):
            m = vm.page.vm_page_array[3]
            (q.vm_page_and_queue_spin_lock if "unlock" in name else q.vm_page_spin_lock)(m)
            return [m]

        return steps(prepare, function, ends=None)

    public, own = rows(getattr(q, f"vm_page_{name}")), rows(getattr(q, f"_vm_page_{name}"))
    assert 0 < len(public)
    assert own == public


def test_a_queue_is_locked_by_its_index_too(steps):
    def act(vm):
        q.vm_page_queues_spin_lock(vm, vm.page.PQ_ACTIVE)
        q.vm_page_queues_spin_unlock(vm, vm.page.PQ_ACTIVE)

    assert ["acquire pq.active[0].spin", "release pq.active[0].spin"] == steps(lambda vm: [vm], act)


def test_a_page_put_on_no_queue_stays_where_it_is(alone):
    def program(vm):
        m = vm.page.vm_page_array[3]
        move(m, 0)
        q.vm_page_spin_lock(m)
        q._vm_page_add_queue_spinlocked(m, q.PQ_NONE)
        return m.queue, spins_held(m)

    assert (0, [True]) == alone(program)


def test_no_queue_has_no_spinlock(steps):
    def act(vm):
        q.vm_page_queues_spin_lock(vm, q.PQ_NONE)
        q.vm_page_queues_spin_unlock(vm, q.PQ_NONE)

    assert [] == steps(lambda vm: [vm], act)


def test_a_page_on_no_queue_has_no_queue_to_lock(steps):
    def prepare(vm):
        m = vm.page.vm_page_array[3]
        move(m, 0)
        q.vm_page_spin_lock(m)
        return [m]

    def act(m):
        q._vm_page_queue_spin_lock(m)
        q._vm_page_queue_spin_unlock(m)

    assert [] == steps(prepare, act)


def test_a_page_that_changes_its_queue_under_its_spinlock_panics_who_locks_the_queue(panic):
    def program(vm):
        m = vm.page.vm_page_array[3]
        here = vm.page.vm_page_queues[m.peek("queue")].spin
        here.acquire()
        vm.machine.spawn(q.vm_page_and_queue_spin_lock, m)
        vm.machine.yield_()  # it waits for the queue's spinlock now
        m.queue = vm.page.PQ_ACTIVE
        here.release()
        vm.machine.join()

    assert "pg changed queue under its spinlock" == panic(program)


# -- leaving a queue ------------------------------------------------------------------------------


def test_leaving_a_queue_gives_its_spinlock_back_and_keeps_the_page_s(alone):
    def program(vm):
        m = vm.page.vm_page_array[3]
        q.vm_page_and_queue_spin_lock(m)
        q._vm_page_rem_queue_spinlocked(m)
        seen = spins_held(m, vm.page.PQ_FREE)
        q.vm_page_spin_unlock(m)
        return seen

    assert [True, False] == alone(program)


def test_leaving_a_queue_returns_the_type_of_the_queue_left(alone):
    def program(vm):
        m = vm.page.vm_page_array[0]
        move(m, vm.page.PQ_ACTIVE + 3)
        q.vm_page_and_queue_spin_lock(m)
        base = q._vm_page_rem_queue_spinlocked(m)
        q.vm_page_spin_unlock(m)
        return base == vm.page.PQ_ACTIVE

    assert True is alone(program, l2_size=4)


def test_leaving_a_queue_while_on_none_is_nothing(alone, page_on):
    def program(vm):
        m = page_on(vm, "none")
        before = [vm.meter.count(name) for name in ("v_free_count", "v_active_count")]
        q.vm_page_spin_lock(m)
        base = q._vm_page_rem_queue_spinlocked(m)
        seen = spins_held(m)
        q.vm_page_spin_unlock(m)
        assert before == [vm.meter.count(name) for name in ("v_free_count", "v_active_count")]
        return base, seen

    assert (q.PQ_NONE, [True]) == alone(program)


def test_leaving_a_queue_takes_the_page_off_the_list_and_off_all_counts(alone):
    def program(vm):
        m = vm.page.vm_page_array[3]
        pq = vm.page.vm_page_queues[m.queue]
        gd = vm.mycpu()
        q.vm_page_and_queue_spin_lock(m)
        q._vm_page_rem_queue_spinlocked(m)
        q.vm_page_spin_unlock(m)
        assert m not in pq.pages()
        return m.queue, pq.lcnt, gd.gd_vmstats_adj.peek("v_free_count"), gd.gd_vmstats.peek("v_free_count")

    assert (q.PQ_NONE, 7, -1, 7) == alone(program)


def test_a_page_is_counted_off_before_its_queue_s_spinlock_goes(steps):
    def prepare(vm):
        q.vm_page_and_queue_spin_lock(vm.page.vm_page_array[3])
        return [vm.page.vm_page_array[3]]

    assert [
        "fetchadd cpu0.gd_vmstats_adj.v_free_count",
        "load cpu0.gd_vmstats_adj.v_free_count",
        "release pq.free[0].spin",
    ] == steps(prepare, q._vm_page_rem_queue_spinlocked)


@DEPTHS
def test_whoever_has_a_queue_s_spinlock_sees_its_list_and_its_pages_agree(together, locks):
    def program(vm):
        m = vm.page.vm_page_array[0]

        def mover():
            for n in (vm.page.PQ_ACTIVE, vm.page.PQ_INACTIVE, vm.page.PQ_FREE):
                move(m, n)

        def looker():
            for n in (vm.page.PQ_FREE, vm.page.PQ_ACTIVE):
                pq = vm.page.vm_page_queues[n]
                with pq.spin:
                    there = [page.phys for page in pq.pages()]
                    vm.machine.check(len(there) == pq.lcnt, "the count is the list's length")
                    vm.machine.check((0 in there) == (m.peek("queue") == n), "the page says where it is")

        vm.machine.spawn(mover)
        vm.machine.spawn(looker)
        vm.machine.join()

    together(program, sched="dfs:2", schedules=400, locks=locks, pages=2)


# -- entering a queue -----------------------------------------------------------------------------


def entered(vm, m, queue, athead):
    """The page's neighbours, by number, after it has entered that queue; `None` at an end."""
    pq = vm.page.vm_page_queues[queue]
    q.vm_page_spin_lock(m)
    q._vm_page_add_queue_spinlocked(m, queue, athead)
    assert [True, True] == spins_held(m, queue)
    q._vm_page_and_queue_spin_unlock(m)
    assert queue == m.queue
    there = [page.phys for page in pq.pages()]
    return there.index(m.phys), len(there)


@pytest.mark.parametrize("kind", ["PQ_INACTIVE", "PQ_ACTIVE", "PQ_CACHE", "PQ_HOLD"])
@pytest.mark.parametrize(("athead", "place"), [(False, 2), (True, 0)], ids=["tail", "head"])
def test_a_page_enters_a_queue_at_the_tail_unless_the_head_is_asked_for(alone, kind, athead, place):
    def program(vm):
        queue = getattr(vm.page, kind)
        for m in vm.page.vm_page_array[:2]:
            move(m, queue)
        move(vm.page.vm_page_array[2], 0)
        return entered(vm, vm.page.vm_page_array[2], queue, athead)

    assert (place, 3) == alone(program)


@pytest.mark.parametrize("athead", [False, True])
def test_a_page_enters_a_free_queue_at_the_head_whatever_is_asked_for(alone, athead):
    def program(vm):
        move(vm.page.vm_page_array[2], 0)
        return entered(vm, vm.page.vm_page_array[2], vm.page.PQ_FREE, athead)

    assert (0, 8) == alone(program)


def test_entering_a_queue_counts_the_page(alone):
    def program(vm):
        m = vm.page.vm_page_array[3]
        move(m, 0)
        pq = vm.page.vm_page_queues[vm.page.PQ_HOLD]
        adds = pq.adds
        move(m, vm.page.PQ_HOLD)
        gd = vm.mycpu()
        views = [meter.peek("v_active_count") for meter in (gd.gd_vmstats_adj, gd.gd_vmstats)]
        return pq.lcnt, pq.adds - adds, views

    assert (1, 0, [1, 1]) == alone(program)


def test_entering_a_queue_while_on_another_panics(panic):
    def program(vm):
        m = vm.page.vm_page_array[3]
        q.vm_page_spin_lock(m)
        q._vm_page_add_queue_spinlocked(m, vm.page.PQ_ACTIVE)

    assert "pg put on a queue while on another" == panic(program)


@pytest.mark.parametrize("flag", [PG_FICTITIOUS, PG_UNQUEUED], ids=["fictitious", "unqueued"])
def test_entering_a_queue_panics_for_a_page_that_must_be_on_none(panic, flag):
    def program(vm):
        m = vm.page.vm_page_array[3]
        move(m, 0)
        m.flags.setbits(flag)
        q.vm_page_spin_lock(m)
        q._vm_page_add_queue_spinlocked(m, vm.page.PQ_ACTIVE)

    assert "pg put on a queue, and it must be on none" == panic(program)


# -- parallel -------------------------------------------------------------------------------------


@DEPTHS
def test_parallel_cpus_move_pages_about_and_every_list_stays_whole(parallel, locks):
    def program(vm):
        def mover(first):
            for n in range(20):
                m = vm.page.vm_page_array[(first + n) % 4]
                q.vm_page_and_queue_spin_lock(m)
                q._vm_page_rem_queue_spinlocked(m)
                kinds = (vm.page.PQ_INACTIVE, vm.page.PQ_ACTIVE, vm.page.PQ_CACHE)
                q._vm_page_add_queue_spinlocked(m, kinds[n % 3] + m.pc)
                q._vm_page_and_queue_spin_unlock(m)

        for n in range(3):
            vm.machine.spawn(mover, n)
        vm.machine.join()
        listed = [m.phys for pq in vm.page.vm_page_queues for m in pq.pages()]
        return sorted(listed), sum(pq.peek("lcnt") for pq in vm.page.vm_page_queues)

    assert ([0, 1, 2, 3], 4) == parallel(program, pages=4, locks=locks)
