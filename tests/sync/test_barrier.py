"""Barriers at both depths."""

import pytest

import vmsmp
from lock_runs import DEPTHS, SCHEDULES, alone, failure_of


def rounds(m, n=2, turns=2):
    """In each turn everybody sees what everybody did in it; one is told that it came last."""
    barrier = m.barrier(n, "b")
    at, last = [m.cell(0, f"at[{k}]") for k in range(n)], m.atomic(0, "last")

    def worker(me):
        for turn in range(1, turns + 1):
            at[me].store(turn)
            last.fetchadd(int(barrier.wait()))
            m.check(all(cell.load() == turn for cell in at), "all have come")
            barrier.wait()

    for me in range(n):
        m.spawn(worker, me)
    m.join()
    m.check(last.load() == turns, "one a turn came last")
    m.check(barrier.arrived() == 0, "nobody waits")


@DEPTHS
@SCHEDULES
@pytest.mark.parametrize("n", [1, 2, 3])
def test_nobody_goes_on_before_all_have_come_turn_after_turn(locks, sched, n):
    result = vmsmp.explore(lambda m: rounds(m, n), sched=sched, schedules=120, locks=locks, races=True)
    assert [] == result.failures


@DEPTHS
def test_waits_that_end_for_no_reason_change_nothing(locks):
    assert None is failure_of(rounds, locks, schedules=300, spurious=True)


@DEPTHS
def test_it_works_on_parallel_cpus(locks):
    assert None is vmsmp.run(lambda m: rounds(m, 3, 20), engine="free", locks=locks, seed=1).failure


@DEPTHS
def test_too_few_cpus_wait_for_ever(locks):
    def program(m):
        m.spawn(m.barrier(2, "b").wait)
        m.join()

    failure = failure_of(program, locks)
    assert "deadlock" == failure.kind
    assert "b" in failure.message.partition("waited for: ")[2]


@DEPTHS
def test_a_wait_with_a_spinlock_held_is_misuse(locks):
    def program(m):
        with m.spinlock("s"):
            m.barrier(1, "b").wait()

    assert "lock-misuse" == failure_of(program, locks).kind


@DEPTHS
def test_a_barrier_for_nobody_is_refused(locks):
    def program(m, seen):
        with pytest.raises(ValueError, match="a barrier is for at least 1 CPU"):
            m.barrier(0)
        seen.append(m.barrier(3, "b").state())

    assert ["0 of 3"] == alone(program, locks)
