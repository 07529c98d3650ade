"""The whole state: equal to another one only if nothing has changed."""

from __future__ import annotations

import pytest

import vmsmp
from vmsmp.check.whole_state import state_of


def compared(change):
    """Whether the state before and after `change(m, word, own)` is the same."""
    told = []

    def program(m):
        word, own = m.atomic(0, "word"), [0]
        before = state_of(m)
        change(m, word, own)
        told.append(_parts(before) == _parts(state_of(m)))

    assert vmsmp.explore(program, schedules=1, check=False).ok
    return told[0]


def _parts(state):
    """Time, random numbers, and the values of all words."""
    ticks, cpus, things = state
    return ticks, [cpu[6] for cpu in cpus], things


def test_what_does_nothing_leaves_the_state():
    assert compared(lambda m, word, own: None)


@pytest.mark.parametrize(
    "change",
    [
        lambda m, word, own: word.fetchadd(1),
        lambda m, word, own: m.rng.random(),
        lambda m, word, own: m.tsleep("nap", 0, "", 1),
    ],
    ids=["word", "rng", "time"],
)
def test_a_change_is_seen(change):
    assert not compared(change)
