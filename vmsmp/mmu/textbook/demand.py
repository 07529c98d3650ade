"""Demand paging: a page of anonymous memory gets its frame with the first access, in a minor fault.

Two policies say what a read of an untouched page gives.  ZERO_FILL, as `vm_fault` does it, allocates a zeroed
frame that may be written to, so one fault is all.  ZERO_PAGE, as the lecture has it, maps one zero page for
all readers, and the first write faults again and gets a frame of its own (copy on write).
Models: private anonymous pages of one process, and the path of each access in memory references.
Locks: none; one CPU runs the process.
Deviations: a cost is counted in memory references, without caches: a trap is the frame that the hardware
pushes and `iret` pops, and the handler's own work is what it does to memory.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from vmsmp.mmu.textbook.paging import FOUR_LEVELS, PAGE_BYTES

#: Bytes that one reference clears: a line.
_LINE_BYTES: Final = 64
#: Words that an exception with an error code pushes, and that `iret` pops.
_PUSHED: Final = 6
_POPPED: Final = 5


class ReadFault(Enum):
    """What the first read of a page gets."""

    ZERO_FILL = "a zeroed frame of its own"
    ZERO_PAGE = "the shared zero page, read-only"


class Step(Enum):
    """A step of an access, and the memory references that it takes."""

    WALK = ("walk", len(FOUR_LEVELS.levels))
    TRAP = ("trap", _PUSHED + _POPPED)
    ZERO = ("zero a frame", PAGE_BYTES // _LINE_BYTES)
    MAP = ("write the entry", 1)
    FLUSH = ("flush the old translation", 1)
    ACCESS = ("access", 1)

    @property
    def words(self) -> str:
        return self.value[0]

    @property
    def references(self) -> int:
        return self.value[1]


Path = tuple[Step, ...]


def cost(path: Path) -> int:
    """Return the memory references of a path."""
    return sum(step.references for step in path)


class Process:
    """A process with private anonymous pages; `minor` and `major` count its faults."""

    def __init__(self, on_read: ReadFault = ReadFault.ZERO_FILL, *, minor: int = 0) -> None:
        self.on_read = on_read
        self.minor = minor
        self.major = 0
        #: Frames that were allocated for it.
        self.frames = 0
        # by page: whether it may be written to
        self._mapped: dict[int, bool] = {}

    def load(self, page: int) -> Path:
        """Read a page; return the path that was taken."""
        if page in self._mapped:
            return (Step.ACCESS,)
        self.minor += 1
        if self.on_read is ReadFault.ZERO_PAGE:
            self._mapped[page] = False
            return (Step.WALK, Step.TRAP, Step.MAP, Step.WALK, Step.ACCESS)
        return self._own_frame(page)

    def store(self, page: int) -> Path:
        """Write to a page; return the path that was taken."""
        if self._mapped.get(page):
            return (Step.ACCESS,)
        self.minor += 1
        return self._own_frame(page)

    def _own_frame(self, page: int) -> Path:
        """Map a zeroed frame that may be written to, instead of the zero page if that was there."""
        replaced = (Step.FLUSH,) if page in self._mapped else ()
        self._mapped[page] = True
        self.frames += 1
        return (Step.WALK, Step.TRAP, Step.ZERO, Step.MAP, *replaced, Step.WALK, Step.ACCESS)
