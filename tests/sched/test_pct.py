"""PCT: its guarantee on small programs, and what priorities mean.

The paper's bound: a bug of depth d among n CPUs and k steps is hit by a run with probability at
least 1/(n k^(d-1)).  The number of runs is taken from it so that 80 hits are due; 40 are asked for,
four and a half standard deviations less.
"""

from __future__ import annotations

from itertools import groupby

import pytest

import vmsmp
from vmsmp.engine import ops, trace
from vmsmp.sched.pct import STREAK, Pct

DUE = 80


def use_before_init(m):
    """Depth 1: one order of two operations."""
    ready = m.cell(False)

    def init():
        ready.store(True)

    def use():
        m.check(ready.load(), "hit")

    m.spawn(init)
    m.spawn(use)
    m.join()


def lost_update(m):
    """Depth 2: one preemption at the right place."""
    word = m.cell(0)

    def incrementer():
        word.store(word.load() + 1)

    m.spawn(incrementer)
    m.spawn(incrementer)
    m.join()
    m.check(word.load() == 2, "hit")


def seen_growing(m):
    """Depth 3: the reader must see 1, and then, without having been let through, 2."""
    word = m.cell(0)

    def writer():
        word.store(1)
        word.store(2)

    def reader():
        first, second = word.load(), word.load()
        m.check((first, second) != (1, 2), "hit")

    m.spawn(writer)
    m.spawn(reader)
    m.join()


@pytest.mark.parametrize(
    ("program", "depth", "steps"),
    # steps: the boot CPU's two spawns, two joins and last look; a start and two operations for each other
    [(use_before_init, 1, 8), (lost_update, 2, 11), (seen_growing, 3, 10)],
)
def test_a_bug_is_hit_at_least_as_often_as_the_bound_promises(program, depth, steps):
    runs = DUE * 3 * steps ** (depth - 1)
    result = vmsmp.explore(program, sched=f"pct:{depth}", schedules=runs, stop="never", seed=1, check=False)
    assert (runs, True) == (result.executions, sum(result.counts.values()) >= DUE // 2)


def test_a_bug_of_depth_two_is_beyond_depth_one():
    result = vmsmp.explore(lost_update, sched="pct:1", schedules=500)
    assert (500, None) == (result.executions, result.failure)


@pytest.mark.parametrize("seed", range(10))
def test_at_depth_one_each_cpu_runs_in_one_piece(tell, seed):
    def program(m):
        word = m.cell(0)
        for _ in range(3):
            m.spawn(lambda: [word.store(n) for n in range(5)] and None)
        m.join()

    _, log, _ = tell(program, Pct(1, seed))
    steps = [step for step in trace.steps(log) if ops.kind_of(step[1]) != ops.START]
    pieces = [cpu for cpu, _ in groupby(steps, key=lambda step: step[0]) if cpu]
    assert [1, 2, 3] == sorted(pieces)


def test_a_cpu_that_spins_falls_below_the_others():
    def program(m):
        flag = m.cell(False)

        def spinner():
            while not flag.load():
                m.yield_()

        m.spawn(spinner)
        m.spawn(flag.store, True)
        m.join()

    result = vmsmp.explore(program, sched="pct:1", schedules=50, max_steps=60)
    assert (50, {}) == (result.executions, result.counts)


def test_pct_of_the_same_seed_goes_the_same_way():
    def found():
        result = vmsmp.explore(lost_update, sched="pct:2", schedules=100, stop="never", seed=3)
        return result.counts, result.failure.schedule, result.failure.digest

    assert found() == found()


def waits_without_saying_so(m):
    flag = m.cell(0, "flag")

    def waiter():
        while not flag.load():
            pass

    m.spawn(waiter)
    m.spawn(flag.store, 1)
    m.join()


def test_a_loop_that_does_not_say_that_it_waits_is_left_after_a_streak():
    result = vmsmp.explore(waits_without_saying_so, sched="pct:3", schedules=200)
    assert None is result.failure
    assert STREAK < result.longest < 3 * STREAK


def test_the_choices_of_a_streak_count_for_nothing(tell):
    pct = Pct(2, 0)
    longest = 0
    for _ in range(30):
        _, log, _ = tell(waits_without_saying_so, pct)
        longest = max(longest, len(log))
        assert pct._count < 50
    assert longest > STREAK


def test_a_streak_is_looked_for_though_a_change_is_due_at_the_same_choice():
    pct = Pct(2, 0)
    pct._changes = {STREAK: 0.5, STREAK + 1: 0.6}
    pct._check_streak_at(STREAK)
    assert {STREAK: 0.5, STREAK + 1: 0.6, STREAK + 2: None} == pct._changes
