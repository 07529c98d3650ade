"""The base policy, which every schedule line is written against."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from vmsmp.engine import ops
from vmsmp.sched.policy import base_policy, gave_way, mask_of


def cpus(count, *, alarmed=()):
    return [SimpleNamespace(index=n, alarmed=n in alarmed) for n in range(count)]


def test_the_current_cpu_goes_on():
    run = cpus(3)
    assert run[1] is base_policy(run[1], run, gave_way=False)


def test_the_lowest_runnable_cpu_follows_one_that_cannot_go_on():
    zero, one, two = cpus(3)
    assert one is base_policy(zero, [one, two], gave_way=False)


def test_the_next_in_turn_follows_one_that_gave_way():
    run = cpus(3)
    assert run[2] is base_policy(run[1], run, gave_way=True)


def test_the_turn_comes_back_to_the_first_after_the_last():
    run = cpus(3)
    assert run[0] is base_policy(run[2], run, gave_way=True)


def test_a_cpu_that_gave_way_goes_on_if_it_is_the_only_one():
    run = cpus(1)
    assert run[0] is base_policy(run[0], run, gave_way=True)


@pytest.mark.parametrize(("gave", "picked"), [(False, 2), (True, 2)])
def test_no_sleep_is_ended_while_another_cpu_can_run(gave, picked):
    run = cpus(3, alarmed=(0, 1))
    assert picked == base_policy(run[0], run, gave_way=gave).index


def test_the_current_cpu_s_sleep_is_not_ended_while_another_cpu_can_run():
    run = cpus(2, alarmed=(1,))
    assert run[0] is base_policy(run[1], run, gave_way=False)


def test_a_sleep_is_ended_if_nothing_else_can_run():
    run = cpus(2, alarmed=(0, 1))
    assert run[0] is base_policy(run[1], run, gave_way=False)


@pytest.mark.parametrize(
    ("kind", "gives"), [(ops.YIELD, True), (ops.PAUSE, True), (ops.LOAD, False), (ops.ACQUIRE, False)]
)
def test_a_cpu_gives_way_before_a_yield_or_a_pause(kind, gives):
    assert gives is gave_way(SimpleNamespace(done=False, pending=ops.op(0, kind)))


def test_a_cpu_that_has_ended_does_not_give_way():
    assert not gave_way(SimpleNamespace(done=True, pending=ops.YIELD))


def test_a_mask_has_one_bit_for_each_cpu():
    assert 0b1101 == mask_of([cpu for cpu in cpus(4) if cpu.index != 1])


def test_no_cpus_are_an_empty_mask():
    assert 0 == mask_of([])
