"""Segmentation: the top bits of an address select a segment, the others are an offset in it.

Models: a 32-bit machine with an 8-bit selector and a 24-bit offset.
Locks: none; one CPU at a time uses a table.
Deviations: none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SELECTOR_BITS: Final = 8
OFFSET_BITS: Final = 24
#: How many segments there can be, and how many bytes each can have.
MOST_SEGMENTS: Final = 1 << SELECTOR_BITS
MOST_BYTES: Final = 1 << OFFSET_BITS


class SegmentationFault(Exception):
    """An address that no segment answers for; the text says why."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One entry of a segment table: `size` is the largest offset, `permissions` are as in "rw-"."""

    base: int
    size: int
    permissions: str

    @property
    def length(self) -> int:
        """How many bytes it has."""
        return self.size + 1


@dataclass(frozen=True, slots=True)
class Translation:
    """What became of an address."""

    selector: int
    offset: int
    physical: int


def split(address: int) -> tuple[int, int]:
    """Return an address's selector and offset."""
    return address >> OFFSET_BITS, address & MOST_BYTES - 1


class SegmentTable:
    """The segments of one process, by selector."""

    def __init__(self, segments: tuple[Segment, ...]) -> None:
        if len(segments) > MOST_SEGMENTS:
            raise ValueError(f"{SELECTOR_BITS} bits select {MOST_SEGMENTS} segments, not {len(segments)}")
        if any(segment.length > MOST_BYTES for segment in segments):
            raise ValueError(f"an offset of {OFFSET_BITS} bits reaches {MOST_BYTES} bytes and no further")
        self.segments = segments

    def translate(self, address: int, access: str = "r") -> Translation:
        """Return where an address lies in memory, for an access of kind "r", "w" or "x".

        Raises: SegmentationFault.
        """
        selector, offset = split(address)
        if selector >= len(self.segments):
            raise SegmentationFault(f"there is no segment {selector}")
        segment = self.segments[selector]
        if offset > segment.size:
            raise SegmentationFault(f"offset {offset:#x} > size {segment.size:#x}")
        if access not in segment.permissions:
            raise SegmentationFault(f"segment {selector} is {segment.permissions}, and {access} is asked for")
        return Translation(selector, offset, segment.base + offset)
