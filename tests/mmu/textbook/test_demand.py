"""Demand paging under both policies; the lecture's counts are in `test_figures.py`."""

from __future__ import annotations

import pytest

from vmsmp.mmu.textbook.demand import Process, ReadFault, Step, cost

POLICIES = pytest.mark.parametrize("on_read", ReadFault)


@POLICIES
def test_what_was_touched_does_not_fault_again(on_read):
    process = Process(on_read)
    process.load(0)
    before = process.minor
    assert (Step.ACCESS,) == process.load(0)
    process.store(0)
    assert (Step.ACCESS,) == process.store(0) == process.load(0)
    assert (1, 0) == (before, process.major)


def test_the_kernel_fills_a_page_at_the_first_read():
    process = Process()
    process.load(0)
    assert (1, 1) == (process.minor, process.frames)
    process.store(0)
    assert (1, 1) == (process.minor, process.frames)


def test_a_page_that_is_only_read_costs_no_frame_with_a_zero_page():
    process = Process(ReadFault.ZERO_PAGE)
    process.load(0)
    assert (1, 0) == (process.minor, process.frames)
    assert Step.FLUSH in process.store(0)
    assert (2, 1) == (process.minor, process.frames)


@POLICIES
def test_a_first_write_to_an_untouched_page_is_one_fault_and_no_flush(on_read):
    process = Process(on_read, minor=88)
    path = process.store(3)
    assert (89, 1, False, True) == (process.minor, process.frames, Step.FLUSH in path, Step.ZERO in path)


@POLICIES
def test_a_first_touch_costs_15_to_100_times_a_later_one(on_read):
    process = Process(on_read)
    first = [process.load(0), process.store(1), process.store(0)]
    later = cost(process.load(0))
    assert [] == [
        cost(path) for path in first if path != (Step.ACCESS,) and not 15 <= cost(path) / later <= 100
    ]


def test_a_path_costs_what_its_steps_cost():
    assert 4 + 11 + 1 + 4 + 1 == cost((Step.WALK, Step.TRAP, Step.MAP, Step.WALK, Step.ACCESS))
