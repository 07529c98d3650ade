"""The words of the exact lock, state by state."""

import pytest

from lock_runs import delay, once
from vmsmp import (
    LK_CANRECURSE,
    LK_DOWNGRADE,
    LK_EXCLUSIVE,
    LK_RELEASE,
    LK_SHARED,
    LK_UPGRADE,
)
from vmsmp.sync.lockmgr import (
    LKC_CANCEL,
    LKC_EXREQ,
    LKC_EXREQ2,
    LKC_SCOUNT,
    LKC_SHARED,
    LKC_UPREQ,
)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([LK_EXCLUSIVE, LK_RELEASE], [1, LKC_SHARED]),
        ([LK_SHARED, LK_RELEASE], [LKC_SHARED | LKC_SCOUNT, LKC_SHARED]),
        (
            [LK_SHARED, LK_RELEASE, LK_EXCLUSIVE, LK_RELEASE],
            [LKC_SHARED | LKC_SCOUNT, LKC_SHARED, 1, LKC_SHARED],
        ),
        (
            [LK_EXCLUSIVE, LK_SHARED | LK_CANRECURSE, LK_RELEASE, LK_RELEASE],
            [1, 2, 1, LKC_SHARED],
        ),
        (
            [LK_SHARED, LK_UPGRADE, LK_DOWNGRADE, LK_RELEASE],
            [LKC_SHARED | LKC_SCOUNT, 1, LKC_SHARED | LKC_SCOUNT, LKC_SHARED],
        ),
    ],
)
def test_one_cpu_takes_the_word_through_its_states(flags, words):
    seen = []

    def program(m):
        lock = m.lockmgr("l")
        for flag in flags:
            lock.lock(flag)
            seen.append(lock.lk_count.peek())

    once(program)
    assert words == seen


@pytest.mark.parametrize(
    ("holds", "asks", "waiting", "after"),
    [
        (LK_EXCLUSIVE, [LK_EXCLUSIVE], 1 | LKC_EXREQ2, LKC_SHARED),
        (LK_EXCLUSIVE, [LK_SHARED], 1 | LKC_SCOUNT, LKC_SHARED),
        (LK_SHARED, [LK_EXCLUSIVE], LKC_SHARED | LKC_SCOUNT | LKC_EXREQ, LKC_SHARED),
        (
            LK_SHARED,
            [LK_EXCLUSIVE, LK_EXCLUSIVE],
            LKC_SHARED | LKC_SCOUNT | LKC_EXREQ | LKC_EXREQ2,
            LKC_SHARED,
        ),
        (LK_SHARED, [LK_UPGRADE], LKC_SHARED | LKC_SCOUNT | LKC_UPREQ, LKC_SHARED),
        (LK_SHARED, [LK_EXCLUSIVE, LK_SHARED], LKC_SHARED | LKC_SCOUNT | LKC_EXREQ, LKC_SHARED),
    ],
)
def test_a_waiting_request_shows_in_the_word(holds, asks, waiting, after):
    seen = []

    def program(m):
        lock = m.lockmgr("l")

        def other(flags):
            if flags == LK_UPGRADE:
                lock.acquire_shared()
            lock.lock(flags)
            lock.release()

        lock.lock(holds)
        for flags in asks:
            m.spawn(other, flags)
            delay(m, 1)
        seen.append(lock.lk_count.peek())
        lock.release()
        m.join()
        seen.append(lock.lk_count.peek())

    once(program)
    assert [waiting, after] == seen


def test_cancel_shows_in_the_word_and_goes_with_the_last_release():
    seen = []

    def program(m):
        lock = m.lockmgr("l")
        lock.acquire()
        lock.cancel_beg()
        seen.append(lock.lk_count.peek())
        lock.release()
        seen.append(lock.lk_count.peek())

    once(program)
    assert [1 | LKC_CANCEL, LKC_SHARED] == seen
