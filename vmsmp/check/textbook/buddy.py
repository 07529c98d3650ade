"""A zone of the buddy allocator: its free blocks and those given out.

INV-BD1: each frame is in one block, which is free or given out, aligned and within its zone.
INV-BD2: no two free blocks are buddies, for they would have been merged.
INV-BD3: `nr_free` is the number of frames in free blocks.
Evaluated while the zone's spinlock is free.
"""

from __future__ import annotations

from typing import Final

from vmsmp.check.rules import Books, Broken, Rules
from vmsmp.mmu.textbook.buddy import MAX_ORDER, Zone


def broken_cover(zone: Zone, _books: Books) -> Broken | None:
    """Whether the blocks are not the zone's frames, each once (INV-BD1)."""
    if zone.spin_held():
        return None
    at = zone.first
    for block, order in sorted([*zone.free_blocks(), *zone.raw_given.items()]):
        if block & (1 << order) - 1:
            return Broken("INV-BD1", "a block does not start at a multiple of its length")
        if block < at:
            return Broken("INV-BD1", "two blocks overlap")
        if block > at:
            break
        at += 1 << order
    if at == zone.end:
        return None
    lost = "a frame is in no block" if at < zone.end else "a block goes beyond the zone's end"
    return Broken("INV-BD1", lost)


def broken_merge(zone: Zone, _books: Books) -> Broken | None:
    """Whether two free blocks are buddies (INV-BD2)."""
    if zone.spin_held():
        return None
    free = {*zone.free_blocks()}
    for block, order in sorted(free):
        if order < MAX_ORDER and (block ^ 1 << order, order) in free:
            return Broken("INV-BD2", f"both buddies of order {order} are free and not merged")
    return None


def broken_count(zone: Zone, _books: Books) -> Broken | None:
    """Whether the count of free frames is wrong (INV-BD3)."""
    if zone.spin_held():
        return None
    free = sum(1 << order for _, order in zone.free_blocks())
    counted = zone.peek("nr_free")
    return None if counted == free else Broken("INV-BD3", f"nr_free is {counted}, and {free} frames are free")


_EVERY: Final = (broken_cover, broken_merge, broken_count)

RULES: Final = (Rules(Zone, written={"": _EVERY}, at_rest=_EVERY),)
