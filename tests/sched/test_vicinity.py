"""Vicinity: runs near a known one."""

from __future__ import annotations

import pytest

from vmsmp.engine.schedule import Preemption, Schedule
from vmsmp.sched.vicinity import Vicinity

#: A line of `narrow` that loses an update.
LINE = Schedule.parse("v1:narrow:0:1.11>2,2.12>1").preemptions


def narrow(m):
    """A lost update between operations that have nothing to do with it."""
    word, noise = m.cell(0), m.cell(0)

    def add():
        for _ in range(10):
            noise.load()
        word.store(word.load() + 1)
        for _ in range(10):
            noise.load()

    m.spawn(add)
    m.spawn(add)
    m.join()
    m.check(word.load() == 2, "both increments are counted")


def drawn(known=LINE, *, seed=0, runs=50):
    vicinity = Vicinity(known, seed)
    return [vicinity._drawn() for _ in range(runs)]


def test_the_same_seed_draws_the_same_runs():
    assert drawn(seed=3) == drawn(seed=3)
    assert drawn(seed=3) != drawn(seed=4)


def test_a_run_has_no_preemption_more_and_goes_to_the_same_cpus():
    goes = {(step.cpu, step.value, step.choice) for step in LINE}
    for one in drawn():
        assert len(one) <= len(LINE)
        assert {(step.cpu, step.value, step.choice) for step in one} <= goes


def test_many_runs_are_the_known_one_and_many_are_not():
    same = sum(one == LINE for one in drawn(runs=200))
    assert 20 < same < 180


def test_what_comes_after_a_shift_on_its_cpu_moves_along():
    known = [Preemption(1, 1000 * n, 2) for n in range(1, 9)]
    moved = [[step.nth - round(step.nth, -3) for step in one] for one in drawn(known)]
    assert any(shifts.count(0) == 3 and len({*shifts}) == 2 for shifts in moved)


def test_another_cpu_stays_where_it_is():
    known = [Preemption(1, 1000, 2), Preemption(2, 1000, 1)]
    moved = [{step.cpu: step.nth != 1000 for step in one} for one in drawn(known)]
    assert {1: True, 2: False} in moved
    assert {1: False, 2: True} in moved


def test_no_preemption_comes_before_the_first_operation():
    assert 0 == min(step.nth for one in drawn([Preemption(1, 1, 2)]) for step in one)


def test_near_a_run_without_preemptions_there_is_only_itself():
    assert [()] * 50 == drawn([])


@pytest.mark.parametrize("seed", range(5))
def test_what_fails_there_is_found_again(tell, seed):
    vicinity = Vicinity(LINE, seed)
    outcomes = [tell(narrow, vicinity)[0] for _ in range(20)]
    assert sum(outcome.failure is not None for outcome in outcomes) >= 5
