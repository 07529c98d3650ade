"""Depth-first search: it sees everything, once each, and says when it has."""

from __future__ import annotations

from math import comb

import pytest

import vmsmp
from lost_update import lost_update


def side_by_side(boot, other):
    """The boot CPU makes `boot` steps beside a CPU that makes `other`, its start among them."""

    def program(m):
        word = m.cell(0)

        def worker():
            for n in range(other - 1):
                word.store(n)

        m.spawn(worker)
        for n in range(boot):
            word.store(n)
        m.join()

    return program


def count(program, sched="dfs", **arguments):
    result = vmsmp.explore(program, sched=sched, schedules=100_000, stop="never", **arguments)
    assert result.exhausted
    return result.executions


@pytest.mark.parametrize(("boot", "other"), [(0, 1), (0, 5), (1, 1), (2, 2), (3, 3), (5, 2), (1, 8), (5, 5)])
def test_two_cpus_interleave_in_as_many_ways_as_the_binomial_says(boot, other):
    assert comb(boot + other, other) == count(side_by_side(boot, other))


def orders(done, total):
    """How often the boot CPU, which spawns two and joins them in order, can be woven with them."""
    if done == total:
        return 1
    boot, one, two = done
    ways = 0
    # its steps: spawn, spawn, join of the first, join of the second
    if boot < total[0] and not (boot == 2 and one < total[1]) and not (boot == 3 and two < total[2]):
        ways += orders((boot + 1, one, two), total)
    if one < total[1] and boot >= 1:
        ways += orders((boot, one + 1, two), total)
    if two < total[2] and boot >= 2:
        ways += orders((boot, one, two + 1), total)
    return ways


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_three_cpus_interleave_in_as_many_ways_as_counting_says(steps):
    def program(m):
        word = m.cell(0)

        def worker():
            for n in range(steps - 1):
                word.store(n)

        one, two = m.spawn(worker), m.spawn(worker)
        one.join()
        two.join()

    # the machine's own joins at the end come when nobody else is left
    assert orders((0, 0, 0), (4, steps, steps)) == count(program)


@pytest.mark.parametrize(
    ("bound", "expected"),
    # boot has 3 places to be preempted at, the worker 2: alternating cuts, boot's first
    [(0, 1), (1, 1 + 3), (2, 1 + 3 + 6), (3, 16), (4, 19), (5, 20), (6, 20)],
)
def test_a_bound_keeps_the_runs_with_at_most_so_many_preemptions(bound, expected):
    assert expected == count(side_by_side(3, 3), f"dfs:{bound}")


def test_every_run_is_another_run():
    logs = set()

    def program(m):
        side_by_side(3, 3)(m)
        logs.add(tuple(m.engine.log))

    assert comb(6, 3) == count(program) == len(logs)


def test_draws_of_data_are_enumerated_too():
    drawn = []
    count(lambda m: drawn.append((m.choose(3), m.choose(2))))
    assert [(a, b) for a in range(3) for b in range(2)] == sorted(drawn)


def test_no_run_without_a_preemption_loses_an_update():
    result = vmsmp.explore(lost_update, sched="dfs:0", schedules=1000)
    assert (True, None) == (result.exhausted, result.failure)


def test_one_preemption_loses_an_update():
    assert "check" == vmsmp.explore(lost_update, sched="dfs:1", schedules=1000).failure.kind


def test_a_search_that_stops_early_is_not_exhausted():
    result = vmsmp.explore(side_by_side(3, 3), sched="dfs", schedules=19)
    assert (19, False) == (result.executions, result.exhausted)


def test_a_search_whose_budget_is_exactly_enough_has_run_every_schedule():
    assert comb(6, 3) == vmsmp.explore(side_by_side(3, 3), sched="dfs", schedules=20).executions


def test_only_enumerating_schedulers_say_exhausted():
    assert not vmsmp.explore(side_by_side(1, 1), sched="random", schedules=50).exhausted


def test_a_spin_loop_does_not_make_the_search_endless():
    def program(m):
        flag = m.cell(False)

        def spinner():
            while not flag.load():
                m.pause()

        m.spawn(spinner)
        m.spawn(flag.store, True)
        m.join()

    result = vmsmp.explore(program, sched="dfs", schedules=20_000, stop="never")
    assert (True, {}) == (result.exhausted, result.counts)


@pytest.mark.parametrize("locks", ["atomic", "exact"])
def test_no_order_of_two_locked_sections_lets_both_in(locks):
    def program(m):
        word, lock = m.cell(0), m.spinlock()

        def incrementer():
            with lock:
                word.store(word.load() + 1)

        m.spawn(incrementer)
        m.spawn(incrementer)
        m.join()
        m.check(word.load() == 2, "both increments are counted")

    result = vmsmp.explore(program, sched="dfs:2", schedules=50_000, locks=locks)
    assert (True, None) == (result.exhausted, result.failure)
