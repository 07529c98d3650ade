"""The atomic mutex: requests in one step, or two."""

import pytest

import vmsmp
from lock_runs import alone, once


def test_an_uncontested_request_is_one_step():
    def program(m, seen):
        mtx = m.mutex("mtx")
        before = len(m.engine.log)
        mtx.lock()
        seen.append(len(m.engine.log) - before)
        mtx.unlock()

    assert [1] == alone(program, "atomic")


@pytest.mark.parametrize("waits", [0, 1])
def test_an_upgrade_may_meet_a_cpu_that_changes_the_lists(waits):
    """Only if somebody waits."""
    ends = set()

    def program(m):
        mtx = m.mutex("mtx")

        def writer():
            with mtx:
                pass

        mtx.lock_shared()
        for _ in range(waits):
            m.spawn(writer)
        ends.add(mtx.try_upgrade())
        mtx.unlock()
        m.join()

    result = vmsmp.explore(program, sched="dfs", schedules=5000, locks="atomic")
    assert ([], True) == (result.failures, result.exhausted)
    assert ({True, False} if waits else {True}) == ends


def test_it_is_free_once_nobody_waits():
    seen = []

    def program(m):
        mtx = m.mutex("mtx")

        def user(how):
            getattr(mtx, how)()
            mtx.unlock()

        for how in ("lock", "lock_shared", "lock"):
            m.spawn(user, how)
        m.join()
        seen.append((mtx.try_lock(), mtx.statistics().acquisitions))
        mtx.unlock()

    once(program, "atomic")
    assert [(True, 4)] == seen
