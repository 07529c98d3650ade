"""The tool's power on users' protocols: each mistake is found, at both depths, and how soon.

`MEAN` is measured: the schedules that the portfolio needed, on average over 20 seeds, at the atomic and at
the exact depth.  Twice as many are allowed, since a mean of so few runs is off by a quarter easily.
"""

import statistics

import pytest

import vmsmp
from broken_protocols import BROKEN

SEEDS = range(20)
MOST = 1_500

#: program -> (mean at the atomic depth, at the exact depth, the kind of failure)
MEAN = {
    "waits_with_if": (16.9, 3.0, "check"),
    "signals_without_the_lock": (9.2, 8.5, "lost-wakeup"),
    "posts_too_early": (3.0, 3.4, "check"),
    "two_semaphores_in_opposite_orders": (4.0, 3.0, "deadlock"),
    "barrier_reused_too_soon": (1.7, 1.2, "deadlock"),
    "futex_without_another_look": (27.8, 59.5, "check"),
    "futex_forgets_who_sleeps": (19.6, 24.4, "lost-wakeup"),
    "requeued_behind_nobody": (3.4, 10.4, "deadlock"),
    "upgrade_by_two_steps": (1.6, 1.1, "check"),
    "reader_asks_again": (4.9, 5.5, "deadlock"),
    "counts_down_before_the_last_look": (5.7, 5.7, "use-after-free"),
    "last_by_two_looks": (2.8, 2.8, "use-after-free"),
    "stack_without_a_version": (29.8, 29.8, "check"),
}


def test_every_broken_protocol_has_a_measured_mean():
    assert list(BROKEN) == list(MEAN)


@pytest.mark.parametrize("locks", ["atomic", pytest.param("exact", marks=pytest.mark.ci)])
@pytest.mark.parametrize("name", MEAN)
def test_the_portfolio_finds_the_mistake_with_every_seed_and_soon(name, locks):
    program, (atomic, exact, kind) = BROKEN[name], MEAN[name]
    found = [vmsmp.explore(program, schedules=MOST, seed=seed, locks=locks).failure for seed in SEEDS]
    assert [] == [seed for seed, failure in zip(SEEDS, found, strict=True) if failure is None]
    assert {kind} == {failure.kind for failure in found}
    mean = statistics.mean(failure.execution for failure in found)
    assert mean <= 2 * (atomic if locks == "atomic" else exact)


@pytest.mark.parametrize("locks", ["atomic", "exact"])
@pytest.mark.parametrize("name", MEAN)
def test_its_line_brings_it_back(name, locks):
    failure = vmsmp.explore(BROKEN[name], schedules=MOST, locks=locks).failure
    again = vmsmp.replay(BROKEN[name], failure.schedule)
    assert (failure.signature, failure.digest) == (again.failure.signature, again.digest)
