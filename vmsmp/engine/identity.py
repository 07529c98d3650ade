"""Identities by creation: the same whatever the interleaving, with no address or hash among them.

An identity is `n << CPU_BITS | cpu`.  A CPU numbers the objects that it makes one by one from 1, and
those that it reserves for objects made in bulk or later from `FIRST_BLOCK`.  What is nothing but a
name has its identity from that, from `FIRST_NAMED` on.
"""

from __future__ import annotations

import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from vmsmp.engine import ops

#: Reserved numbers begin here; a CPU makes fewer objects than that one by one.
FIRST_BLOCK: Final = 1 << 20
#: Log2 of the numbers that one record takes of a block: one for each part that operations are about.
RECORD_BITS: Final = 5
#: From here on identities are made of names.
FIRST_NAMED: Final = 1 << 40

#: Says which object the n-th of a block is.
Finder = Callable[[int], Any]


@dataclass(frozen=True, slots=True)
class Named:
    """Something that is nothing but its name."""

    name: str


class Blocks:
    """The numbers that one CPU reserved."""

    __slots__ = ("_end", "_starts", "finders")

    def __init__(self) -> None:
        # invariant: of equal length; starts ascend, and each block ends where the next one starts
        self._starts: list[int] = []
        self.finders: list[Finder] = []
        self._end = FIRST_BLOCK

    def reserve(self, count: int, finder: Finder) -> int:
        """Set `count` numbers aside, and return the first."""
        first = self._end
        self._starts.append(first)
        self.finders.append(finder)
        self._end = first + count
        return first

    def find(self, n: int) -> Any:
        """The object whose number is `n`, or None if there is none."""
        if not FIRST_BLOCK <= n < self._end:
            return None
        at = bisect_right(self._starts, n) - 1
        return self.finders[at](n - self._starts[at])

    def block_of(self, n: int) -> tuple[Finder, int] | None:
        """The finder of the block that number `n` is in, and which of that block's it is."""
        if not FIRST_BLOCK <= n < self._end:
            return None
        at = bisect_right(self._starts, n) - 1
        return self.finders[at], n - self._starts[at]


class Identities:
    """All that has an identity in one machine."""

    __slots__ = ("_blocks", "_named", "made")

    def __init__(self) -> None:
        #: What each CPU made one by one, a list for each; number 0 is nobody's.
        self.made: list[list[Any]] = []
        self._blocks: dict[int, Blocks] = {}
        self._named: dict[int, Named] = {}

    def enroll(self, cpu: int, thing: Any) -> int:
        """Give a new object its identity: the creating CPU and how many it has made before."""
        made = self.made[cpu]
        made.append(thing)
        return len(made) - 1 << ops.CPU_BITS | cpu

    def reserve(self, cpu: int, count: int, finder: Finder) -> int:
        """Set `count` identities of `cpu` aside, and return the first."""
        blocks = self._blocks.get(cpu)
        if blocks is None:
            blocks = self._blocks[cpu] = Blocks()
        return blocks.reserve(count, finder) << ops.CPU_BITS | cpu

    def identify(self, name: str) -> int:
        """The identity of a name.

        Two names in 2^32 share one: then they count as the same thing, under the name that came first.
        """
        ident = FIRST_NAMED | zlib.crc32(name.encode())
        if ident not in self._named:
            self._named[ident] = Named(name)
        return ident

    def find(self, ident: int) -> Any:
        """The object of that identity, or None if there is none."""
        if ident >= FIRST_NAMED:
            return self._named.get(ident)
        cpu, n = ident & ops.MAX_CPUS - 1, ident >> ops.CPU_BITS
        if n >= FIRST_BLOCK:
            return self._blocks[cpu].find(n) if cpu in self._blocks else None
        made = self.made[cpu] if cpu < len(self.made) else ()
        return made[n] if n < len(made) else None

    def block_of(self, ident: int) -> tuple[Finder, int] | None:
        """The finder of the reserved block that `ident` is in, and which of the block's it is."""
        if ident >= FIRST_NAMED:
            return None
        cpu = ident & ops.MAX_CPUS - 1
        return self._blocks[cpu].block_of(ident >> ops.CPU_BITS) if cpu in self._blocks else None

    def finders(self) -> Iterator[Finder]:
        """The finders of the reserved blocks, by CPU and in order of reservation."""
        for _, blocks in sorted(self._blocks.items()):
            yield from blocks.finders

    def __iter__(self) -> Iterator[Any]:
        """What was made one by one, by CPU and in order of creation."""
        for made in self.made:
            yield from made[1:]
