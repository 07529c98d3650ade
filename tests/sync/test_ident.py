"""Idents: any value may be slept on, and equal ones are one channel."""

from enum import StrEnum

import pytest

import vmsmp
import vmsmp.machine
from lock_runs import DEPTHS, delay, once
from vmsmp import EWOULDBLOCK


@DEPTHS
@pytest.mark.parametrize("ident", ["name", 4711, ("a", "tuple"), object()])
def test_an_ident_is_any_value(locks, ident):
    seen = []

    def program(m):
        m.spawn(lambda: seen.append(m.tsleep(ident)))
        delay(m, 1)
        m.wakeup(ident)
        m.join()

    once(program, locks)
    assert [0] == seen


def wakers(*channels):
    def program(m):
        for channel in channels:
            m.spawn(m.wakeup, channel)
        m.join()

    return program


@pytest.mark.parametrize(
    ("channels", "orders"), [(("full", "empty"), 1), ((1, 2), 1), (("full", "full"), 2), ((7, 7), 2)]
)
def test_channels_of_different_names_have_nothing_to_do_with_each_other(channels, orders):
    result = vmsmp.explore(wakers(*channels), sched="dpor")
    assert (orders, True) == (result.executions, result.exhausted)


def test_a_report_names_the_channel():
    def program(m):
        m.spawn(m.tsleep, "empty")
        m.join()

    failure = vmsmp.explore(program, schedules=1).failure
    assert {"sleep empty", "interlock empty"} <= {row.text for row in failure.story.rows}


class Place(StrEnum):
    BED = "bed"


@pytest.mark.parametrize(
    ("asleep", "called"),
    [(True, 1), (Place.BED, "bed"), ("bed", Place.BED)],
    ids=["truth", "member", "text"],
)
def test_equal_channels_are_one_channel(asleep, called):
    ends = set()

    def program(m):
        def sleeper():
            ends.add(m.tsleep(asleep, 0, "", 5))

        m.spawn(sleeper)
        m.spawn(m.wakeup, called)
        m.join()

    vmsmp.explore(program, sched="dpor", check=False)
    assert {0, EWOULDBLOCK} == ends
