"""The portfolio: every arm gets its turn and keeps what it learns."""

import vmsmp
from vmsmp.sched.pct import Pct
from vmsmp.sched.portfolio import Portfolio
from vmsmp.sched.random_walk import RandomWalk


def lost_update(m):
    word = m.cell(0)

    def incrementer():
        word.store(word.load() + 1)

    m.spawn(incrementer)
    m.spawn(incrementer)
    m.join()
    m.check(word.load() == 2, "both increments are counted")


def arms(portfolio, turns):
    for _ in range(turns):
        portfolio.begin()
        yield portfolio.pick.__self__


def test_every_other_run_is_a_random_walk():
    kinds = [type(arm) for arm in arms(Portfolio(1), 6)]
    assert [Pct, RandomWalk] * 3 == kinds


def test_the_depths_of_pct_come_in_turn():
    depths = [arm.depth for arm in arms(Portfolio(1), 12) if isinstance(arm, Pct)]
    assert [3, 2, 5, 3, 2, 5] == depths


def test_an_arm_is_the_same_at_its_next_turn():
    first, *_, again = arms(Portfolio(1), 7)
    assert first is again


def test_the_portfolio_finds_what_takes_one_preemption():
    assert "check" == vmsmp.explore(lost_update, schedules=200).failure.kind
