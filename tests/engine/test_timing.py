"""The timing of free runs: drawn stalls, and CPUs that start as one."""

from __future__ import annotations

import random
from types import SimpleNamespace

import pytest

from vmsmp.engine import timing
from vmsmp.engine.timing import Timing


def cpu(nops=0, *, blocked=True):
    """As much of a CPU as its timing needs."""
    stream = random.Random(7)
    return SimpleNamespace(nops=nops, fuse=9, blocked=blocked, started=False, rng=lambda name: stream)


def test_without_perturbation_no_stall_comes():
    assert Timing(0).next_stall(cpu()) >= 1 << 62


def test_the_next_stall_is_after_the_operations_so_far():
    assert Timing(1).next_stall(cpu(nops=1000)) > 1000


@pytest.mark.parametrize("perturb", [10, 200])
def test_stalls_come_once_in_so_many_operations(perturb):
    stands, draws = cpu(), 2000
    total = sum(Timing(perturb).next_stall(stands) for _ in range(draws))
    assert pytest.approx(perturb, rel=0.1) == total / draws


def test_stalls_are_mostly_no_more_than_a_chance_to_switch(monkeypatch):
    naps = []
    monkeypatch.setattr(timing.time, "sleep", naps.append)
    stands = cpu()
    for _ in range(1000):
        Timing.stall(stands)
    assert pytest.approx(700, abs=60) == naps.count(0)
    assert 1e-3 == max(naps)


def test_a_release_lets_all_go_that_have_come():
    line, waiting = Timing(0), [cpu(), cpu()]
    line.starting += waiting
    line.release()
    assert [True, True] == [one.started for one in waiting]
    assert [] == line.starting


def test_a_release_does_not_wait_for_ever_for_one_that_does_not_come():
    line, late = Timing(0), cpu(blocked=False)
    line.starting.append(late)
    line.release()
    assert late.started


def test_a_cpu_that_is_let_go_stands_still_until_its_run_has_it_resume():
    stands = cpu(blocked=False)
    stands.started = True
    Timing.await_start(stands, SimpleNamespace(halting=False))
    assert (True, 9) == (stands.blocked, stands.fuse)


def test_a_cpu_whose_run_is_over_waits_no_longer_and_looks_at_once():
    stands = cpu(blocked=False)
    Timing.await_start(stands, SimpleNamespace(halting=True))
    assert (True, 0) == (stands.blocked, stands.fuse)
