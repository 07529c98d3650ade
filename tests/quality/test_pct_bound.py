"""PCT keeps its bound: a bug of depth d is hit with probability at least 1/(n k^(d-1)) a run.

n and k are measured, not guessed.  Under the bound the number of hits would be binomial; a test fails
if as few hits as were seen would then be less likely than one in a thousand.
"""

import math

import pytest

import vmsmp

#: Hits that the bound promises, on average.
PROMISED = 40


def first(m, filler):
    """Depth 1: the last CPU spawned comes first."""
    turn = m.cell(0)

    def early():
        idle(m, filler)
        turn.store(1)

    def late():
        m.check(turn.load(), "the other one was first")

    m.spawn(early)
    m.spawn(late)


def between(m, filler):
    """Depth 2: a load falls between two stores of another CPU."""
    word = m.cell(0)

    def writer():
        idle(m, filler)
        word.store(1)
        word.store(0)
        idle(m, filler)

    def reader():
        idle(m, filler)
        m.check(not word.load(), "between the stores")

    m.spawn(writer)
    m.spawn(reader)


def there_and_back(m, filler):
    """Depth 3: one load after each of two stores, and nothing else between."""
    word = m.cell(0)

    def writer():
        idle(m, filler)
        word.store(1)
        word.store(2)

    def reader():
        idle(m, filler)
        m.check(not (word.load() == 1 and word.load() == 2), "both values are seen")

    m.spawn(writer)
    m.spawn(reader)


def idle(m, times):
    """Operations of its own, so that there are more places to switch at."""
    mine = m.cell(0)
    for _ in range(times):
        mine.load()


def likelihood_of_so_few(hits, runs, p):
    """P(X <= hits) for X binomial."""
    logs = [
        math.lgamma(runs + 1)
        - math.lgamma(n + 1)
        - math.lgamma(runs - n + 1)
        + n * math.log(p)
        + (runs - n) * math.log1p(-p)
        for n in range(hits + 1)
    ]
    top = max(logs)
    return math.exp(top) * math.fsum(math.exp(value - top) for value in logs)


@pytest.mark.parametrize("filler", [0, *(pytest.param(n, marks=pytest.mark.ci) for n in (2, 5))])
@pytest.mark.parametrize(("depth", "bug"), [(1, first), (2, between), (3, there_and_back)])
def test_a_bug_is_hit_as_often_as_the_bound_says(depth, bug, filler):
    def program(m):
        bug(m, filler)

    search = {"sched": f"pct:{depth}", "stop": "never", "check": False, "seed": 5}
    bound = vmsmp.explore(program, schedules=200, **search).certificate.bound(depth)
    runs = math.ceil(PROMISED / bound)
    result = vmsmp.explore(program, schedules=runs, **search)
    bound = min(bound, result.certificate.bound(depth))
    assert likelihood_of_so_few(sum(result.counts.values()), runs, bound) > 1e-3


@pytest.mark.parametrize(("hits", "expected"), [(0, 0.5**4), (2, 11 / 16), (4, 1.0)])
def test_the_likelihood_is_the_binomial_s(hits, expected):
    assert math.isclose(expected, likelihood_of_so_few(hits, 4, 0.5))
