"""Gates of both engines: a condition is waited for and taken in one step."""

from __future__ import annotations

import pytest

from vmsmp.engine import ops
from vmsmp.engine.wait import Wait, WaitEnd, WaitMode

STEP = ops.op(ops.identity(0, 1), ops.ACQUIRE)


@pytest.fixture(params=["controlled", "free"])
def engine(request):
    """Run a program once under either engine; gives the machine."""
    return request.getfixturevalue(request.param)


def wait():
    return Wait("the flag", WaitMode.EXCLUSIVE)


def test_what_is_ready_is_taken_at_once(engine):
    seen = []

    def program(m):
        seen.append(m.engine.gate().enter(STEP, lambda _cpu: True, lambda cpu: cpu.index, wait()))

    engine(program)
    assert [0] == seen


def test_a_cpu_goes_on_when_somebody_makes_its_condition_true(engine):
    order = []

    def program(m):
        gate = m.engine.gate()
        flag = []
        waiter = m.spawn(
            lambda: gate.enter(STEP, lambda _cpu: bool(flag), lambda _cpu: order.append("taken"), wait())
        )
        m.yield_()
        gate.alter(STEP, lambda _cpu: (order.append("made"), flag.append(1)))
        waiter.join()

    assert None is engine(program).violation
    assert ["made", "taken"] == order


def test_of_two_that_wait_for_one_thing_one_gets_it_first(engine):
    owners = []

    def program(m):
        gate = m.engine.gate()
        free = [True]

        def section():
            gate.enter(STEP, lambda _cpu: free[0], lambda cpu: (free.clear(), free.append(False)), wait())
            owners.append(m.curcpu.index)
            gate.alter(STEP, lambda _cpu: (free.clear(), free.append(True)))

        m.spawn(section)
        m.spawn(section)

    assert None is engine(program).violation
    assert [1, 2] == sorted(owners)


def test_a_wait_with_a_timeout_ends_without_what_was_waited_for(engine):
    seen = []

    def program(m):
        gate = m.engine.gate()
        seen.append(gate.enter(STEP, lambda _cpu: False, lambda _cpu: "taken", wait(), 1))
        seen.append(m.curcpu.wait_end)

    engine(program)
    assert [None, WaitEnd.TIMEOUT] == seen


def test_nobody_waits_at_a_new_gate(engine):
    seen = []
    engine(lambda m: seen.append(m.engine.gate().waits(WaitMode.EXCLUSIVE)))
    assert [False] == seen


def test_who_waits_is_known_by_mode(engine):
    seen = []

    def program(m):
        gate = m.engine.gate()
        flag = []
        waiter = m.spawn(lambda: gate.enter(STEP, lambda _cpu: bool(flag), lambda _cpu: None, wait()))
        while not gate.waits(WaitMode.EXCLUSIVE):
            m.yield_()
        seen.append(gate.waits(WaitMode.SHARED))
        gate.alter(STEP, lambda _cpu: flag.append(1))
        waiter.join()

    assert None is engine(program).violation
    assert [False] == seen


def test_a_wait_that_was_nearly_over_still_ends_in_time(engine):
    """What it waits for comes and goes before it runs; its timeout is not forgotten."""
    ended = []

    def program(m):
        gate = m.engine.gate()
        flag = []

        def waiter():
            ended.append(gate.enter(STEP, lambda _cpu: bool(flag), lambda _cpu: "taken", wait(), 2))

        cpu = m.spawn(waiter)
        while not gate.waits(WaitMode.EXCLUSIVE):
            m.yield_()
        flag.append(1)
        gate.changed()
        flag.clear()
        gate.changed()
        cpu.join()

    assert None is engine(program).violation
    assert len(ended) == 1
