"""Release, downgrade and cancel."""

import pytest

import vmsmp
from lock_runs import DEPTHS, MODES, SCHEDULES, delay, once
from vmsmp import (
    EBUSY,
    ENOLCK,
    LK_CANCELABLE,
    LK_CANRECURSE,
    LK_DOWNGRADE,
    LK_EXCLUSIVE,
    LK_NOWAIT,
    LK_SHARED,
)


@DEPTHS
@SCHEDULES
def test_nobody_writes_between_a_downgrade_and_the_release_after_it(locks, sched):
    def program(m):
        lock, version = m.lockmgr("l"), m.cell(0)

        def writer():
            lock.acquire()
            version.store(version.load() + 1)
            mine = version.load()
            lock.downgrade()
            m.check(version.load() == mine, "nobody wrote in between")
            lock.release()

        def reader():
            lock.acquire_shared()
            lock.release()

        for fn in (writer, writer, reader):
            m.spawn(fn)
        m.join()

    assert [] == vmsmp.explore(program, sched=sched, schedules=200, locks=locks).failures


@DEPTHS
def test_a_downgrade_lets_waiting_readers_in(locks):
    order = []

    def program(m):
        lock = m.lockmgr("l")

        def reader():
            lock.acquire_shared()
            order.append("reader")
            lock.release()

        lock.acquire()
        m.spawn(reader)
        delay(m, 1)
        lock.downgrade()
        delay(m, 1)
        order.append("released")
        lock.release()
        m.join()

    once(program, locks)
    assert ["reader", "released"] == order


@DEPTHS
@pytest.mark.parametrize("prepare", [[], [LK_SHARED], [LK_EXCLUSIVE, LK_EXCLUSIVE | LK_CANRECURSE]])
def test_only_what_is_held_exclusively_once_can_be_downgraded(locks, prepare):
    def program(m):
        lock = m.lockmgr("l")
        for flags in prepare:
            lock.lock(flags)
        lock.lock(LK_DOWNGRADE)

    failure = vmsmp.explore(program, schedules=1, locks=locks).failure
    assert "panic: lockmgr: downgrade of lockmgr 'l', which is not held exclusively once" == failure.message


@DEPTHS
@pytest.mark.parametrize(("holds", "mode"), [(LK_EXCLUSIVE, LK_SHARED), (LK_SHARED, LK_EXCLUSIVE)])
def test_a_cancelable_request_fails_while_the_owner_cancels(locks, holds, mode):
    seen = []

    def program(m):
        lock = m.lockmgr("l")

        def asks(flags):
            error = lock.lock(mode | flags)
            seen.append(error)
            if not error:
                lock.release()

        lock.lock(holds)
        m.spawn(asks, LK_CANCELABLE)
        delay(m, 1)
        lock.cancel_beg()
        delay(m, 1)
        m.spawn(asks, LK_CANCELABLE)  # a new one fails as well
        delay(m, 1)
        seen.append("canceled")
        lock.cancel_end()
        m.spawn(asks, LK_CANCELABLE)
        delay(m, 1)
        seen.append("released")
        lock.release()
        m.join()

    once(program, locks)
    assert [ENOLCK, ENOLCK, "canceled", "released", 0] == seen


def test_a_cancel_does_not_wake_a_writer_queued_behind_a_writer():
    """Such a one has set EXREQ2 alone, and the kernel looks for the other requests only."""
    seen = []

    def program(m):
        lock = m.lockmgr("l")
        lock.acquire()
        m.spawn(lambda: (seen.append(lock.lock(LK_EXCLUSIVE | LK_CANCELABLE)), lock.release()))
        delay(m, 1)
        lock.cancel_beg()
        delay(m, 1)
        seen.append("released")
        lock.release()
        m.join()

    once(program)
    assert ["released", 0] == seen


@DEPTHS
@MODES
def test_a_request_that_is_not_cancelable_waits_on(locks, mode):
    order = []

    def program(m):
        lock = m.lockmgr("l")

        def asks():
            order.append(lock.lock(mode))
            lock.release()

        lock.acquire()
        m.spawn(asks)
        delay(m, 1)
        lock.cancel_beg()
        delay(m, 1)
        order.append("released")
        lock.release()
        m.join()

    once(program, locks)
    assert ["released", 0] == order


@DEPTHS
def test_the_last_release_ends_a_cancel(locks):
    seen = []

    def program(m):
        lock = m.lockmgr("l")

        def asks():
            seen.append(lock.lock(LK_SHARED | LK_CANCELABLE))
            lock.release()

        with lock:
            lock.cancel_beg()
        with lock:
            m.spawn(asks)
            delay(m, 1)
        m.join()

    once(program, locks)
    assert [0] == seen


@DEPTHS
@pytest.mark.parametrize(("mode", "error"), [(LK_SHARED, ENOLCK), (LK_EXCLUSIVE, EBUSY)])
def test_a_canceled_request_that_must_not_wait_says_what_it_looked_at_first(locks, mode, error):
    """The shared request looks for the cancel first, the exclusive one for its own flag."""
    seen = []

    def program(m):
        with m.lockmgr("l") as lock:
            lock.cancel_beg()
            m.spawn(lambda: seen.append(lock.lock(mode | LK_NOWAIT | LK_CANCELABLE))).join()
            lock.cancel_end()

    once(program, locks)
    assert [error] == seen


def test_the_last_reader_hands_the_lock_to_the_waiting_writer():
    """The grant is made by the releaser: nobody can slip in between."""
    seen = []

    def program(m):
        lock = m.lockmgr("l")

        def writer():
            lock.acquire()
            lock.release()

        lock.acquire_shared()
        m.spawn(writer)
        delay(m, 1)
        lock.release()
        seen.append(lock.lk_count.peek())
        seen.append(lock.lock(LK_SHARED | LK_NOWAIT))
        m.join()

    once(program)
    assert [1, EBUSY] == seen
