"""The buddy allocator: zones of frames, each with its own lock and its own lists of free blocks.

A block has a power of two frames and starts at a multiple of its length.  A request takes the smallest block
that fits, from the lowest address, and splits it: the upper half of each split, the buddy, becomes free.  A
block that is freed merges with its buddy as long as that is free, too.  A request for a zone may be served by
the zones below it, never by one above.
Models: the zones DMA, DMA32 and NORMAL of a PC, one spinlock a zone.
Locks: each zone's spinlock, one at a time.
Deviations: no per-CPU lists, no migrate types, no watermarks: a zone is passed by if its count of free frames
is too low, which is read without the lock, so an allocation may fail although there was a free block all the
time.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, NoReturn

from vmsmp.records.field import field, plain
from vmsmp.records.letters import Letter
from vmsmp.records.pool import RecordPool
from vmsmp.records.record import Record, has, record
from vmsmp.sync.lock import EXCLUSIVE

if TYPE_CHECKING:
    from vmsmp.sync.machine import SyncMachine

#: The order of the largest block, as in Linux: 4 MiB.
MAX_ORDER: Final = 10
#: Where the zones of a PC end, in frames of 4 KiB: 16 MiB, 4 GiB, and nowhere.
PC_ZONES: Final[Mapping[str, int | None]] = {"DMA": 4096, "DMA32": 1 << 20, "NORMAL": None}


def zone_ranges(frames: int, ends: Mapping[str, int | None] = PC_ZONES) -> list[tuple[str, int, int]]:
    """Return the zones of a machine with that many frames: name, first frame, end."""
    found = []
    first = 0
    for name, end in ends.items():
        stop = frames if end is None else min(end, frames)
        if stop > first:
            found.append((name, first, stop))
            first = stop
    return found


ZONE_LEGEND: Final = {
    "Z": Letter("the zone's spinlock", lambda cpu, zone: has(cpu, zone.spin_made, EXCLUSIVE)),
}


def _lists() -> list[list[int]]:
    return [[] for _ in range(MAX_ORDER + 1)]


@record(legend=ZONE_LEGEND)
class Zone(Record):
    """The frames from `first` to `end`: by order, the free blocks' first frames, and what was given out."""

    kind = "zone"

    # invariant: nr_free is the number of frames in all blocks of free_area
    nr_free: int = field("", "Z")
    # invariant: by order, ascending; blocks are aligned, within the zone, and no two are buddies
    free_area: Any = field("Z", factory=_lists)
    # invariant: the order of each block that is given out; with the free ones they are all frames, each once
    given: Any = field("Z", factory=dict)

    first: int = plain(0)
    end: int = plain(0)
    _name: str = plain("zone")

    raw_free_area: list[list[int]]
    raw_given: dict[int, int]

    @property
    def name(self) -> str:
        return f"zone[{self._name}]"

    def state(self) -> str:
        counts = " ".join(str(len(blocks)) for blocks in self.raw_free_area)
        return f"{self.peek('nr_free')} frames free, blocks by order: {counts}"

    def seed(self) -> None:
        """Make all frames free, in the largest blocks that fit.  Locks: none; the zone is new."""
        at = self.first
        while at < self.end:
            order = min(
                MAX_ORDER, (self.end - at).bit_length() - 1, (at & -at).bit_length() - 1 if at else MAX_ORDER
            )
            self.free_area[order].append(at)
            at += 1 << order
        self.nr_free = self.end - self.first

    def take(self, order: int) -> int | None:
        """Take the smallest block that fits, split to that order; None if there is none.

        Locks: the zone's.
        """
        for fits in range(order, MAX_ORDER + 1):
            if self.free_area[fits]:
                block: int = self.free_area[fits].pop(0)
                for half in reversed(range(order, fits)):
                    insort(self.free_area[half], block + (1 << half))
                self.given[block] = order
                return block
        return None

    def give(self, block: int) -> int:
        """Free a block, merged with its buddies; return how many frames it has.  Locks: the zone's."""
        order = self.given.pop(block, None)
        if order is None:
            self.vm.panic("the block that is freed was not given out")
        frames: int = 1 << order
        while order < MAX_ORDER and self._unlist(block ^ 1 << order, order):
            block &= ~(1 << order)
            order += 1
        insort(self.free_area[order], block)
        return frames

    def _unlist(self, block: int, order: int) -> bool:
        """Take a block off the list of its order; return whether it was there, and so free."""
        blocks = self.free_area[order]
        at = bisect_left(blocks, block)
        if at == len(blocks) or blocks[at] != block:
            return False
        del blocks[at]
        return True

    def free_blocks(self) -> Iterator[tuple[int, int]]:
        """Yield the free blocks (first frame, order), read invisibly: for checkers and reports."""
        for order, blocks in enumerate(self.raw_free_area):
            yield from ((block, order) for block in blocks)


class BuddyMemory:
    """The zones of a machine.  It is what its records belong to."""

    def __init__(self, machine: SyncMachine, frames: int, ends: Mapping[str, int | None] = PC_ZONES) -> None:
        self.machine = machine
        # Cached here because every operation uses them.
        self.engine = machine.engine
        self.hooks = machine.hooks
        self.point = machine.point
        self.making = machine.making

        ranges = zone_ranges(frames, ends)
        pool = self.pool(Zone, len(ranges))
        #: In order of address.
        self.zones: tuple[Zone, ...] = tuple(
            pool.make(place, first=first, end=end, _name=name)
            for place, (name, first, end) in enumerate(ranges)
        )
        for zone in self.zones:
            zone.seed()
        pool.guard()

    def pool(self, type_: type[Any], size: int | None = None) -> RecordPool[Any]:
        """Make a pool for records of `type_`."""
        return RecordPool(self, type_, size)

    def panic(self, message: str) -> NoReturn:
        """Stop the machine."""
        self.machine.panic(message)

    def alloc(self, order: int, zone: str | None = None) -> int | None:
        """Allocate a block from the zone of that name, the highest by default, or from one below it.

        Return its first frame, or None.
        Locks: takes the zones' locks, one after the other.  Sleeps: never.
        """
        for candidate in self._from(zone):
            if candidate.hint("nr_free") < 1 << order:
                continue
            candidate.spin.acquire()
            block = candidate.take(order)
            if block is not None:
                candidate.publish("nr_free", candidate.nr_free - (1 << order))
            candidate.spin.release()
            if block is not None:
                return block
        return None

    def free(self, block: int) -> None:
        """Free a block, given by its first frame.  Locks: takes its zone's lock.  Sleeps: never."""
        zone = self.zone_of(block)
        zone.spin.acquire()
        frames = zone.give(block)
        zone.publish("nr_free", zone.nr_free + frames)
        zone.spin.release()

    def zone_of(self, frame: int) -> Zone:
        """Return the zone that a frame is in."""
        return next(zone for zone in self.zones if zone.first <= frame < zone.end)

    def _from(self, name: str | None) -> Iterator[Zone]:
        """Yield the zone of that name and those below it, the highest first."""
        last = len(self.zones) - 1
        top = last if name is None else next(n for n, zone in enumerate(self.zones) if zone._name == name)
        return reversed(self.zones[: top + 1])

    def unusable(self, order: int) -> float:
        """Return the share of the free frames that no request of that order can use, read invisibly."""
        blocks = [found for zone in self.zones for _, found in zone.free_blocks()]
        free = sum(1 << found for found in blocks)
        return 1 - sum(1 << found for found in blocks if found >= order) / free if free else 0.0
