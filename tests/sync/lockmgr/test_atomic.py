"""The lockmgr lock of the atomic depth: each request one step, or two if it has to wait."""

import pytest

import vmsmp
from lock_runs import delay, once
from vmsmp import LK_DOWNGRADE, LK_EXCLUSIVE, LK_RELEASE, LK_SHARED, LK_UPGRADE


@pytest.mark.parametrize(
    "requests",
    [
        [LK_SHARED, LK_RELEASE],
        [LK_EXCLUSIVE, LK_RELEASE],
        [LK_SHARED, LK_UPGRADE, LK_RELEASE],
        [LK_EXCLUSIVE, LK_DOWNGRADE, LK_RELEASE],
    ],
)
def test_a_request_that_need_not_wait_is_one_step(requests):
    def idle(m):
        m.lockmgr("l")

    def program(m):
        lock = m.lockmgr("l")
        for request in requests:
            lock.lock(request)

    steps = [vmsmp.explore(fn, schedules=1, locks="atomic").steps for fn in (idle, program)]
    assert len(requests) == steps[1] - steps[0]


def test_waiters_are_granted_in_any_order():
    orders = set()

    def program(m):
        lock, order = m.lockmgr("l"), []

        def waiter():
            lock.acquire()
            order.append(m.curcpu.index)
            lock.release()

        with lock:
            for _ in range(2):
                m.spawn(waiter)
            delay(m, 1)
        m.join()
        orders.add(tuple(order))

    assert [] == vmsmp.explore(program, sched="dfs", schedules=500, locks="atomic").failures
    assert {(1, 2), (2, 1)} == orders


def test_the_state_names_the_owner_before_and_after_a_grant():
    seen = []

    def program(m):
        lock = m.lockmgr("l")

        def waiter():
            with lock:
                seen.append(lock.state())

        with lock:
            m.spawn(waiter)
            delay(m, 1)
            seen.append(lock.state())
        m.join()

    once(program, "atomic")
    assert ["exclusive cpu0", "exclusive cpu1"] == seen
