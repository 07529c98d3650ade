"""Effects of steps: silent stores that race with hints, and arrivals before locks; DPOR sees them."""

from __future__ import annotations

import pytest

import vmsmp
from small_programs import (
    KERNEL_OPERATIONS,
    activate,
    deactivate,
    kernel_program,
    outcomes,
    read_act_count,
    read_head,
    read_length,
    read_queue,
    spin,
    spin_upgrade,
    unqueue,
)
from vmsmp.engine import ops
from vmsmp.library import find_scenario
from vmsmp.sched.effects import Event, conflict

X, Y = ops.identity(0, 1), ops.identity(0, 2)


def step(cpu, thing, kind, *effects):
    return Event(cpu, ops.op(thing, kind), tuple(ops.op(at, what) for at, what in effects))


HINT = step(1, X, ops.LOAD)
STORING = step(2, Y, ops.ACQUIRE, (X, ops.STORE))
UPGRADE = step(1, X, ops.UPGRADE)
ARRIVING = step(2, Y, ops.RELEASE, (X, ops.ACQUIRE))


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (HINT, STORING, True),
        (HINT, step(2, Y, ops.ACQUIRE), False),
        (HINT, step(2, X, ops.LOAD), False),
        (step(1, X, ops.STORE), STORING, True),
        (step(1, Y + 64, ops.ACQUIRE, (X, ops.STORE)), STORING, True),
        (UPGRADE, ARRIVING, True),
        (UPGRADE, step(2, Y, ops.RELEASE), False),
        (step(1, X, ops.ACQUIRE), ARRIVING, False),
        (step(1, X, ops.RELEASE_SHARED), ARRIVING, False),
        (step(1, Y + 64, ops.RELEASE, (X, ops.ACQUIRE)), ARRIVING, False),
    ],
)
def test_steps_conflict_by_their_operations_and_their_effects(one, other, expected):
    assert [expected] * 2 == [conflict(one, other), conflict(other, one)]


def together(*roles):
    def program(t):
        for role in roles:
            t.m.spawn(role, t)

    return program


@pytest.mark.parametrize(
    "roles",
    [
        (read_queue, unqueue),
        (unqueue, read_queue),
        (read_head, unqueue),
        (read_length, unqueue),
        (read_act_count, activate),
        (read_queue, deactivate),
        (spin, spin_upgrade),
    ],
    ids=lambda roles: " ".join(role.__name__ for role in roles),
)
def test_a_reduced_search_has_the_outcomes_of_all_schedules(roles):
    everything, ended = outcomes(together(*roles), "dfs", 10_000)
    assert ended
    assert (everything, True) == outcomes(together(*roles), "dpor", 10_000)


def test_a_hint_against_a_removal_from_the_queue_has_two_outcomes():
    assert 2 == len(outcomes(together(read_queue, unqueue), "dpor", 1_000)[0])


def test_hints_alone_have_one_outcome():
    assert 1 == len(outcomes(together(read_queue, read_queue), "dpor", 1_000)[0])


def test_a_free_without_its_sweep_is_found_by_reduction():
    found = vmsmp.explore(find_scenario("holds_and_frees"), sched="dpor", schedules=500, mutants=["HW-05"])
    assert not found.ok


def differing(kinds, seeds, most):
    """The random programs of which DPOR has other outcomes than depth-first search, and how many ended."""
    wrong, compared = [], 0
    for seed in seeds:
        program = kernel_program(kinds, seed)
        everything, ended = outcomes(program, "dfs", most)
        if ended:
            compared += 1
            if (everything, True) != outcomes(program, "dpor", most):
                wrong.append(f"{seed}: {program.__name__}")
    return wrong, compared


each_kind = pytest.mark.parametrize("kinds", KERNEL_OPERATIONS)


@each_kind
def test_random_kernel_programs_have_the_outcomes_that_depth_first_search_sees(kinds):
    wrong, compared = differing(kinds, range(12), 500)
    assert ([], True) == (wrong, compared > 0)


@pytest.mark.ci
@pytest.mark.parametrize("part", range(5))
@each_kind
def test_hundreds_of_random_kernel_programs_have_the_outcomes_that_depth_first_search_sees(kinds, part):
    wrong, compared = differing(kinds, range(part * 30, part * 30 + 30), 1_000)
    assert ([], True) == (wrong, compared >= 5)
