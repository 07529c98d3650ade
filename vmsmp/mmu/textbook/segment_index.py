"""The index of an address space: an ordered map of ranges that do not overlap.

Linux keeps such ranges in a maple tree, DragonFly in a red-black tree; here a sorted list of their starts
stands for the tree.
Models: finding, cutting and joining of ranges, and the search for a gap.
Locks: none; the caller serialises.
Deviations: none.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Segment:
    """The addresses from `start` to `end`, without `end`: what may be done there, and what lies behind.

    `backing` is a file or None; `offset` is where in it the segment starts.
    """

    start: int
    end: int
    permissions: str
    shared: bool = False
    locked: bool = False
    backing: Any = None
    offset: int = 0

    def part(self, start: int, end: int) -> Segment:
        """Return what of it lies between these addresses."""
        start, end = max(start, self.start), min(end, self.end)
        shift = start - self.start if self.backing is not None else 0
        return replace(self, start=start, end=end, offset=self.offset + shift)

    def goes_on_as(self, other: Segment) -> bool:
        """Whether `other` is its continuation, so that both are one segment."""
        return (
            self.end == other.start
            and replace(other, start=self.start, offset=self.offset) == replace(self, end=other.end)
            and (self.backing is None or other.offset - self.offset == other.start - self.start)
        )


class SegmentIndex:
    """Segments by address."""

    def __init__(self) -> None:
        # invariant: ascending; the segments do not overlap, and none goes on as the next
        self._starts: list[int] = []
        self._by_start: dict[int, Segment] = {}

    def __iter__(self) -> Iterator[Segment]:
        return (self._by_start[start] for start in self._starts)

    def __len__(self) -> int:
        return len(self._starts)

    def find(self, address: int) -> Segment | None:
        """Return the segment that an address lies in."""
        at = bisect_right(self._starts, address) - 1
        found = self._by_start[self._starts[at]] if at >= 0 else None
        return found if found is not None and address < found.end else None

    def overlapping(self, start: int, end: int) -> list[Segment]:
        """Return all segments that have an address between these, in order."""
        at = max(0, bisect_right(self._starts, start) - 1)
        found = []
        while at < len(self._starts) and self._starts[at] < end:
            segment = self._by_start[self._starts[at]]
            if segment.end > start:
                found.append(segment)
            at += 1
        return found

    def insert(self, segment: Segment) -> None:
        """Add a segment where none is, joined with those that it continues or that continue it."""
        before = self.find(segment.start - 1)
        if before is not None and before.goes_on_as(segment):
            self._remove(before)
            segment = replace(before, end=segment.end)
        after = self._by_start.get(segment.end)
        if after is not None and segment.goes_on_as(after):
            self._remove(after)
            segment = replace(segment, end=after.end)
        insort(self._starts, segment.start)
        self._by_start[segment.start] = segment

    def cut(self, start: int, end: int) -> list[Segment]:
        """Take out what lies between these addresses, and return it; segments at the borders are split."""
        taken = []
        for segment in self.overlapping(start, end):
            self._remove(segment)
            taken.append(segment.part(start, end))
            if segment.start < start:
                self.insert(segment.part(segment.start, start))
            if segment.end > end:
                self.insert(segment.part(end, segment.end))
        return taken

    def highest_gap(self, length: int, low: int, high: int) -> int | None:
        """Return the start of the highest free range of that length between `low` and `high`, or None."""
        end = high
        for start in reversed(self._starts):
            segment = self._by_start[start]
            if segment.end <= end - length:
                break
            end = min(end, start)
        return end - length if end - length >= low else None

    def _remove(self, segment: Segment) -> None:
        del self._starts[bisect_right(self._starts, segment.start) - 1]
        del self._by_start[segment.start]
