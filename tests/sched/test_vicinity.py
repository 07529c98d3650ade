"""Vicinity: runs near a known one."""

from __future__ import annotations

import pytest

from vmsmp.engine.schedule import Preemption, Schedule
from vmsmp.sched.portfolio import Portfolio
from vmsmp.sched.vicinity import Vicinity

#: A line of `narrow` that loses an update.
LINE = Schedule.parse("v1:narrow:0:1.11>2,2.12>1").preemptions


def narrow(m, extra=0):
    """Ten CPUs' worth of noise around one lost update; `extra` operations more come before it."""
    word, noise = m.cell(0), m.cell(0)

    def add():
        for _ in range(10 + extra):
            noise.load()
        word.store(word.load() + 1)
        for _ in range(10):
            noise.load()

    m.spawn(add)
    m.spawn(add)
    m.join()
    m.check(word.load() == 2, "both increments are counted")


def shifted(m):
    """The same with a few operations more before it."""
    narrow(m, extra=3)


def drawn(seed=0, runs=50, known=LINE):
    vicinity = Vicinity(known, seed)
    return [vicinity._drawn() for _ in range(runs)]


def test_the_same_seed_draws_the_same_runs():
    assert drawn(seed=3) == drawn(seed=3)
    assert drawn(seed=3) != drawn(seed=4)


def test_a_run_has_no_preemption_more_and_goes_to_the_same_cpus():
    for one in drawn():
        assert len(one) <= len(LINE)
        assert {(step.cpu, step.value, step.choice) for step in one} <= {
            (step.cpu, step.value, step.choice) for step in LINE
        }


def test_a_shift_moves_what_comes_after_it_on_its_cpu_too():
    known = [Preemption(1, 10 * n, 2) for n in range(1, 9)]
    for one in drawn(known=known):
        offsets = [step.nth - 10 * round(step.nth / 10) for step in one if step.nth % 10]
        assert len(set(offsets)) <= len(offsets)
    together = [one for one in drawn(known=known) if len({step.nth % 10 for step in one} - {0}) == 1]
    assert any(sum(step.nth % 10 > 0 for step in one) > 1 for one in together)


def test_no_preemption_comes_before_the_first_operation():
    assert 0 == min(step.nth for one in drawn(known=[Preemption(1, 1, 2)]) for step in one)


def test_of_a_run_without_preemptions_there_is_nothing_near():
    assert [()] * 50 == drawn(known=())
    assert [()] * 50 == drawn(known=[])
