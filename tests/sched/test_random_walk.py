"""Random walks and round robin."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import vmsmp
from lost_update import lost_update
from vmsmp.sched.random_walk import RandomWalk, RoundRobin, StickyWalk

CPUS = [SimpleNamespace(index=n, alarmed=False) for n in range(4)]


def found(**arguments):
    result = vmsmp.explore(lost_update, schedules=200, stop="never", **arguments)
    return result.counts, result.failure.schedule, result.failure.digest


def test_a_random_walk_picks_every_candidate_equally_often():
    walk = RandomWalk(1)
    picks = Counter(walk.pick(CPUS[0], CPUS[:3]).index for _ in range(9_000))
    # three times 3,000, standard deviation 45
    assert [True] * 3 == [2_700 < picks[n] < 3_300 for n in range(3)]


def test_a_random_walk_of_the_same_seed_goes_the_same_way():
    assert found(sched="random", seed=7) == found(sched="random", seed=7)


def test_random_walks_of_different_seeds_go_different_ways():
    one, other = RandomWalk(1), RandomWalk(2)
    assert [one.pick(CPUS[0], CPUS).index for _ in range(50)] != [
        other.pick(CPUS[0], CPUS).index for _ in range(50)
    ]


def test_round_robin_picks_the_next_candidate_in_turn():
    assert 2 == RoundRobin().pick(CPUS[1], CPUS).index


def test_round_robin_begins_again_after_the_last_candidate():
    assert 0 == RoundRobin().pick(CPUS[3], CPUS).index


def test_round_robin_passes_over_cpus_that_cannot_run():
    assert 3 == RoundRobin().pick(CPUS[1], [CPUS[0], CPUS[3]]).index


def test_round_robin_makes_the_same_run_every_time():
    logs = []

    def program(m):
        for _ in range(2):
            m.spawn(m.yield_)
        m.join()
        logs.append(tuple(m.engine.log))

    vmsmp.explore(program, sched="rr", schedules=5)
    assert (5, 1) == (len(logs), len(set(logs)))


# -- the sticky walk ----------------------------------------------------------------------------------


def stays(walk, picks=2_000):
    """How often of so many picks a sticky walk stays on the current of four CPUs."""
    return sum(walk.pick(CPUS[2], CPUS) is CPUS[2] for _ in range(picks)) / picks


def test_a_sticky_walk_stays_as_often_as_its_rate_says():
    walk = StickyWalk(1)
    for rate in StickyWalk.RATES:
        walk._rate = rate
        # it stays, or switches to any of four, of which the current CPU is one
        assert abs(stays(walk) - (1 - rate * 3 / 4)) < 0.04


def test_a_sticky_walk_draws_its_rate_anew_for_each_run():
    walk = StickyWalk(1)
    rates = set()
    for _ in range(50):
        walk.begin()
        rates.add(walk._rate)
    assert set(StickyWalk.RATES) == rates


def test_a_sticky_walk_leaves_a_cpu_that_cannot_run():
    walk = StickyWalk(1)
    assert {0, 1} == {walk.pick(CPUS[2], CPUS[:2]).index for _ in range(50)}


def test_a_sticky_walk_does_not_stay_by_ending_a_sleep():
    walk = StickyWalk(1)
    walk._rate = 0.0
    asleep = SimpleNamespace(index=0, alarmed=True)
    assert {0, 1} == {walk.pick(asleep, [asleep, CPUS[1]]).index for _ in range(50)}
