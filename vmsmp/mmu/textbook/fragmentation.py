"""What variable segments cost: memory that is lost within them, and memory that is lost between them.

Internal fragmentation is the part of a segment that nobody uses; external fragmentation is free memory in
pieces too small for a request that its sum would satisfy.
Models: a first-fit allocator of contiguous segments, and its holes.
Locks: none; one CPU at a time uses it.
Deviations: segments are never moved to make room.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Placed:
    """A segment in memory: where it is, how long it is, and how many of its bytes are used."""

    base: int
    length: int
    used: int


class ContiguousMemory:
    """Memory of `size` bytes that segments are placed in, each as a multiple of `granule` bytes."""

    def __init__(self, size: int, granule: int = 1) -> None:
        self.size = size
        self.granule = granule
        # invariant: in order of base, without overlap
        self.placed: list[Placed] = []

    def place(self, used: int) -> Placed | None:
        """Place a segment for `used` bytes in the first hole that is large enough; None if there is none."""
        length = -(-used // self.granule) * self.granule
        for base, hole in self.holes():
            if hole >= length:
                segment = Placed(base, length, used)
                self.placed = sorted([*self.placed, segment], key=lambda one: one.base)
                return segment
        return None

    def remove(self, segment: Placed) -> None:
        """Take a segment out of memory."""
        self.placed.remove(segment)

    def holes(self) -> Iterator[tuple[int, int]]:
        """Yield the holes between segments (base, length) in order."""
        at = 0
        for segment in self.placed:
            if segment.base > at:
                yield at, segment.base - at
            at = segment.base + segment.length
        if at < self.size:
            yield at, self.size - at

    @property
    def free(self) -> int:
        """Bytes in all holes."""
        return sum(length for _, length in self.holes())

    @property
    def largest_hole(self) -> int:
        """The largest segment that still fits."""
        return max((length for _, length in self.holes()), default=0)

    @property
    def internal(self) -> int:
        """Bytes within segments that nobody uses."""
        return sum(segment.length - segment.used for segment in self.placed)

    @property
    def external(self) -> float:
        """The share of the free memory that lies outside of the largest hole."""
        return 1 - self.largest_hole / self.free if self.free else 0.0
