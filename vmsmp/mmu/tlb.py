"""The translations that one CPU caches.

An entry belongs to an address space, by the number it was filled under, or to all of them (global).  It
stays until it is flushed or gives way to another one; nothing tells it that the tables have changed.
Locks: none; only the CPU itself changes its TLB.
Deviations:
  * fully associative; an entry per page, whatever its size.
  * where a large and a small entry cover one address the small one is found.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from vmsmp.mmu.entry import LEAVES, base_of
from vmsmp.mmu.walk import Translation

#: How a report shows this module's frames (`engine.source`).
FRAMES = "machinery"
#: The number under which entries of all address spaces are.
EVERYWHERE: Final = -1
_MOST_SHOWN: Final = 4

#: An address space's number, a page's first address and its level.
Key = tuple[int, int, int]


class Tlb:
    """The TLB of one CPU; `victim(n)` says which of n entries, oldest use first, gives way.

    `name` is its name in reports.
    """

    def __init__(self, name: str, capacity: int, victim: Callable[[int], int]) -> None:
        self.name = name
        self.capacity = capacity
        self._victim = victim
        # invariant: at most `capacity` entries, the one used last at the end
        self._entries: dict[Key, Translation] = {}
        #: How often an address was looked up, and found.
        self.lookups = 0
        self.hits = 0

    def find(self, pcid: int, va: int) -> Translation | None:
        """The entry that translates an address in the space of that number, which is used by that."""
        self.lookups += 1
        entries = self._entries
        for level in LEAVES:
            page = base_of(va, level)
            for number in (pcid, EVERYWHERE):
                entry = entries.pop((number, page, level), None)
                if entry is not None:
                    entries[number, page, level] = entry
                    self.hits += 1
                    return entry
        return None

    def peek(self, pcid: int, va: int) -> Translation | None:
        """The entry that translates an address, unseen: for checkers."""
        keys = ((n, base_of(va, level), level) for level in LEAVES for n in (pcid, EVERYWHERE))
        return next((self._entries[key] for key in keys if key in self._entries), None)

    def holds(self, pcid: int, va: int) -> bool:
        """Whether there is an entry for the address; it is not used by that."""
        return self.peek(pcid, va) is not None

    def fill(self, pcid: int, entry: Translation) -> None:
        """Cache the translation; another one may have to give way."""
        key = (EVERYWHERE if entry.everywhere else pcid, entry.va, entry.level)
        self._entries.pop(key, None)
        if len(self._entries) >= self.capacity:
            oldest_first = list(self._entries)
            del self._entries[oldest_first[self._victim(len(oldest_first))]]
        self._entries[key] = entry

    def invalidate(self, pcid: int, va: int, *, everywhere: bool = True) -> None:
        """Forget what translates the address in that space and, if `everywhere`, in all of them."""
        for level in LEAVES:
            page = base_of(va, level)
            self._entries.pop((pcid, page, level), None)
            if everywhere:
                self._entries.pop((EVERYWHERE, page, level), None)

    def flush(self, pcid: int | None = None, *, everywhere: bool = False) -> None:
        """Forget all entries of that space (None: of every space) and, if `everywhere`, the global ones."""
        gone = [
            key
            for key in self._entries
            if (everywhere if key[0] == EVERYWHERE else pcid is None or key[0] == pcid)
        ]
        for key in gone:
            del self._entries[key]

    def entries(self) -> list[tuple[int, Translation]]:
        """All entries, the one used longest ago first, each with its space's number."""
        return [(key[0], entry) for key, entry in self._entries.copy().items()]

    def state(self) -> str:
        """Its entries as a report shows them, the one used last first."""
        shown = [str(entry) for _, entry in self.entries()[::-1]]
        more = f" and {len(shown) - _MOST_SHOWN} more" if len(shown) > _MOST_SHOWN else ""
        return f"{'; '.join(shown[:_MOST_SHOWN])}{more}" or "empty"

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return self.name
