"""Page tables of any number of levels: an index a level, then an offset in the page.

Models: flat tables, 10 + 10 bits, and x86-64's four levels of 9 bits; the hardware walk with its A and D
bits.
Locks: none; one CPU at a time walks a table.
Deviations: inner entries carry no permissions and no flags of their own, and map no large pages.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from vmsmp.mmu.entry import PAGE_SHIFT, PAGE_SIZE, frame_of
from vmsmp.mmu.fault import LOAD, Access
from vmsmp.mmu.textbook.entry import FaultCode, entry_for, fault_code, marked

OFFSET_BITS: Final = PAGE_SHIFT
PAGE_BYTES: Final = PAGE_SIZE


@dataclass(frozen=True, slots=True)
class Level:
    """One level of a table: how its tables are called, and how many bits of an address index them."""

    name: str
    bits: int

    @property
    def entries(self) -> int:
        return 1 << self.bits


@dataclass(frozen=True, slots=True)
class Layout:
    """How an address is cut: an index a level, from the root down, then the offset."""

    levels: tuple[Level, ...]
    entry_bytes: int

    @property
    def address_bits(self) -> int:
        return sum(level.bits for level in self.levels) + OFFSET_BITS

    def split(self, address: int) -> tuple[tuple[int, ...], int]:
        """Return an address's indexes, from the root down, and its offset."""
        shift = self.address_bits
        indexes = []
        for level in self.levels:
            shift -= level.bits
            indexes.append(address >> shift & level.entries - 1)
        return tuple(indexes), address & PAGE_BYTES - 1

    def reach(self, number: int) -> int:
        """Return how many bytes one table of that level, counted from the root, maps."""
        return PAGE_BYTES << sum(level.bits for level in self.levels[number:])

    def table_bytes(self, number: int) -> int:
        """Return how many bytes one table of that level takes."""
        return self.levels[number].entries * self.entry_bytes


FLAT: Final = Layout((Level("page table", 20),), entry_bytes=4)
TWO_LEVELS: Final = Layout((Level("outer", 10), Level("inner", 10)), entry_bytes=4)
FOUR_LEVELS: Final = Layout(tuple(Level(name, 9) for name in ("PGD", "PUD", "PMD", "PTE")), entry_bytes=8)


class PageFault(Exception):
    """A fault: its error code, and the address that goes to CR2."""

    def __init__(self, code: FaultCode, address: int) -> None:
        super().__init__(f"page fault at {address:#x}, error code {code:#x}")
        self.code = code
        self.address = address


@dataclass(frozen=True, slots=True)
class Walk:
    """A walk: the indexes it went by, how many entries it read, and the last one (0: there is none)."""

    indexes: tuple[int, ...]
    offset: int
    references: int
    entry: int

    @property
    def physical(self) -> int:
        return frame_of(self.entry) << OFFSET_BITS | self.offset


class PageTable:
    """The page table of one address space; a table is made when its first entry is."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._root: dict[int, Any] = {}

    def map(self, address: int, frame: int, permissions: str = "rw-", *, flags: int = 0) -> None:
        """Map the page of an address to a frame."""
        *path, last = self.layout.split(address)[0]
        table = self._root
        for index in path:
            table = table.setdefault(index, {})
        table[last] = entry_for(frame, permissions) | flags

    def unmap(self, address: int) -> None:
        """Clear the entry of an address; its tables stay."""
        *path, last = self.layout.split(address)[0]
        table = self._root
        for index in path:
            table = table.get(index, {})
        table.pop(last, None)

    def walk(self, address: int) -> Walk:
        """Go down to the entry of an address, and read it; nothing is changed."""
        indexes, offset = self.layout.split(address)
        found: Any = self._root
        references = 0
        for index in indexes:
            found = found.get(index, 0)
            references += 1
            if not found:
                break
        return Walk(indexes, offset, references, found or 0)

    def translate(self, address: int, access: Access = LOAD, pkru: int = 0) -> Walk:
        """Walk as the hardware does for an access: A and D are set in the entry.

        Raises: PageFault.
        """
        walk = self.walk(address)
        code = fault_code(walk.entry, access, pkru)
        if code is not None:
            raise PageFault(code, address)
        self._set(walk.indexes, marked(walk.entry, access))
        return self.walk(address)

    def _set(self, indexes: tuple[int, ...], entry: int) -> None:
        *path, last = indexes
        table = self._root
        for index in path:
            table = table[index]
        table[last] = entry

    def tables(self) -> tuple[int, ...]:
        """Return how many tables there are of each level, the root first."""
        counts = [0] * len(self.layout.levels)
        for depth in _depths(self._root, len(counts) - 1):
            counts[depth] += 1
        return tuple(counts)

    @property
    def bytes(self) -> int:
        """What all tables take together."""
        return sum(count * self.layout.table_bytes(n) for n, count in enumerate(self.tables()))


def _depths(table: dict[int, Any], below: int, depth: int = 0) -> Iterator[int]:
    """Yield the depth of a table and of all below it."""
    yield depth
    if depth < below:
        for child in table.values():
            yield from _depths(child, below, depth + 1)
