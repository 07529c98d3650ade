"""Holds of locks, read off the steps of a run: by which step each began."""

from __future__ import annotations

import pytest

from vmsmp.engine import ops
from vmsmp.sched.lock_holds import LockHolds

LOCK, OTHER = (ops.identity(0, n) for n in (1, 2))


def holds_after(*steps):
    """Take in steps (CPU, kind) on LOCK, or (CPU, kind, lock), numbered from 0."""
    holds = LockHolds()
    for n, (cpu, kind, *lock) in enumerate(steps):
        holds.step(n, cpu, ops.op(lock[0] if lock else LOCK, kind))
    return holds


def taken(holds, kind=ops.ACQUIRE, lock=LOCK, cpu=9):
    return list(holds.taken_by_others(cpu, ops.op(lock, kind)))


def test_a_release_goes_back_to_its_acquire():
    holds = holds_after((1, ops.ACQUIRE), (1, ops.RELEASE))
    assert 0 == holds.reversible(1, ops.ACQUIRE)


def test_a_step_that_ends_no_hold_stands_for_itself():
    holds = holds_after((1, ops.ACQUIRE), (2, ops.TRY_FAILED))
    assert 1 == holds.reversible(1, ops.ACQUIRE)


def test_only_the_last_release_of_a_recursive_lock_ends_its_hold():
    holds = holds_after(*[(1, ops.ACQUIRE)] * 2, *[(1, ops.RELEASE)] * 2)
    assert 2 == holds.reversible(2, ops.ACQUIRE)
    assert 0 == holds.reversible(3, ops.ACQUIRE)


def test_a_reader_races_with_no_other_reader():
    holds = holds_after((1, ops.ACQUIRE_SHARED), (1, ops.RELEASE_SHARED))
    assert -1 == holds.reversible(1, ops.ACQUIRE_SHARED)


def test_a_writer_races_with_a_reader():
    holds = holds_after((1, ops.ACQUIRE_SHARED), (1, ops.RELEASE_SHARED))
    assert 0 == holds.reversible(1, ops.ACQUIRE)


def test_a_reader_races_with_the_upgrade_of_another_reader():
    holds = holds_after((1, ops.ACQUIRE_SHARED), (1, ops.UPGRADE), (1, ops.RELEASE))
    assert 1 == holds.reversible(2, ops.ACQUIRE_SHARED)
    assert 0 == holds.reversible(2, ops.ACQUIRE)


@pytest.mark.parametrize("kind", [ops.ACQUIRE, ops.ACQUIRE_SHARED])
def test_a_downgrade_ends_the_exclusive_part_of_a_hold(kind):
    holds = holds_after((1, ops.ACQUIRE), (1, ops.DOWNGRADE))
    assert 0 == holds.reversible(1, kind)


def test_after_a_downgrade_no_reader_has_to_wait():
    assert [] == taken(holds_after((1, ops.ACQUIRE), (1, ops.DOWNGRADE)), ops.ACQUIRE_SHARED)


def test_a_blocked_writer_waits_for_every_reader():
    assert [0, 1] == taken(holds_after((1, ops.ACQUIRE_SHARED), (2, ops.ACQUIRE_SHARED)))


def test_a_cpu_does_not_wait_for_its_own_hold():
    assert [1] == taken(holds_after((1, ops.ACQUIRE_SHARED), (2, ops.ACQUIRE_SHARED)), cpu=1)


def test_a_lock_that_nobody_holds_is_waited_for_by_nobody():
    assert [] == taken(holds_after((1, ops.ACQUIRE), (1, ops.RELEASE)))


def test_a_reacquire_waits_for_the_holders_of_any_lock():
    assert [0, 1] == taken(holds_after((1, ops.ACQUIRE, LOCK), (2, ops.ACQUIRE, OTHER)), ops.REACQUIRE)


def test_a_release_of_what_was_reacquired_with_others_goes_back_to_the_reacquire():
    holds = holds_after((1, ops.REACQUIRE, LOCK), (1, ops.RELEASE, OTHER))
    assert 0 == holds.reversible(1, ops.ACQUIRE)


def test_the_last_of_several_requests_counts():
    holds = holds_after((1, ops.REQUEST), (1, ops.REQUEST), (1, ops.RELEASE))
    assert 1 == holds.reversible(2, ops.ACQUIRE)


def test_a_sleep_on_what_is_no_lock_holds_nothing():
    assert [] == taken(holds_after((1, ops.SLEEP)))
