"""Requests that wait: timeouts, signals, LK_SLEEPFAIL, and the tokens that are lost."""

import pytest

import vmsmp
from lock_runs import DEPTHS, MODES, against, delay, once
from vmsmp import (
    EINTR,
    ENOLCK,
    EWOULDBLOCK,
    LK_CANCEL_BEG,
    LK_CANCELABLE,
    LK_EXCLUSIVE,
    LK_PCATCH,
    LK_SHARED,
    LK_SLEEPFAIL,
    LK_TIMELOCK,
)
from vmsmp.sync.lockmgr import LKC_CANCEL
from vmsmp.sync.lockmgr.exact import _REQUESTS


@DEPTHS
@pytest.mark.parametrize("holds", [LK_SHARED, LK_EXCLUSIVE])
@MODES
def test_a_timed_request_that_is_not_granted_in_time_would_block(locks, holds, mode):
    expected = 0 if holds == mode == LK_SHARED else EWOULDBLOCK
    assert expected == against(locks, holds, mode | LK_TIMELOCK, timo=7)


@DEPTHS
def test_a_timed_request_waits_exactly_its_time(locks):
    ticks = []

    def program(m):
        lock = m.lockmgr("l", timo=7)
        lock.acquire()
        m.spawn(lambda: (lock.lock(LK_SHARED | LK_TIMELOCK), ticks.append(m.ticks))).join()
        lock.release()

    once(program, locks)
    assert [7] == ticks


@DEPTHS
@MODES
def test_a_timed_request_is_granted_when_the_lock_comes_free_in_time(locks, mode):
    seen = []

    def program(m):
        lock = m.lockmgr("l", timo=50)

        def asks():
            seen.append((lock.lock(mode | LK_TIMELOCK), m.ticks))
            lock.release()

        lock.acquire()
        m.spawn(asks)
        delay(m, 3)
        lock.release()
        m.join()

    once(program, locks)
    assert [(0, 3)] == seen


@DEPTHS
def test_without_the_flag_the_lock_has_no_time_limit(locks):
    def program(m):
        lock = m.lockmgr("l", timo=2)

        def asks():
            m.check(lock.lock(LK_SHARED) == 0, "granted")
            m.check(m.ticks == 9, "only when it came free")
            lock.release()

        lock.acquire()
        m.spawn(asks)
        delay(m, 9)
        lock.release()
        m.join()

    once(program, locks)


@DEPTHS
@pytest.mark.parametrize("holds", [LK_SHARED, LK_EXCLUSIVE])
def test_a_request_that_had_to_sleep_fails_if_it_asked_for_that(locks, holds):
    """Even if the lock was handed to it meanwhile: then it goes back."""
    seen = []

    def program(m):
        lock = m.lockmgr("l")
        lock.lock(holds)
        m.spawn(lambda: seen.append((lock.lock(LK_EXCLUSIVE | LK_SLEEPFAIL), lock.held())))
        delay(m, 1)
        lock.release()
        m.join()

    vmsmp.explore(program, sched="dfs:0", schedules=1, locks=locks)
    assert [(ENOLCK, False)] == seen


@DEPTHS
def test_a_request_that_need_not_sleep_does_not_mind_the_flag(locks):
    assert 0 == against(locks, LK_SHARED, LK_SHARED | LK_SLEEPFAIL)


@DEPTHS
def test_an_interrupted_wait_says_so(locks):
    seen = []

    def program(m):
        lock = m.lockmgr("l")
        lock.acquire()
        waiter = m.spawn(lambda: seen.append(lock.lock(LK_EXCLUSIVE | LK_PCATCH)))
        delay(m, 1)
        m.signal(waiter)
        delay(m, 1)
        seen.append("still owned")
        lock.release()
        m.join()

    once(program, locks)
    assert [EINTR, "still owned"] == seen


@DEPTHS
@pytest.mark.parametrize(("contested", "free"), [(True, True), (False, False)])
def test_tokens_are_lost_only_if_the_request_has_to_wait(locks, contested, free):
    seen = []

    def program(m):
        lock, token = m.lockmgr("l"), m.token("t")

        def asks():
            with token:
                lock.acquire()
                m.check(token.held(), "the token is back")
                if not contested:
                    m.spawn(tries).join()
                lock.release()

        def tries():
            got = token.try_acquire()
            seen.append(got)
            if got:
                token.release()

        if contested:
            lock.acquire()
        m.spawn(asks)
        delay(m, 1)
        if contested:
            tries()
            lock.release()
        m.join()

    once(program, locks)
    assert [free] == seen


@DEPTHS
@pytest.mark.parametrize("mode", ["shared", "exclusive"])
def test_a_timed_request_that_ends_for_no_reason_does_not_claim_the_lock(locks, mode):
    def program(m):
        lock = m.lockmgr("l", timo=10)

        def asks(how):
            if lock.lock(how | LK_TIMELOCK) == 0:
                m.check(lock.held(), "0 says that it is held")
                lock.release()

        m.spawn(asks, LK_SHARED if mode == "shared" else LK_EXCLUSIVE)
        m.spawn(asks, LK_EXCLUSIVE)
        m.join()

    result = vmsmp.explore(program, sched="random", schedules=200, locks=locks, spurious=True)
    assert [] == result.failures


@DEPTHS
def test_a_reader_that_lets_a_writer_go_first_may_sleep_though_its_sleeps_fail(locks):
    """It is not counted yet: LK_SLEEPFAIL is looked at in the wait that follows."""
    seen = []

    def program(m):
        lock = m.lockmgr("l", timo=3)

        def asks():
            seen.append(lock.lock(LK_SHARED | LK_SLEEPFAIL))
            lock.release()

        lock.acquire_shared()
        m.spawn(lock.lock, LK_EXCLUSIVE | LK_TIMELOCK)
        delay(m, 1)
        m.spawn(asks)
        delay(m, 4)
        lock.release()
        m.join()

    once(program, locks)
    assert [0] == seen


@DEPTHS
@pytest.mark.parametrize(("holds", "mode"), [(LK_EXCLUSIVE, LK_SHARED), (LK_SHARED, LK_EXCLUSIVE)])
def test_a_sleep_that_fails_says_so_before_the_time_is_over_only_if_shared(locks, holds, mode):
    expected = ENOLCK if mode == LK_SHARED else EWOULDBLOCK
    assert expected == against(locks, holds, mode | LK_TIMELOCK | LK_SLEEPFAIL, timo=3)


@DEPTHS
def test_a_writer_whose_sleeps_fail_fails_as_well_if_another_cpu_was_faster(locks):
    """Its compare and set finds another word: it has not slept, and the holder still holds."""
    early = set()

    def program(m):
        lock, seen = m.lockmgr("l"), []

        def asks():
            seen.append(lock.lock(LK_EXCLUSIVE | LK_SLEEPFAIL))

        def reads():
            lock.acquire_shared()
            lock.release()

        lock.acquire_shared()
        m.spawn(asks)
        m.spawn(reads)
        delay(m, 1)
        early.update(seen)
        lock.release()
        m.join()

    result = vmsmp.explore(program, sched="random", schedules=300, locks=locks)
    assert ([], {ENOLCK}) == (result.failures, early)


@MODES
def test_a_cancelable_request_that_sleeps_through_a_cancel_has_lost_its_wakeup(monkeypatch, mode):
    def silent(lkp, _flags):
        lkp.lk_count.setbits(LKC_CANCEL)
        return 0

    def program(m):
        lock = m.lockmgr("l")
        lock.acquire()
        m.spawn(lock.lock, mode | LK_CANCELABLE)
        delay(m, 1)
        lock.cancel_beg()
        delay(m, 1)
        lock.release()

    monkeypatch.setitem(_REQUESTS, LK_CANCEL_BEG, silent)
    failure = vmsmp.explore(program, sched="dfs:0", schedules=1, locks="exact").failure
    assert "lost-wakeup: l: the lock is being canceled" == failure.signature
