"""Reclaim: where frames come from when none is free, in the order of what giving them up costs.

First file-backed pages, which are dropped and read again from their file; then anonymous pages, which must be
written to swap; then the file system's caches; last the out-of-memory killer.
Models: the frames of a machine by what they hold, and a number of swap slots.
Locks: none; one CPU reclaims.
Deviations: within a kind, what was used longest ago goes first, exactly; the killer takes the process with
the most pages, in memory and on swap.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Holds(Enum):
    """What a frame holds."""

    FILE = "file-backed page"
    ANONYMOUS = "anonymous page"
    CACHE = "file-system cache"


class Means(Enum):
    """How a frame was freed."""

    DROP = "dropped: its file has it"
    WRITE_BACK = "written to its file"
    SWAP_OUT = "written to swap"
    SHRINK = "file-system cache shrunk"
    KILL = "process killed"


class OutOfMemory(Exception):
    """No frame can be had: nothing is left to reclaim, and nobody to kill."""


@dataclass(slots=True, eq=False)
class Frame:
    """A frame in use; `locked` (mlock) keeps it from being reclaimed, though not from its process's end."""

    holds: Holds
    process: str = ""
    dirty: bool = False
    locked: bool = False


@dataclass(frozen=True, slots=True)
class Freed:
    """One step of reclaim: how, whose frames, how many."""

    means: Means
    process: str
    frames: int


class Memory:
    """The frames of a machine, and `swap` slots to write anonymous pages to."""

    def __init__(self, frames: int, swap: int) -> None:
        self.frames = frames
        self.swap = swap
        # invariant: in order of use, the one used longest ago first; no more than there are frames
        self.used: list[Frame] = []
        #: By process, its pages on swap.
        self.swapped: dict[str, int] = {}
        #: What reclaim has done, in order.
        self.log: list[Freed] = []

    @property
    def free(self) -> int:
        return self.frames - len(self.used)

    @property
    def free_slots(self) -> int:
        return self.swap - sum(self.swapped.values())

    def allocate(self, frame: Frame) -> bool:
        """Take a frame into use, after reclaiming one if none is free.

        Return whether it was; a process that is killed to make room needs it no more.
        Raises: OutOfMemory.
        """
        if not self.free:
            freed = self.reclaim()
            if freed.means is Means.KILL and freed.process == frame.process:
                return False
        self.used.append(frame)
        return True

    def reclaim(self) -> Freed:
        """Free one frame, or all of a process that is killed.

        Raises: OutOfMemory.
        """
        for stage in (self._file, self._swap_out, self._shrink, self._kill):
            freed = stage()
            if freed is not None:
                self.log.append(freed)
                return freed
        raise OutOfMemory("nothing is left to reclaim, and nobody to kill")

    def _oldest(self, holds: Holds) -> Frame | None:
        return next((one for one in self.used if one.holds is holds and not one.locked), None)

    def _file(self) -> Freed | None:
        frame = self._oldest(Holds.FILE)
        if frame is None:
            return None
        self.used.remove(frame)
        return Freed(Means.WRITE_BACK if frame.dirty else Means.DROP, frame.process, 1)

    def _swap_out(self) -> Freed | None:
        frame = self._oldest(Holds.ANONYMOUS)
        if frame is None or not self.free_slots:
            return None
        self.used.remove(frame)
        self.swapped[frame.process] = self.swapped.get(frame.process, 0) + 1
        return Freed(Means.SWAP_OUT, frame.process, 1)

    def _shrink(self) -> Freed | None:
        frame = self._oldest(Holds.CACHE)
        if frame is None:
            return None
        self.used.remove(frame)
        return Freed(Means.SHRINK, frame.process, 1)

    def _kill(self) -> Freed | None:
        sizes = self.sizes()
        if not sizes:
            return None
        victim = max(sizes, key=lambda name: sizes[name])
        kept = [one for one in self.used if one.process != victim]
        freed = len(self.used) - len(kept)
        self.used = kept
        self.swapped.pop(victim, None)
        return Freed(Means.KILL, victim, freed) if freed else self._kill()

    def sizes(self) -> dict[str, int]:
        """Return how many pages each process has, in memory and on swap, in order of first use."""
        found: dict[str, int] = {}
        for frame in self.used:
            if frame.process:
                found[frame.process] = found.get(frame.process, 0) + 1
        for process, pages in self.swapped.items():
            found[process] = found.get(process, 0) + pages
        return found
