"""Cpusync: other CPUs are held inside an IPI until a change is made, and then call a function."""

import pytest

import vmsmp
from lock_runs import DEPTHS, failure_of, once
from vmsmp.sync.ipiq import (
    Cpusync,
    lwkt_cpusync_deinterlock,
    lwkt_cpusync_interlock,
    lwkt_cpusync_quick,
    lwkt_cpusync_simple,
)

SEARCHES = pytest.mark.parametrize("sched", ["random", "dfs:1"])


def passes(program, locks, sched, schedules=100):
    result = vmsmp.explore(program, sched=sched, schedules=schedules, locks=locks, races=True)
    assert [] == [(f.message, f.facts) for f in result.failures]


@DEPTHS
@SEARCHES
def test_each_cpu_of_the_mask_calls_the_function_before_the_initiator_returns(locks, sched):
    def program(m):
        ran = m.atomic(0)
        for _ in range(2):
            m.spawn(m.yield_)
        lwkt_cpusync_simple(m, 0b111, lambda: ran.setbits(1 << m.curcpu.index))
        m.check(ran.load() == 0b111, "all have called it")

    passes(program, locks, sched)


@DEPTHS
@SEARCHES
def test_between_interlock_and_deinterlock_the_others_stand_still(locks, sched):
    def program(m):
        word = m.cell(0, name="word")

        def user():
            for _ in range(2):
                before = word.load()
                m.check(word.load() == before, "nobody changes it while this CPU is in the middle")
                m.splz()

        target = m.spawn(user)
        cs = Cpusync(m, 1 << target.index, lambda: None)
        lwkt_cpusync_interlock(cs)
        word.store(word.load() + 1)
        word.store(word.load() + 1)
        lwkt_cpusync_deinterlock(cs)

    passes(program, locks, sched)


@DEPTHS
@SEARCHES
def test_two_initiators_that_hold_one_another_get_through(locks, sched):
    def program(m):
        ran = m.atomic(0)

        def initiator(other):
            lwkt_cpusync_simple(m, 1 << other, lambda: ran.fetchadd(1))

        m.spawn(lambda: None)
        m.spawn(initiator, 1)
        initiator(2)
        m.join()
        m.check(ran.load() == 2, "each has called the other's function")

    passes(program, locks, sched)


@DEPTHS
@SEARCHES
def test_quick_has_the_function_called_without_holding_anybody(locks, sched):
    def program(m):
        order = m.atomic(0)
        for _ in range(2):
            m.spawn(m.yield_)
        lwkt_cpusync_quick(Cpusync(m, 0b111, lambda: order.fetchadd(1)))
        m.check(order.load() == 3, "all have called it")

    passes(program, locks, sched)


@DEPTHS
def test_the_own_cpu_calls_it_only_if_it_is_in_the_mask(locks):
    ran = []

    def program(m):
        m.spawn(lambda: None)
        lwkt_cpusync_simple(m, 0b10, lambda: ran.append(m.curcpu.index))

    once(program, locks)
    assert [1] == ran


@DEPTHS
def test_a_deinterlock_without_an_interlock_is_a_panic(locks):
    failure = failure_of(lambda m: lwkt_cpusync_deinterlock(Cpusync(m, 1, lambda: None)), locks, schedules=1)
    assert "lwkt_cpusync_deinterlock without an interlock" in failure.message


@DEPTHS
def test_nothing_blocks_between_interlock_and_deinterlock_of_the_others(locks):
    def program(m):
        target = m.spawn(lambda: None)
        lwkt_cpusync_simple(m, 1 << target.index, m.tsleep, "x")

    assert "Attempt to switch" in failure_of(program, locks, schedules=1).message
