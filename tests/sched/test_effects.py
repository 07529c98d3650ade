"""Effects of steps: silent stores that race with hints, and arrivals before locks; DPOR sees them."""

from __future__ import annotations

import pytest

import vmsmp
from small_programs import (
    KERNEL_OPERATIONS,
    LARGE_PAIRS,
    PAIRS,
    activate,
    deactivate,
    kernel_program,
    outcomes,
    read_act_count,
    read_head,
    read_length,
    read_queue,
    side_by_side,
    spin,
    spin_upgrade,
    unqueue,
)
from vmsmp.engine import ops
from vmsmp.library import find_scenario
from vmsmp.sched.effects import Event, conflict
from vmsmp.vm.vm_map import vm_map_init
from vmsmp.vm.vm_object import vm_object_allocate
from vmsmp.vm.vm_page import PAGE_SIZE

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
    return side_by_side(None, *roles)


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


@pytest.mark.ci
@pytest.mark.parametrize(
    ("prepare", "roles"),
    [(prepare, roles) for prepare, *roles in PAIRS],
    ids=lambda value: " ".join(role.__name__ for role in value) if isinstance(value, list) else "",
)
def test_a_pair_that_reads_unlocked_what_the_other_changes_has_the_outcomes_of_all_schedules(prepare, roles):
    everything, ended = outcomes(side_by_side(prepare, *roles), "dfs", 20_000)
    assert ended
    assert (everything, True) == outcomes(side_by_side(prepare, *roles), "dpor", 10_000)


@pytest.mark.ci
@pytest.mark.parametrize(
    ("prepare", "roles"),
    [(prepare, roles) for prepare, *roles in LARGE_PAIRS],
    ids=lambda value: " ".join(role.__name__ for role in value) if isinstance(value, list) else "",
)
def test_a_large_pair_has_by_reduction_every_outcome_that_random_runs_see(prepare, roles):
    seen, _ = outcomes(side_by_side(prepare, *roles), "random", 500)
    reduced, ended = outcomes(side_by_side(prepare, *roles), "dpor", 10_000)
    assert (set(), True) == (seen - reduced, ended)


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


@pytest.mark.ci
@each_kind
def test_random_kernel_programs_have_the_outcomes_that_depth_first_search_sees(kinds):
    wrong, compared = differing(kinds, range(9), 250)
    assert ([], True) == (wrong, compared > 0)


@pytest.mark.nightly
@pytest.mark.parametrize("part", range(5))
@each_kind
def test_hundreds_of_random_kernel_programs_have_the_outcomes_that_depth_first_search_sees(kinds, part):
    wrong, compared = differing(kinds, range(part * 30, part * 30 + 30), 1_000)
    assert ([], True) == (wrong, compared >= 5)


def test_an_identity_may_be_another_kind_of_record_s_in_another_run():
    """What a run makes first has an identity that it has in no other run: an object's, or a map's."""

    def program(m):
        vm = m.boot(pages=4, l2_size=1)
        made = []

        def maker():
            if m.choose(2):
                made.append(vm_object_allocate(vm, 1))
                made[0].hint("size")
            else:
                made.append(vm_map_init(vm, 0, PAGE_SIZE, None))
            made.extend(vm_map_init(vm, 0, PAGE_SIZE, None) for _ in range(3))

        m.spawn(maker)
        m.join()

    assert vmsmp.explore(program, schedules=20).ok
