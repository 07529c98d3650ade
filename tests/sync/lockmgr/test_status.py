"""What can be asked of a lockmgr lock without waiting."""

import pytest

import vmsmp
from lock_runs import DEPTHS, alone, delay, once
from vmsmp import (
    LK_CANRECURSE,
    LK_EXCLOTHER,
    LK_EXCLUPGRADE,
    LK_EXCLUSIVE,
    LK_SHARED,
    LK_TIMELOCK,
)
from vmsmp.sync.lockmgr import lockinuse, lockmgr_try, lockowned, lockreinit, lockstatus, lockuninit
from vmsmp.sync.thread import curthread

HOLDS = pytest.mark.parametrize("holds", [0, LK_SHARED, LK_EXCLUSIVE])


def asked(locks, holds, ask):
    """What the holder and another CPU get from `ask(m, lock)` while the boot CPU holds the lock."""
    seen = []

    def program(m):
        lock = m.lockmgr("l")
        if holds:
            lock.lock(holds)
        seen.append(ask(m, lock))
        m.spawn(lambda: seen.append(ask(m, lock))).join()
        if holds:
            lock.release()

    once(program, locks)
    return seen


@DEPTHS
@HOLDS
def test_the_status_says_how_the_lock_is_held(locks, holds):
    assert [holds, holds] == asked(locks, holds, lambda m, lock: lockstatus(lock))


@DEPTHS
def test_the_status_for_a_thread_says_whether_it_is_the_holder(locks):
    assert [LK_EXCLUSIVE, LK_EXCLOTHER] == asked(
        locks, LK_EXCLUSIVE, lambda m, lock: lockstatus(lock, curthread(m))
    )


@DEPTHS
@pytest.mark.parametrize(
    ("holds", "answers"), [(0, [False] * 2), (LK_SHARED, [True] * 2), (LK_EXCLUSIVE, [True, False])]
)
def test_a_shared_lock_counts_as_owned_by_everybody(locks, holds, answers):
    assert answers == asked(locks, holds, lambda m, lock: lockowned(lock))


@DEPTHS
@HOLDS
def test_a_lock_is_in_use_while_somebody_holds_it(locks, holds):
    assert [bool(holds)] * 2 == asked(locks, holds, lambda m, lock: lockinuse(lock))


@DEPTHS
@pytest.mark.parametrize(("holds", "answers"), [(0, True), (LK_SHARED, True), (LK_EXCLUSIVE, False)])
def test_a_try_does_not_wait(locks, holds, answers):
    def tries(m, lock):
        got = lockmgr_try(lock, LK_SHARED | LK_CANRECURSE)
        if got:
            lock.release()
        return got

    assert answers == asked(locks, holds, tries)[1]


@DEPTHS
def test_the_flags_of_a_lock_go_with_every_request(locks):
    def program(m, seen):
        lock = m.lockmgr("l", flags=LK_CANRECURSE | LK_EXCLUPGRADE)
        lock.acquire()
        seen.append(lock.lock(LK_EXCLUSIVE))
        lock.release()
        lock.release()
        seen.append(lock.lk_flags)

    assert [0, LK_CANRECURSE] == alone(program, locks)


@DEPTHS
def test_a_new_name_and_time_limit_leave_the_flags(locks):
    ticks = []

    def program(m):
        lock = m.lockmgr("l", timo=3, flags=LK_TIMELOCK)
        lockreinit(lock, "again", 8)
        lock.acquire()
        m.spawn(lambda: (lock.lock(LK_SHARED), ticks.append(m.ticks))).join()
        lock.release()
        m.check(lock.lk_wmesg == "again", "it has its new name")

    once(program, locks)
    assert [8] == ticks


@DEPTHS
@pytest.mark.parametrize("holds", [LK_SHARED, LK_EXCLUSIVE])
def test_a_lock_that_nobody_waits_for_may_end(locks, holds):
    def program(m):
        lock = m.lockmgr("l")
        lock.lock(holds)
        lockuninit(lock)
        lock.release()

    once(program, locks)


@DEPTHS
@pytest.mark.parametrize(("holds", "asks"), [(LK_SHARED, LK_EXCLUSIVE), (LK_EXCLUSIVE, LK_SHARED)])
def test_a_lock_that_somebody_waits_for_must_not_end(locks, holds, asks):
    def program(m):
        lock = m.lockmgr("l")
        lock.lock(holds)
        m.spawn(lock.lock, asks)
        delay(m, 1)
        lockuninit(lock)

    failure = vmsmp.explore(program, sched="dfs:0", schedules=1, locks=locks).failure
    assert "panic: lockmgr: lockmgr 'l' ends and somebody waits for it" == failure.message


@pytest.mark.parametrize("ask", [lockstatus, lockowned, lockinuse])
def test_a_question_is_one_step_at_the_atomic_depth(ask):
    def steps(n):
        def program(m):
            with m.lockmgr("l") as lock:
                for _ in range(n):
                    ask(lock)

        return vmsmp.explore(program, schedules=1, locks="atomic").steps

    assert 1 == steps(1) - steps(0)
