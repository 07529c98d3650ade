"""Tokens are lost at every blocking point and taken again all or nothing."""

import pytest

import vmsmp
from lock_runs import DEPTHS, SCHEDULES, once
from vmsmp.sync.token import switch


@DEPTHS
def test_a_sleeper_has_lost_its_tokens_and_gets_them_back(locks):
    seen = []

    def program(m):
        a, b = m.token("a"), m.token("b")

        def sleeper():
            a.acquire()
            b.acquire_shared()
            m.tsleep("ident")
            seen.append(("back", a.held(), b.held_shared()))
            b.release()
            a.release()

        def waker():
            with b, a:
                seen.append("both are free")
            m.wakeup("ident")

        m.spawn(sleeper)
        m.yield_()
        m.spawn(waker)
        m.join()

    once(program, locks)
    assert ["both are free", ("back", True, True)] == seen


@DEPTHS
@SCHEDULES
def test_a_value_read_before_a_sleep_may_be_stale_after_it_and_one_read_after_is_not(locks, sched):
    """Whoever counts with the read before the sleep loses a count; that is the search's to find."""

    def program(m, careful):
        token, cell = m.token("t"), m.cell(0)

        def adder():
            with token:
                old = cell.load()
                m.tsleep("nap", 0, "", 1)
                cell.store((cell.load() if careful else old) + 1)

        m.spawn(adder)
        m.spawn(adder)
        m.join()
        m.check(cell.load() == 2, "both count")

    found = [
        vmsmp.explore(lambda m, c=c: program(m, c), sched=sched, schedules=200, locks=locks).failure
        for c in (True, False)
    ]
    assert [None, "both count"] == [failure and failure.message for failure in found]


@DEPTHS
def test_a_sleeper_gets_its_tokens_back_in_one_go(locks):
    """While it waits for one of them it must not keep another."""
    seen = []

    def program(m):
        a, b = m.token("a"), m.token("b")

        def sleeper():
            with a, b:
                m.tsleep("ident")
                seen.append("sleeper")

        def waker():
            with b:
                m.wakeup("ident")
                for _ in range(4):
                    m.yield_()  # time enough for the sleeper to come back, if it could
                got = a.try_acquire()
                seen.append(got)
                if got:
                    a.release()

        m.spawn(sleeper)
        m.yield_()
        m.spawn(waker)
        m.join()

    assert [] == vmsmp.explore(program, sched="dfs:0", schedules=1, locks=locks).failures
    assert [True, "sleeper"] == seen


@DEPTHS
def test_opposite_orders_of_tokens_are_no_deadlock(locks):
    def program(m):
        tokens = [m.token(name) for name in "abc"]

        def taker(order):
            for _ in range(2):
                for n in order:
                    tokens[n].acquire()
                for n in reversed(order):
                    tokens[n].release()

        for order in ((0, 1, 2), (2, 1, 0), (1, 2, 0)):
            m.spawn(taker, order)
        m.join()

    assert [] == vmsmp.explore(program, sched="random", schedules=80, locks=locks).failures
    assert None is vmsmp.run(program, engine="free", locks=locks).failure


@DEPTHS
def test_who_waits_for_a_token_keeps_none_of_its_others(locks):
    """cpu1 holds A and waits for B, whose holder needs A to be free for somebody it waits for."""

    def program(m):
        a, b = m.token("a"), m.token("b")

        def both():
            with a, b:
                pass

        def only_a():
            with a:
                pass

        def holder_of_b():
            with b:
                m.spawn(only_a).join()

        m.spawn(both)
        m.spawn(holder_of_b)
        m.join()

    assert [] == vmsmp.explore(program, sched="random", schedules=300, locks=locks).failures


@DEPTHS
@pytest.mark.parametrize(("passed", "ends"), [(0, 5), (3, 5), (7, 7)])
def test_the_ticks_of_a_sleep_run_while_it_gives_up_its_tokens(monkeypatch, locks, passed, ends):
    give_up = switch.lwkt_relalltokens

    def slowly(td):
        give_up(td)
        td.cpu.machine.engine.clock.advance(passed)

    def program(m):
        with m.token("a"):
            ended.append((m.tsleep("ident", 0, "nap", 5), m.ticks))

    ended = []
    monkeypatch.setattr(switch, "lwkt_relalltokens", slowly)
    once(program, locks)
    assert [(vmsmp.EWOULDBLOCK, ends)] == ended
