"""CHESS's fairness: a CPU that yields without giving others a turn comes after them."""

from __future__ import annotations

from types import SimpleNamespace

from vmsmp.sched.fairness import Fairness

CPUS = [SimpleNamespace(index=n) for n in range(3)]
ALL = 0b111


def runnable(fair, cpus=CPUS):
    return [cpu.index for cpu in fair.may_run(cpus)]


def yields(fair, index, times=2):
    """The first yield only begins a round: what is starved is judged from one yield to the next."""
    for _ in range(times):
        fair.ran(index, True, ALL, ALL)


def test_everybody_may_run_at_first():
    assert [0, 1, 2] == runnable(Fairness())


def test_steps_without_a_yield_starve_nobody():
    fair = Fairness()
    for _ in range(9):
        fair.ran(0, False, ALL, ALL)
    assert [0, 1, 2] == runnable(fair)


def test_a_cpu_that_yields_twice_running_waits_for_the_others():
    fair = Fairness()
    yields(fair, 0)
    assert [1, 2] == runnable(fair)


def test_it_waits_until_each_of_the_others_has_had_a_turn():
    fair = Fairness()
    yields(fair, 0)
    fair.ran(1, False, ALL, ALL)
    assert [1, 2] == runnable(fair)
    fair.ran(2, False, ALL, ALL)
    assert [0, 1, 2] == runnable(fair)


def test_it_waits_only_for_cpus_that_can_run():
    fair = Fairness()
    yields(fair, 0)
    assert [0] == runnable(fair, CPUS[:1])


def test_a_cpu_that_had_its_turn_between_two_yields_is_not_starved():
    fair = Fairness()
    fair.ran(0, True, ALL, ALL)
    fair.ran(1, False, ALL, ALL)
    fair.ran(2, False, ALL, ALL)
    fair.ran(0, True, ALL, ALL)
    assert [0, 1, 2] == runnable(fair)


def test_a_cpu_that_the_yielder_disabled_is_starved_too():
    fair = Fairness()
    fair.ran(0, True, ALL, ALL)
    fair.ran(0, False, ALL, 0b011)
    fair.ran(0, True, 0b011, ALL)
    assert [1, 2] == runnable(fair)
