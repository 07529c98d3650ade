"""Traces told apart by what steps do beside their operations: as many as reduction has runs."""

from __future__ import annotations

import pytest

import vmsmp
from small_programs import (
    KERNEL_OPERATIONS,
    Shared,
    activate,
    deactivate,
    kernel_program,
    read_act_count,
    read_head,
    read_queue,
    spin,
    spin_upgrade,
    unqueue,
)
from vmsmp.campaign import certificate


@pytest.fixture(autouse=True)
def _every_run_counts(monkeypatch):
    monkeypatch.setattr(certificate, "EVERY", 10**9)


def certified(program, sched, most=10_000):
    """The certificate of a whole search of a function of a `Shared`.

    None if the search has no end, or a run fails: then traces are cut short wherever that happens.
    """

    def body(m):
        program(Shared(m))

    result = vmsmp.explore(body, sched=sched, schedules=most, check=False, stop="never")
    return result.certificate if result.exhausted and not result.failures else None


def together(*roles):
    def program(t):
        for role in roles:
            t.m.spawn(role, t)

    return program


@pytest.mark.parametrize(
    ("roles", "traces"),
    [
        ((read_queue, unqueue), 2),
        ((unqueue, read_queue), 2),
        ((read_head, unqueue), 2),
        ((read_act_count, activate), 1),
        ((read_queue, deactivate), 3),
        ((spin, spin_upgrade), 6),
        ((spin_upgrade, spin), 6),
    ],
    ids=lambda value: " ".join(role.__name__ for role in value) if isinstance(value, tuple) else str(value),
)
def test_a_program_has_as_many_traces_as_reduction_has_runs(roles, traces):
    everything, reduced = (certified(together(*roles), sched) for sched in ("dfs", "dpor"))
    assert (traces, traces, traces) == (everything.traces, reduced.traces, reduced.sampled)


def differing(kinds, seeds, most):
    """The random programs whose traces differ between searches, or come twice; and how many ended."""
    wrong, compared = [], 0
    for seed in seeds:
        program = kernel_program(kinds, seed)
        everything = certified(program, "dfs", most)
        if everything is not None:
            compared += 1
            reduced = certified(program, "dpor", most)
            if reduced is None or not everything.traces == reduced.traces == reduced.sampled:
                wrong.append(f"{seed}: {program.__name__}")
    return wrong, compared


#: Kinds of programs of which few have few schedules.
LARGE = ("objects", "dirt")
#: Those whose searches take seconds: the gate has them among the many below.
SLOW = ("caching", "identity", "leaving", "locks", "wirings")


@pytest.mark.ci
@pytest.mark.parametrize("kinds", [kinds for kinds in KERNEL_OPERATIONS if kinds not in (*LARGE, *SLOW)])
def test_random_kernel_programs_have_the_traces_that_depth_first_search_sees(kinds):
    wrong, compared = differing(kinds, range(4), 200)
    assert ([], True) == (wrong, compared > 0)


@pytest.mark.ci
@pytest.mark.parametrize(
    ("programs", "most", "least"), [(9, 250, 1), pytest.param(30, 1_000, 2, marks=pytest.mark.nightly)]
)
@pytest.mark.parametrize("kinds", KERNEL_OPERATIONS)
def test_many_random_kernel_programs_have_the_traces_that_depth_first_search_sees(
    kinds, programs, most, least
):
    wrong, compared = differing(kinds, range(programs), most)
    assert ([], True) == (wrong, compared >= least)


def test_a_run_without_hints_and_upgrades_is_not_followed(monkeypatch):
    followed = []
    real = vmsmp.sched.witness.Witness.begin
    monkeypatch.setattr(
        vmsmp.sched.witness.Witness, "begin", lambda self, m: followed.append(m) or real(self, m)
    )

    def program(m):
        lock = m.spinlock("a")
        for _ in range(2):
            m.spawn(lambda: lock.acquire() or lock.release())

    assert 50 == vmsmp.explore(program, schedules=50).certificate.sampled
    assert 1 == len(followed)
