"""Segments: what is translated, and what is refused."""

from __future__ import annotations

import re

import pytest

from vmsmp.mmu.textbook.segmentation import Segment, SegmentationFault, SegmentTable, Translation, split

TABLE = SegmentTable((Segment(0x1000, 0xFF, "rw-"), Segment(0x8000, 0xFFFFFF, "r-x")))


@pytest.mark.parametrize(
    ("address", "parts"),
    [(0, (0, 0)), (0xFFFFFF, (0, 0xFFFFFF)), (0x01000000, (1, 0)), (0xFFABCDEF, (255, 0xABCDEF))],
)
def test_the_top_eight_bits_select_a_segment(address, parts):
    assert parts == split(address)


@pytest.mark.parametrize(("address", "physical"), [(0, 0x1000), (0xFF, 0x10FF), (0x01FFFFFF, 0x1007FFF)])
def test_the_offset_is_added_to_the_base(address, physical):
    assert Translation(*split(address), physical) == TABLE.translate(address)


@pytest.mark.parametrize(
    ("address", "access", "words"),
    [
        (0x100, "r", "offset 0x100 > size 0xff"),
        (0x02000000, "r", "there is no segment 2"),
        (0, "x", "segment 0 is rw-, and x is asked for"),
        (0x01000000, "w", "segment 1 is r-x, and w is asked for"),
    ],
)
def test_what_no_segment_answers_for_is_a_fault(address, access, words):
    with pytest.raises(SegmentationFault, match=f"^{re.escape(words)}$"):
        TABLE.translate(address, access)


def test_a_segment_s_size_is_its_largest_offset():
    assert (0x100, 0x1000000) == tuple(one.length for one in TABLE.segments)


def test_a_table_has_no_more_segments_than_its_selector_names():
    SegmentTable((TABLE.segments[0],) * 256)
    with pytest.raises(ValueError, match="8 bits select 256 segments, not 257"):
        SegmentTable((TABLE.segments[0],) * 257)


def test_a_segment_is_no_longer_than_its_offset_reaches():
    with pytest.raises(ValueError, match="24 bits reaches 16777216 bytes and no further"):
        SegmentTable((Segment(0, 0x1000000, "rw-"),))
