"""Thrashing: almost every access faults, so that the disk is busy all the time and the CPU none of it.

It comes when accesses have no temporal locality, or when the hot set is larger than memory.  The way there is
a cliff: where LRU serves a loop over as many pages as there are frames without a fault, it serves no access
to a loop over one page more.
Models: one process on LRU frames; an access takes one unit of time, a fault `FAULT_COST` of them.
Locks: none.
Deviations: nothing else runs while a page is read.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from vmsmp.mmu.textbook.replacement import replay

#: What a fault takes, where an access takes 1: a disk of 0.1 ms beside memory of 100 ns.
FAULT_COST: Final = 1000
#: With less useful work than this share of the time a machine thrashes.
LEAST_USEFUL: Final = 0.1
#: If that share of the last accesses are to different pages, there is no locality.
SCATTERED: Final = 0.8


@dataclass(frozen=True, slots=True)
class Load:
    """What a number of accesses came to."""

    accesses: int
    faults: int

    @property
    def per_fault(self) -> float:
        """Useful accesses for each fault."""
        return self.accesses / self.faults if self.faults else float(self.accesses)

    @property
    def useful(self) -> float:
        """The share of the time that the CPU computes; the rest it waits for the disk."""
        time = self.accesses + self.faults * FAULT_COST
        return self.accesses / time if time else 1.0


class Detector:
    """Looks at the last `window` accesses on that many frames, and says whether the process thrashes."""

    def __init__(self, frames: int, window: int) -> None:
        self.frames = frames
        self._last: deque[tuple[int, bool]] = deque(maxlen=window)

    def saw(self, page: int, *, fault: bool) -> None:
        """Take note of an access."""
        self._last.append((page, fault))

    @property
    def load(self) -> Load:
        """What the window came to."""
        return Load(len(self._last), sum(fault for _, fault in self._last))

    def verdict(self) -> str | None:
        """Return the name of the trouble, or None.

        Faults alone are none: a program that begins, or moves on to new pages, has a working set that fits.
        """
        pages = len({page for page, _ in self._last})
        full = len(self._last) == self._last.maxlen
        if not full or self.load.useful >= LEAST_USEFUL or pages <= self.frames:
            return None
        if pages >= SCATTERED * len(self._last):
            return f"thrashing: no temporal locality, {pages} pages in {len(self._last)} accesses"
        return f"thrashing: a hot set of {pages} pages in {self.frames} frames"


@dataclass(frozen=True, slots=True)
class Point:
    """One point of the curve: a hot set of so many pages, what it came to, and what the detector says."""

    pages: int
    load: Load
    verdict: str | None


Accesses = Callable[[int, int, random.Random], Sequence[int]]


def loop(pages: int, length: int, _rng: random.Random) -> Sequence[int]:
    """Go through the hot set in order, again and again."""
    return [n % pages for n in range(length)]


def scatter(pages: int, length: int, rng: random.Random) -> Sequence[int]:
    """Draw every access from the whole hot set."""
    return [rng.randrange(pages) for _ in range(length)]


def cliff(
    accesses: Accesses, frames: int, hot_sets: Sequence[int], length: int, rng: random.Random
) -> list[Point]:
    """Measure hot sets of these sizes, each after it has been loaded once."""
    points = []
    for pages in hot_sets:
        warm = list(range(pages))
        served = replay("LRU", [*warm, *accesses(pages, length, rng)], frames)[len(warm) :]
        detector = Detector(frames, window=4 * frames)
        for one in served:
            detector.saw(one.page, fault=one.fault)
        points.append(Point(pages, Load(len(served), sum(one.fault for one in served)), detector.verdict()))
    return points
