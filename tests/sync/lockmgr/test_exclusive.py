"""Exclusive requests: recursion, and a writer that gives up."""

import vmsmp
from lock_runs import DEPTHS, MODES, once
from vmsmp import (
    EBUSY,
    LK_CANRECURSE,
    LK_EXCLUSIVE,
    LK_NOWAIT,
    LK_SHARED,
    LK_TIMELOCK,
)


@DEPTHS
@MODES
def test_a_request_by_the_owner_is_locking_against_myself(locks, mode):
    def program(m):
        lock = m.lockmgr("l")
        lock.acquire()
        lock.lock(mode)

    failure = vmsmp.explore(program, schedules=1, locks=locks).failure
    assert "check: panic: lockmgr: locking against myself: lockmgr 'l'" == failure.signature


@DEPTHS
@MODES
def test_a_request_by_the_owner_that_must_not_wait_is_busy(locks, mode):
    seen = []

    def program(m):
        with m.lockmgr("l") as lock:
            seen.append(lock.lock(mode | LK_NOWAIT))

    once(program, locks)
    assert [EBUSY] == seen


@DEPTHS
@MODES
def test_a_recursive_request_stays_exclusive_until_the_last_release(locks, mode):
    seen = []

    def program(m):
        lock = m.lockmgr("l")

        def asks():
            got = lock.lock(LK_SHARED | LK_NOWAIT)
            seen.append(got)
            if not got:
                lock.release()

        lock.acquire()
        seen.append(lock.lock(mode | LK_CANRECURSE))
        m.spawn(asks).join()
        lock.release()
        m.spawn(asks).join()
        lock.release()
        m.spawn(asks).join()

    once(program, locks)
    assert [0, EBUSY, EBUSY, 0] == seen


def test_a_writer_that_gives_up_may_grant_itself_a_lock_that_says_shared():
    """undo_exreq between the last reader's two steps leaves SHARED set: a finding likewise."""

    def program(m):
        lock = m.lockmgr("l", timo=3)

        def writer():
            if lock.lock(LK_EXCLUSIVE | LK_TIMELOCK) == 0:
                lock.release()

        def reader():
            lock.acquire_shared()
            lock.release()

        for fn in (writer, reader, reader):
            m.spawn(fn)
        m.join()

    result = vmsmp.explore(program, sched="random", schedules=5000, locks="exact", timeouts="any")
    assert "check: state word of lockmgr 'l': XMASK and SHARED are both set" == result.failure.signature
