"""The portfolio: every arm gets its turn and keeps what it learns."""

import vmsmp
from vmsmp.sched.pct import Pct
from vmsmp.sched.portfolio import Portfolio
from vmsmp.sched.pos import Pos
from vmsmp.sched.surw import Surw


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


def test_the_arms_come_in_turn():
    kinds = [type(arm) for arm in arms(Portfolio(1), 6)]
    assert [Pos, Surw, Pct] * 2 == kinds


def test_the_depths_of_pct_come_in_turn():
    depths = [arm.depth for arm in arms(Portfolio(1), 18) if isinstance(arm, Pct)]
    assert [2, 3, 5, 2, 3, 5] == depths


def test_an_arm_is_the_same_at_its_next_turn():
    first, *_, again = arms(Portfolio(1), 10)
    assert first is again


def test_the_portfolio_finds_what_takes_one_preemption():
    assert "check" == vmsmp.explore(lost_update, schedules=200).failure.kind
