"""What a lockmgr lock grants and refuses at either depth, and the methods for its requests."""

import pytest

import vmsmp
from lock_runs import DEPTHS, SCHEDULES, against, delay, once
from vmsmp import (
    EBUSY,
    LK_DOWNGRADE,
    LK_EXCLUPGRADE,
    LK_EXCLUSIVE,
    LK_NOWAIT,
    LK_RELEASE,
    LK_SHARED,
    LK_UPGRADE,
)


@DEPTHS
@pytest.mark.parametrize(
    ("holds", "wants", "error"),
    [
        (None, LK_SHARED, 0),
        (None, LK_EXCLUSIVE, 0),
        (LK_SHARED, LK_SHARED, 0),
        (LK_SHARED, LK_EXCLUSIVE, EBUSY),
        (LK_EXCLUSIVE, LK_SHARED, EBUSY),
        (LK_EXCLUSIVE, LK_EXCLUSIVE, EBUSY),
    ],
)
def test_a_request_that_must_not_wait_is_granted_or_busy(locks, holds, wants, error):
    assert error == against(locks, holds, wants | LK_NOWAIT)


def counting(m, rounds, cpus):
    lock, cell = m.lockmgr("l"), m.cell(0)

    def adder():
        for _ in range(rounds):
            with lock:
                cell.store(cell.load() + 1)

    def reader():
        for _ in range(rounds):
            lock.acquire_shared()
            m.check(cell.load() == cell.load(), "nobody writes under a reader")
            lock.release()

    for n in range(cpus):
        m.spawn(adder if n % 3 else reader)
    m.join()
    m.check(cell.load() == rounds * len([n for n in range(cpus) if n % 3]), "every section counts")


@DEPTHS
@SCHEDULES
def test_critical_sections_do_not_overlap(locks, sched):
    result = vmsmp.explore(lambda m: counting(m, 1, 3), sched=sched, schedules=200, locks=locks)
    assert [] == result.failures


@DEPTHS
def test_critical_sections_do_not_overlap_between_parallel_cpus(locks):
    assert None is vmsmp.run(lambda m: counting(m, 40, 3), engine="free", locks=locks).failure


def mixing(m):
    """All requests against each other."""
    lock, owner = m.lockmgr("l", timo=5), m.cell(None)

    def alone():
        me = m.curcpu.index
        owner.store(me)
        m.check(owner.load() == me, "alone inside")

    def upgrader():
        lock.acquire_shared()
        if lock.lock(LK_EXCLUPGRADE) == 0:
            alone()
            lock.downgrade()
            lock.release()

    def writer():
        lock.acquire()
        alone()
        lock.release()

    def weak():
        lock.acquire_shared()
        lock.upgrade()
        alone()
        lock.release()

    def trier():
        if lock.lock(LK_EXCLUSIVE | LK_NOWAIT) == 0:
            alone()
            lock.release()

    for fn in (upgrader, writer, weak, trier):
        m.spawn(fn)
    m.join()
    m.check(lock.lock(LK_EXCLUSIVE | LK_NOWAIT) == 0, "all over, it is free")
    lock.release()


@DEPTHS
@SCHEDULES
def test_all_requests_together_keep_exclusion_and_leave_the_lock_free(locks, sched):
    assert [] == vmsmp.explore(mixing, sched=sched, schedules=300, locks=locks).failures


@DEPTHS
def test_all_requests_together_keep_exclusion_between_parallel_cpus(locks):
    def program(m):
        for _ in range(12):
            mixing(m)

    assert None is vmsmp.run(program, engine="free", locks=locks).failure


@DEPTHS
@pytest.mark.parametrize(
    ("methods", "flags"),
    [
        (["acquire", "release"], [LK_EXCLUSIVE, LK_RELEASE]),
        (["acquire_shared", "release"], [LK_SHARED, LK_RELEASE]),
        (["acquire_shared", "upgrade", "release"], [LK_SHARED, LK_UPGRADE, LK_RELEASE]),
        (["acquire", "downgrade", "release"], [LK_EXCLUSIVE, LK_DOWNGRADE, LK_RELEASE]),
    ],
)
def test_the_methods_are_names_for_requests(locks, methods, flags):
    def by_name(m):
        lock = m.lockmgr("l")
        for name in methods:
            getattr(lock, name)()

    def by_flags(m):
        lock = m.lockmgr("l")
        for flag in flags:
            assert lock.lock(flag) == 0

    results = [vmsmp.explore(p, schedules=1, locks=locks) for p in (by_name, by_flags)]
    assert [[], []] == [result.failures for result in results]
    assert results[0].steps == results[1].steps


@DEPTHS
def test_statistics_count_grants_and_those_that_had_to_wait(locks):
    seen = []

    def program(m):
        lock = m.lockmgr("l")

        def waiter():
            with lock:
                pass

        with lock:
            m.spawn(waiter)
            delay(m, 1)
        m.join()
        found = lock.statistics()
        seen.append((found.name, found.acquisitions, found.contested))

    once(program, locks)
    assert [("l", 2, 1)] == seen
