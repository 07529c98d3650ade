"""Which waits the scheduler may end, and in which way each ends."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from vmsmp.engine import injection
from vmsmp.engine.options import Options
from vmsmp.engine.wait import WaitEnd


def cpu(index=1, *, deadline=None, injections=0):
    return SimpleNamespace(
        index=index, deadline=deadline, injections=injections, alarmed=False, wait_end=WaitEnd.GRANTED
    )


@pytest.mark.parametrize(
    ("options", "timeout", "expected"),
    [
        (Options(), None, False),
        (Options(), 5, False),
        (Options(timeouts="any"), 5, True),
        (Options(timeouts="any"), None, False),
        (Options(spurious=True), None, True),
        (Options(spurious=True), 5, True),
    ],
)
def test_the_options_say_which_waits_may_be_ended(options, timeout, expected):
    assert expected == injection.may_end(options, cpu(), timeout)


def test_a_cpu_s_waits_are_ended_a_few_times_only():
    waiting = cpu(injections=injection.INJECTIONS)
    assert not injection.may_end(Options(spurious=True), waiting, None)


def test_the_ways_of_ending_a_wait_take_turns():
    waiting = cpu(deadline=7)
    options = Options(timeouts="any", spurious=True)
    ends = [injection.inject(options, waiting) for _ in range(4)]
    assert [WaitEnd.TIMEOUT, WaitEnd.SPURIOUS] * 2 == ends


def test_a_wait_without_a_timeout_ends_for_no_reason_only():
    waiting = cpu()
    options = Options(timeouts="any", spurious=True)
    assert [WaitEnd.SPURIOUS] * 2 == [injection.inject(options, waiting) for _ in range(2)]


def test_how_a_wait_ended_is_written_down():
    waiting = cpu(deadline=7)
    injection.inject(Options(timeouts="any"), waiting)
    assert WaitEnd.TIMEOUT is waiting.wait_end


def test_candidates_are_in_order_of_index():
    alarmed = []
    for index in (3, 1):
        injection.add(alarmed, cpu(index))
    found = injection.candidates(alarmed, [cpu(0), cpu(2)])
    assert [0, 1, 2, 3] == [candidate.index for candidate in found]


def test_a_cpu_whose_wait_may_be_ended_says_so():
    alarmed = []
    waiting = cpu()
    injection.add(alarmed, waiting)
    assert waiting.alarmed
