"""Semaphores at both depths."""

import pytest

import vmsmp
from lock_runs import DEPTHS, SCHEDULES, alone, delay, failure_of, once
from vmsmp import EWOULDBLOCK


def sharing(m, units=2, users=3):
    """Never more users inside than there are units."""
    sem, inside = m.semaphore(units, "s"), m.atomic(0, "inside")

    def user():
        with sem:
            m.check(inside.fetchadd(1) < units, "no more than there are units")
            inside.fetchadd(-1)

    for _ in range(users):
        m.spawn(user)
    m.join()
    m.check(sem.value() == units, "all units are back")


@DEPTHS
@SCHEDULES
def test_no_more_are_inside_than_there_are_units(locks, sched):
    assert [] == vmsmp.explore(sharing, sched=sched, schedules=200, locks=locks).failures


@DEPTHS
def test_an_acquire_without_a_bound_never_gives_up(locks):
    """Not even if a unit comes and goes while it is on its way to sleep."""

    def program(m):
        sem = m.semaphore(1, "s")

        def user():
            m.check(sem.acquire() == 0, "it has a unit")
            sem.release()

        for _ in range(3):
            m.spawn(user)
        m.join()
        m.check(sem.value() == 1, "the unit is back")

    assert None is failure_of(program, locks, schedules=400, sched="random")


@DEPTHS
def test_a_release_comes_before_the_acquire_that_it_allows(locks):
    """The cell has no other protection."""

    def program(m):
        sem, data = m.semaphore(0, "s"), m.cell(0, "data")

        def producer():
            data.store(1)
            sem.release()

        m.spawn(producer)
        sem.acquire()
        m.check(data.load() == 1, "it was produced")

    assert None is failure_of(program, locks, races=True, schedules=300)


@DEPTHS
def test_a_unit_given_too_early_lets_the_other_see_too_little(locks):
    def program(m):
        sem, data = m.semaphore(0, "s"), m.cell(0, "data")

        def producer():
            sem.release()
            data.store(1)

        m.spawn(producer)
        sem.acquire()
        m.check(data.load() == 1, "it was produced")

    assert "check: it was produced" == failure_of(program, locks).signature


@DEPTHS
def test_a_try_takes_what_there_is(locks):
    def program(m, seen):
        sem = m.semaphore(1, "s")
        seen += [sem.try_acquire(), sem.try_acquire(), sem.value()]
        sem.release()
        seen += [sem.try_acquire()]

    assert [True, False, 0, True] == alone(program, locks)


@DEPTHS
@pytest.mark.parametrize("timeouts", ["idle", "any"])
def test_a_bounded_acquire_gives_up_when_its_time_is_over(locks, timeouts):
    def program(m):
        sem = m.semaphore(0, "s")
        m.check(sem.acquire(timo=4) == EWOULDBLOCK, "it gave up")
        m.check(m.ticks == 4, "after four ticks")
        m.check(sem.value() == 0, "and took nothing")

    assert None is failure_of(program, locks, check=False, timeouts=timeouts, schedules=20)


@DEPTHS
def test_a_bounded_acquire_gets_a_unit_that_comes_in_time(locks):
    def program(m):
        sem = m.semaphore(0, "s")
        m.spawn(sem.release)
        m.check(sem.acquire(timo=4) == 0, "it got it")
        m.check(m.ticks == 0, "at once")

    assert None is failure_of(program, locks, schedules=200)


@DEPTHS
def test_bounded_acquires_that_give_up_at_any_moment_lose_no_unit(locks):
    def program(m):
        sem, got = m.semaphore(0, "s"), m.atomic(0, "got")

        def taker():
            if sem.acquire(timo=3) == 0:
                got.fetchadd(1)

        m.spawn(taker)
        m.spawn(taker)
        sem.release()
        m.join()
        m.check(sem.value() + got.load() == 1, "the unit is here or there")

    assert None is failure_of(program, locks, schedules=400, timeouts="any", spurious=True, check=False)


@DEPTHS
def test_nobody_gives_a_unit_is_a_deadlock(locks):
    def program(m):
        m.semaphore(0, "s").acquire()

    assert "deadlock" == failure_of(program, locks).kind


@DEPTHS
def test_any_cpu_may_release(locks):
    def program(m):
        sem = m.semaphore(0, "s")
        m.spawn(sem.acquire)
        delay(m, 1)
        sem.release()
        m.join()

    once(program, locks)


@DEPTHS
@pytest.mark.parametrize("free", [0, 1])
def test_an_acquire_with_a_spinlock_held_is_misuse_even_if_it_need_not_wait(locks, free):
    def program(m):
        with m.spinlock("sp"):
            m.semaphore(free, "s").acquire()

    assert "lock-misuse" == failure_of(program, locks).kind


@DEPTHS
def test_there_is_no_semaphore_of_less_than_nothing(locks):
    def program(m, seen):
        with pytest.raises(ValueError, match="must not be negative"):
            m.semaphore(-1)
        seen.append(1)

    assert [1] == alone(program, locks)


@DEPTHS
def test_it_works_on_parallel_cpus(locks):
    assert None is vmsmp.run(sharing, engine="free", locks=locks, seed=1).failure


def test_without_the_count_of_waiters_a_wake_may_be_missed():
    """The exact algorithm is what is searched: its order of steps can be broken."""

    def program(m):
        sem = m.semaphore(0, "s")
        take = sem.try_acquire

        def acquire():
            while not take():
                m.futexes.sleep(sem.count, 0, overdue=sem._has_units, sake=sem)

        m.spawn(acquire)
        sem.release()
        m.join()

    assert "lost-wakeup: s: s has units" == failure_of(program, "exact").signature
