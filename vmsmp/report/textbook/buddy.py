"""The buddy allocator: zones, a split and its merge, fragmentation over time, contention for locks."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Final

from vmsmp.campaign.search import explore
from vmsmp.machine import Machine
from vmsmp.mmu.textbook.buddy import MAX_ORDER, BuddyMemory, zone_ranges
from vmsmp.mmu.textbook.paging import PAGE_BYTES
from vmsmp.report.textbook.page import Chapter, Page, Plot, Table, computed, size

#: A machine of 8 GiB, in frames.
_MACHINE: Final = 1 << 21
#: The textbook's segment of 256 KiB, and its request of 21 KB.
_SEGMENT: Final = 64
_REQUEST: Final = 21 * 1024
_ONE_ZONE: Final[Mapping[str, int | None]] = {"NORMAL": None}
_THREE_ZONES: Final[Mapping[str, int | None]] = {"DMA": 16, "DMA32": 32, "NORMAL": None}
#: The random load that fragments memory.
_FRAMES: Final = 512
_CALLS: Final = 1500
_SAMPLE: Final = 50
_ORDERS: Final = (0, 2, 4, 6)
_SEED: Final = 1965
#: CPUs and schedules that contention is counted over.
_CPUS: Final = 3
_SCHEDULES: Final = 60


def order_for(count: int) -> int:
    """Return the order of the smallest block for that many bytes."""
    return max(0, (-(-count // PAGE_BYTES) - 1).bit_length())


def blocks_of(memory: BuddyMemory) -> str:
    """Return the free blocks in words, the smallest first."""
    found = [block for zone in memory.zones for block in zone.free_blocks()]
    return ", ".join(f"{size(PAGE_BYTES << order)} @{block}" for block, order in found) or "none"


def split_and_merge(m: Machine) -> list[tuple[str, str, str]]:
    """Serve the textbook's request, another one, and free both: step, block, free blocks."""
    memory = BuddyMemory(m, _SEGMENT, _ONE_ZONE)
    rows = [("before", "", blocks_of(memory))]
    taken = []
    for request in (_REQUEST, PAGE_BYTES):
        order = order_for(request)
        block = memory.alloc(order)
        taken.append(block)
        rows.append(
            (f"allocate {request:,} bytes", f"{size(PAGE_BYTES << order)} at {block}", blocks_of(memory))
        )
    for block in taken:
        if block is not None:
            memory.free(block)
            rows.append((f"free the block at {block}", "", blocks_of(memory)))
    return rows


def fragmentation(m: Machine) -> dict[int, list[float]]:
    """Allocate and free at random, memory two thirds full; return by order what it cannot use, in percent."""
    memory = BuddyMemory(m, _FRAMES, _ONE_ZONE)
    rng = random.Random(_SEED)
    used: list[int] = []
    found: dict[int, list[float]] = {order: [] for order in _ORDERS}
    for call in range(_CALLS):
        full = memory.zones[0].peek("nr_free") < _FRAMES // 3
        block = None if full else memory.alloc(rng.choice((0, 0, 0, 1, 2, 3)))
        if block is not None:
            used.append(block)
        elif used:
            memory.free(used.pop(rng.randrange(len(used))))
        if call % _SAMPLE == 0:
            for order, curve in found.items():
                curve.append(100 * memory.unusable(order))
    return found


def contention(ends: Mapping[str, int | None]) -> tuple[int, int]:
    """Have CPUs allocate and free, spread over the zones; return lock grants, and those waited for."""
    told: list[tuple[int, int]] = []

    def program(m: Machine) -> None:
        memory = BuddyMemory(m, 48, ends)
        names = list(ends)

        def user(me: int) -> None:
            for _ in range(4):
                block = memory.alloc(1, names[me % len(names)])
                if block is not None:
                    memory.free(block)

        for me in range(_CPUS):
            m.spawn(user, me)
        m.join()
        figures = [zone.spin.statistics() for zone in memory.zones]  # type: ignore[attr-defined]  # a lock's
        told.append((sum(one.acquisitions for one in figures), sum(one.contested for one in figures)))

    explore(program, sched="random", schedules=_SCHEDULES, seed=1)
    return sum(grants for grants, _ in told), sum(contested for _, contested in told)


def _contention_row(what: str, measure: Callable[[], tuple[int, int]]) -> tuple[str, int, int, str]:
    grants, contested = measure()
    return what, grants, contested, f"{contested / grants:.1%}"


def write() -> Page:
    lost = computed(fragmentation)
    samples = range(0, _CALLS // _SAMPLE, 3)
    return Page(
        (
            "Frames are handed out in blocks of 1, 2, 4, ... frames (order 0, 1, 2, ...), each at a multiple "
            "of its length. A request gets the smallest block that fits. If that is too large it is halved, "
            "and one half, the buddy of the other, becomes free. A block that is freed merges with its buddy "
            f"if that is free as well, and so on upwards, to order {MAX_ORDER} "
            f"({size(PAGE_BYTES << MAX_ORDER)}). The buddy of a block is found by flipping one bit of its "
            "number.",
            Table(
                f"A segment of {size(_SEGMENT * PAGE_BYTES)} and a request of {_REQUEST:,} bytes",
                ("step", "block", "free blocks, by first frame"),
                computed(split_and_merge),
            ),
            "Memory is divided into zones by what devices can reach. Each zone has its own lists and its own "
            "lock. A request names the highest zone that it can use, and is served by that or by one below.",
            Table(
                f"The zones of a machine with {size(_MACHINE * PAGE_BYTES)}",
                ("zone", "from", "to", "frames"),
                [
                    (name, size(first * PAGE_BYTES), size(end * PAGE_BYTES), end - first)
                    for name, first, end in zone_ranges(_MACHINE)
                ],
            ),
            "One lock a zone is all that keeps the lists whole, and CPUs that use one zone wait for one "
            "another.",
            Table(
                f"{_CPUS} CPUs allocate and free, {_SCHEDULES} random schedules",
                ("", "lock grants", "waited for", "share"),
                [
                    _contention_row("all in one zone", lambda: contention(_ONE_ZONE)),
                    _contention_row("each in its own zone", lambda: contention(_THREE_ZONES)),
                ],
            ),
            "Merging keeps blocks large, but not always large enough: what is free may lie in blocks too "
            "small for a request. That is external fragmentation again, by order.",
            Table(
                f"{_CALLS:,} random calls on {_FRAMES:,} frames: free memory that an order cannot use, in "
                "percent",
                ("call", *(f"order {order}" for order in _ORDERS)),
                [(n * _SAMPLE, *(curve[n] for curve in lost.values())) for n in samples],
            ),
        ),
        Plot(
            "Free memory that a request of that order cannot use",
            "calls",
            "percent",
            [str(n * _SAMPLE) for n in range(_CALLS // _SAMPLE)],
            {f"order {order}": curve for order, curve in lost.items()},
        ),
    )


CHAPTER: Final = Chapter(
    "buddy",
    "zones and the buddy allocator: splits, merges, fragmentation",
    ("vmsmp.mmu.textbook.buddy",),
    write,
    picture="free memory that an order cannot use, over time",
)
