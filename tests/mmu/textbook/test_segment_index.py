"""The index of segments: found, cut, joined, and the gaps between them."""

from __future__ import annotations

import pytest

from vmsmp.mmu.textbook.segment_index import Segment, SegmentIndex


def index_of(*segments):
    index = SegmentIndex()
    for segment in segments:
        index.insert(segment)
    return index


def ranges(index):
    return [(one.start, one.end, one.permissions) for one in index]


@pytest.mark.parametrize(
    ("address", "found"), [(9, None), (10, "r--"), (19, "r--"), (20, None), (30, "rw-"), (40, None)]
)
def test_an_address_is_in_the_segment_around_it(address, found):
    segment = index_of(Segment(10, 20, "r--"), Segment(30, 40, "rw-")).find(address)
    assert found == (segment.permissions if segment is not None else None)


@pytest.mark.parametrize(
    ("start", "end", "found"),
    [(0, 10, []), (0, 11, [10]), (19, 31, [10, 30]), (20, 30, []), (12, 13, [10]), (0, 99, [10, 30])],
)
def test_overlapping_segments_are_found_in_order(start, end, found):
    index = index_of(Segment(30, 40, "rw-"), Segment(10, 20, "r--"))
    assert found == [one.start for one in index.overlapping(start, end)]


def test_a_segment_that_goes_on_as_the_next_is_joined_with_it():
    index = index_of(Segment(0, 10, "r--"), Segment(20, 30, "r--"), Segment(10, 20, "r--"))
    assert [(0, 30, "r--")] == ranges(index)


@pytest.mark.parametrize(
    "other",
    [
        Segment(10, 20, "rw-"),
        Segment(10, 20, "r--", shared=True),
        Segment(10, 20, "r--", locked=True),
        Segment(10, 20, "r--", backing="file"),
        Segment(11, 20, "r--"),
    ],
)
def test_segments_that_differ_or_leave_a_gap_are_not_joined(other):
    assert 2 == len(index_of(Segment(0, 10, "r--"), other))


@pytest.mark.parametrize(("offset", "joined"), [(10, True), (0, False), (20, False)])
def test_segments_of_a_file_are_joined_if_the_file_goes_on(offset, joined):
    index = index_of(Segment(0, 10, "r--", backing="f"), Segment(10, 20, "r--", backing="f", offset=offset))
    assert joined == (1 == len(index))


def test_a_cut_splits_the_segments_at_its_borders():
    index = index_of(Segment(0, 10, "r--"), Segment(10, 20, "rw-"))
    taken = index.cut(5, 15)
    assert [(5, 10), (10, 15)] == [(one.start, one.end) for one in taken]
    assert [(0, 5, "r--"), (15, 20, "rw-")] == ranges(index)


def test_a_cut_out_of_the_middle_leaves_both_ends_with_their_offsets():
    index = index_of(Segment(0, 30, "r--", backing="f", offset=100))
    assert [110] == [one.offset for one in index.cut(10, 20)]
    assert [(0, 100), (20, 120)] == [(one.start, one.offset) for one in index]


def test_an_anonymous_part_has_no_offset():
    assert 0 == Segment(0, 30, "r--").part(10, 20).offset


@pytest.mark.parametrize(("length", "start"), [(10, 80), (20, 70), (30, 20), (40, None), (5, 85)])
def test_the_highest_gap_that_is_long_enough_is_taken(length, start):
    index = index_of(Segment(10, 20, "r--"), Segment(50, 70, "r--"), Segment(90, 100, "r--"))
    assert start == index.highest_gap(length, 0, 100)


def test_an_empty_index_is_one_gap():
    assert (90, None) == (SegmentIndex().highest_gap(10, 0, 100), SegmentIndex().highest_gap(101, 0, 100))
