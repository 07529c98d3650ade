"""Contiguous segments in memory: first fit, holes, and what is lost."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from vmsmp.mmu.textbook.fragmentation import ContiguousMemory


def test_the_first_hole_that_is_large_enough_is_taken():
    memory = ContiguousMemory(100)
    first, second, _third = (memory.place(length) for length in (10, 20, 30))
    memory.remove(first)
    memory.remove(second)
    memory.place(25)
    assert [(25, 5), (60, 40)] == [*memory.holes()]


def test_a_request_fails_although_the_holes_together_are_large_enough():
    memory = ContiguousMemory(40)
    parts = [memory.place(10) for _ in range(4)]
    memory.remove(parts[0])
    memory.remove(parts[2])
    assert (None, 20, 10, 0.5) == (memory.place(15), memory.free, memory.largest_hole, memory.external)


def test_the_unused_tail_of_a_segment_is_lost_within_it():
    memory = ContiguousMemory(64, granule=16)
    segment = memory.place(20)
    assert (32, 12, 32) == (segment.length, memory.internal, memory.free)


def test_full_memory_has_no_hole_and_loses_nothing_between():
    memory = ContiguousMemory(8)
    memory.place(8)
    assert ([], 0, 0.0) == ([*memory.holes()], memory.largest_hole, memory.external)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.integers(1, 30) | st.none(), max_size=30), st.sampled_from([1, 8]))
def test_segments_and_holes_are_all_of_memory_once(calls, granule):
    memory = ContiguousMemory(96, granule)
    for used in calls:
        if used is not None:
            memory.place(used)
        elif memory.placed:
            memory.remove(memory.placed[len(memory.placed) // 2])
        pieces = sorted([(one.base, one.length) for one in memory.placed] + [*memory.holes()])
        ends = [0, *(base + length for base, length in pieces)]
        assert [base for base, _ in pieces] == ends[:-1]
        assert 96 == ends[-1]
        assert memory.internal == sum(one.length - one.used for one in memory.placed)
