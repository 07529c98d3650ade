"""Caches between a CPU and memory: which address picks the set, and which one is compared.

  * VIVT: indexed and tagged by the virtual address.  A homonym hits another space's line; a synonym has a
    copy of its own.
  * VIPT: indexed by the virtual address, tagged by the physical one.  Homonyms are told apart.  Synonyms
    share a line if the index lies within the page offset, or if pages of one frame have the same colour.
  * PIPT: by the physical address alone.  Neither is a problem, and every access waits for the translation.

Models: a write-back cache with LRU replacement in each set.
Locks: none; one CPU uses it.
Deviations: a line holds one value; reads and writes are of a whole line.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum
from typing import Final

from vmsmp.mmu.textbook.paging import PAGE_BYTES

LINE_BYTES: Final = 64


class Kind(Enum):
    """By which addresses a cache is indexed and tagged."""

    VIVT = "VIVT"
    VIPT = "VIPT"
    PIPT = "PIPT"

    @property
    def virtual_index(self) -> bool:
        return self is not Kind.PIPT

    @property
    def virtual_tag(self) -> bool:
        return self is Kind.VIVT


@dataclass(slots=True)
class Line:
    """A cached line: where it belongs in memory, its value, and whether memory has another one."""

    physical: int
    value: int
    dirty: bool = False


class Cache:
    """A cache of `size` bytes with `ways` lines a set, before the memory `memory` (value by line)."""

    def __init__(self, kind: Kind, size: int, ways: int, memory: dict[int, int]) -> None:
        self.kind = kind
        self.sets = size // (LINE_BYTES * ways)
        self.ways = ways
        self.memory = memory
        self._lines: list[OrderedDict[int, Line]] = [OrderedDict() for _ in range(self.sets)]

    @property
    def colours(self) -> int:
        """How many sets the lines of one frame can lie in, by the page it is mapped at."""
        return max(1, self.sets * LINE_BYTES // PAGE_BYTES) if self.kind.virtual_index else 1

    def index(self, virtual: int, physical: int) -> int:
        """Return the set that an access looks into."""
        return (virtual if self.kind.virtual_index else physical) // LINE_BYTES % self.sets

    def read(self, virtual: int, physical: int) -> int:
        """Return the value of a line, as this cache sees it."""
        return self._line(virtual, physical).value

    def write(self, virtual: int, physical: int, value: int) -> None:
        """Change a line; memory is told when the line leaves."""
        line = self._line(virtual, physical)
        line.value, line.dirty = value, True

    def flush(self) -> None:
        """Write back all that is dirty, and forget everything."""
        for lines in self._lines:
            for line in lines.values():
                self._write_back(line)
            lines.clear()

    def copies(self, physical: int) -> int:
        """Return how many copies of a line of memory there are."""
        at = physical // LINE_BYTES
        return sum(line.physical == at for lines in self._lines for line in lines.values())

    def _line(self, virtual: int, physical: int) -> Line:
        lines = self._lines[self.index(virtual, physical)]
        tag = (virtual if self.kind.virtual_tag else physical) // LINE_BYTES
        if tag not in lines:
            if len(lines) == self.ways:
                self._write_back(lines.popitem(last=False)[1])
            lines[tag] = Line(physical // LINE_BYTES, self.memory.get(physical // LINE_BYTES, 0))
        lines.move_to_end(tag)
        return lines[tag]

    def _write_back(self, line: Line) -> None:
        if line.dirty:
            self.memory[line.physical] = line.value


def homonym_is_seen(kind: Kind, size: int, ways: int) -> bool:
    """Whether a space finds another one's value at its own virtual address, if a switch does not flush."""
    cache = Cache(kind, size, ways, {})
    first, second = 1 * PAGE_BYTES, 2 * PAGE_BYTES
    cache.memory[second // LINE_BYTES] = 2
    cache.write(0, first, 1)
    return cache.read(0, second) != 2


def synonym_is_stale(kind: Kind, size: int, ways: int, *, coloured: bool = False) -> bool:
    """Whether a write at one page is missed at another page of the same frame.

    `coloured`: the second page is chosen so that it has the colour of the first.
    """
    cache = Cache(kind, size, ways, {})
    frame = 5 * PAGE_BYTES
    distance = (cache.colours if coloured else 1) * PAGE_BYTES
    cache.read(distance, frame)
    cache.write(0, frame, 1)
    return cache.read(distance, frame) != 1
