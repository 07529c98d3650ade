"""A CPU: what it holds, what it waits for, its random numbers."""

from __future__ import annotations

import pytest

from vmsmp.engine.wait import WaitEnd, WaitMode


@pytest.fixture
def on_cpu(controlled):
    """What a function of the boot CPU returns."""

    def asked(look):
        seen = []
        controlled(lambda m: seen.append(look(m.curcpu)))
        return seen[0]

    return asked


def taken(cpu, *modes):
    lock = cpu.machine.spinlock("l")
    for mode in modes:
        lock.note_acquired(cpu, mode)
    return lock


def test_a_cpu_holds_what_it_took(on_cpu):
    assert on_cpu(lambda cpu: cpu.holds(taken(cpu, WaitMode.SHARED), WaitMode.SHARED))


def test_a_cpu_does_not_hold_in_one_mode_what_it_took_in_another(on_cpu):
    assert not on_cpu(lambda cpu: cpu.holds(taken(cpu, WaitMode.SHARED), WaitMode.EXCLUSIVE))


def test_letting_go_takes_the_last_hold_of_that_mode_only(on_cpu):
    def look(cpu):
        lock = taken(cpu, WaitMode.SHARED, WaitMode.EXCLUSIVE, WaitMode.SHARED)
        cpu.let_go(lock, WaitMode.SHARED)
        return [hold.mode for hold in cpu.held]

    assert ["shared", "exclusive"] == on_cpu(look)


def test_letting_go_of_what_is_not_held_is_told(on_cpu):
    assert not on_cpu(lambda cpu: cpu.let_go(taken(cpu), WaitMode.SHARED))


def test_a_stream_of_random_numbers_is_the_same_in_every_run(on_cpu):
    assert on_cpu(lambda cpu: cpu.rng("x").random()) == on_cpu(lambda cpu: cpu.rng("x").random())


def test_two_streams_differ(on_cpu):
    one, other = on_cpu(lambda cpu: (cpu.rng("x").random(), cpu.rng("y").random()))
    assert one != other


def test_a_cpu_is_called_by_its_number_and_name(on_cpu):
    assert "cpu1 daemon" == on_cpu(lambda cpu: str(cpu.machine.spawn(int, name="daemon")))


def test_a_cpu_without_a_name_is_called_by_its_number(on_cpu):
    assert "cpu0" == on_cpu(str)


@pytest.mark.parametrize("words", [WaitMode, WaitEnd])
def test_a_word_for_waiting_is_told_as_it_stands(words):
    assert [word.value for word in words] == [f"{word}" for word in words]


def test_a_wait_that_was_granted_was_not_cut_short():
    assert [WaitEnd.GRANTED] == [end for end in WaitEnd if not end]
