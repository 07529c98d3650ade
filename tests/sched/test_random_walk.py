"""Random walks and round robin."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import vmsmp
from lost_update import lost_update
from vmsmp.sched.random_walk import RandomWalk, RoundRobin

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
