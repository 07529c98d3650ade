"""CLOCK beside CPUs that fault, against memory that is never short: drawn programs on drawn schedules."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmsmp.check.linearize import History
from vmsmp.check.specs import Sequential
from vmsmp.hypothesis_support import check, programs, schedules
from vmsmp.mmu.textbook.clock import ClockPager

PAGES = 4


class Words(Sequential):
    """A word for each page, which is 0 at first and then what was stored to it last."""

    operations = ("load", "store")

    def key(self, name, args):
        return args[0]

    def initial(self):
        return 0

    def load(self, state, page):
        yield state, state

    def store(self, state, page, value):
        yield value, None


def two_frames(m):
    return SimpleNamespace(pager=ClockPager(m, PAGES, 2), history=History(m))


def load(world, page):
    with world.history.operation("load", page) as op:
        op.result = world.pager.load(page)


def store(world, page, value):
    with world.history.operation("store", page, value):
        world.pager.store(page, value)


def memory_was_never_short(world):
    for page in range(PAGES):
        load(world, page)
    assert world.history.judge(Words()).ok


DRAWN = programs(
    two_frames,
    [(store, st.integers(0, PAGES - 1), st.integers(1, 3)), (load, st.integers(0, PAGES - 1))],
    cpus=3,
    finish=memory_was_never_short,
)


@pytest.mark.parametrize("examples", [40, pytest.param(1000, marks=pytest.mark.ci)])
def test_an_access_gives_what_memory_of_any_size_would_give(examples):
    @settings(max_examples=examples, deadline=None, derandomize=True)
    @given(st.data())
    def follow(data):
        program = data.draw(DRAWN)
        check(program, data.draw(schedules(program)))

    follow()
