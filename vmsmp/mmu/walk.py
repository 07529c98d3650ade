"""What four levels of page tables say of an address, read entry by entry.

Models: the walk of an x86-64 CPU, without what it writes (`unit` sets A and M).
Locks: none; each entry is read on its own, and they may change in between.
Deviations:
  * no paging-structure caches: every walk begins at the root.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from vmsmp.mmu.entry import (
    LEVELS,
    PG_G,
    PG_NX,
    PG_RW,
    PG_U,
    PG_V,
    base_of,
    frame_of,
    index_of,
    is_leaf,
    key_of,
    reserved_bits,
    shift_of,
)
from vmsmp.mmu.fault import PGEX_P, PGEX_RSV

#: How a report shows this module's frames (`engine.source`).
FRAMES = "machinery"
#: Reads the entry of a table's frame at an index.
Read = Callable[[int, int], int]


@dataclass(frozen=True, slots=True)
class Step:
    """One entry that a walk has read, and where."""

    table: int
    index: int
    value: int
    level: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """A page of an address space, its first frame, and the rights to it.

    `root` is the frame of the top table that it was read from.  `dirty`: it may serve stores, for the table
    knows already that the page is modified.
    """

    root: int
    va: int
    level: int
    frame: int
    writeable: bool
    user: bool
    executable: bool
    everywhere: bool
    key: int
    dirty: bool = False

    def covers(self, va: int) -> bool:
        """Whether the address lies in its page."""
        return base_of(va, self.level) == self.va

    def frame_at(self, va: int) -> int:
        """The frame of an address in its page."""
        return self.frame + (va - self.va >> shift_of(1))

    def at(self, va: int) -> Translation:
        """The same for the one frame of an address."""
        return replace(self, va=base_of(va, 1), level=1, frame=self.frame_at(va))

    def within(self, other: Translation | None) -> bool:
        """Whether `other` gives all that this one does, each for its whole page."""
        if other is None or not other.covers(self.va) or other.level < self.level:
            return False
        return (
            self.frame == other.frame_at(self.va)
            and self.key == other.key
            and self.writeable <= other.writeable
            and self.user <= other.user
            and self.executable <= other.executable
        )

    def rights(self) -> str:
        """The rights as a report shows them."""
        key = f" key {self.key}" if self.key else ""
        letters = f"r{'w' if self.writeable else '-'}{'x' if self.executable else '-'}"
        return f"{letters}{' user' if self.user else ''}{' global' if self.everywhere else ''}{key}"

    def __str__(self) -> str:
        return f"{self.va:#x} -> frame[{self.frame}] {self.rights()}{' dirty' if self.dirty else ''}"


@dataclass(frozen=True, slots=True)
class Walked:
    """The entries that a walk has read, root first; `wrong` is the fault's code if the last stops it."""

    steps: tuple[Step, ...]
    wrong: int | None


def walk_tables(read: Read, root: int, va: int, *, nxe: bool) -> Walked:
    """Read the entries of an address from the root on, one after the other."""
    table = root
    steps = []
    for level in LEVELS:
        index = index_of(va, level)
        value = read(table, index)
        steps.append(Step(table, index, value, level))
        if not value & PG_V:
            return Walked(tuple(steps), 0)
        if reserved_bits(value, level, nxe=nxe):
            return Walked(tuple(steps), PGEX_P | PGEX_RSV)
        if is_leaf(value, level):
            break
        table = frame_of(value)
    return Walked(tuple(steps), None)


def combine(root: int, va: int, steps: tuple[Step, ...], *, nxe: bool) -> Translation:
    """The translation that complete steps make: each right is what all of them give."""
    leaf = steps[-1]
    every = [step.value for step in steps]
    first = frame_of(leaf.value)
    size = 1 << shift_of(leaf.level) - shift_of(1)
    return Translation(
        root=root,
        va=base_of(va, leaf.level),
        level=leaf.level,
        frame=first & ~(size - 1),
        writeable=all(value & PG_RW for value in every),
        user=all(value & PG_U for value in every),
        executable=not (nxe and any(value & PG_NX for value in every)),
        everywhere=bool(leaf.value & PG_G),
        key=key_of(leaf.value),
    )
