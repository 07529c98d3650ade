"""The tree of a map's entries, in order of their addresses.

Models: `rb_root` of struct vm_map with the RB macros of sys/sys/tree.h.
Locks: the map's lock in any mode to look, exclusively to change.
Deviations:
  * a list of short lists, with the keys beside the entries; the shape of a red-black tree is not under test.
  * moving an entry's start must be reported (`moved`); in the kernel the key is the start itself.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vmsmp.vm.vm_map.entry import VmMapEntry

#: A list that is longer than this is split in two.
LONGEST: Final = 512


class EntryTree:
    """The entries of a map."""

    __slots__ = ("_firsts", "_keys", "_lists")

    def __init__(self) -> None:
        # invariant: no list is empty, _keys has the start of each entry, _firsts the first of each list
        self._lists: list[list[VmMapEntry]] = []
        self._keys: list[array[int]] = []
        self._firsts = array("Q")

    def __iter__(self) -> Iterator[VmMapEntry]:
        for entries in self._lists:
            yield from entries

    def __len__(self) -> int:
        return sum(map(len, self._lists))

    def __repr__(self) -> str:
        return f"{len(self)} entries"

    def first(self) -> VmMapEntry | None:
        """RB_MIN."""
        return self._lists[0][0] if self._lists else None

    def last(self) -> VmMapEntry | None:
        """RB_MAX."""
        return self._lists[-1][-1] if self._lists else None

    def at_or_before(self, address: int) -> VmMapEntry | None:
        """Return the last entry that starts at or before that address."""
        which = bisect_right(self._firsts, address) - 1
        if which < 0:
            return None
        return self._lists[which][bisect_right(self._keys[which], address) - 1]

    def next(self, entry: VmMapEntry) -> VmMapEntry | None:
        """RB_NEXT."""
        which, at = self._place(entry, entry.ba.raw_start)
        if at + 1 < len(self._lists[which]):
            return self._lists[which][at + 1]
        return self._lists[which + 1][0] if which + 1 < len(self._lists) else None

    def prev(self, entry: VmMapEntry) -> VmMapEntry | None:
        """RB_PREV."""
        which, at = self._place(entry, entry.ba.raw_start)
        if at:
            return self._lists[which][at - 1]
        return self._lists[which - 1][-1] if which else None

    def insert(self, entry: VmMapEntry) -> VmMapEntry | None:
        """RB_INSERT: return the entry that has the same start already, or None."""
        start = entry.ba.raw_start
        if not self._lists:
            self._lists, self._keys, self._firsts = [[entry]], [array("Q", [start])], array("Q", [start])
            return None
        which = max(bisect_right(self._firsts, start) - 1, 0)
        entries, keys = self._lists[which], self._keys[which]
        at = bisect_left(keys, start)
        if at < len(keys) and keys[at] == start:
            return entries[at]
        entries.insert(at, entry)
        keys.insert(at, start)
        self._firsts[which] = keys[0]
        if len(entries) > LONGEST:
            half = len(entries) // 2
            self._lists[which : which + 1] = [entries[:half], entries[half:]]
            self._keys[which : which + 1] = [keys[:half], keys[half:]]
            self._firsts.insert(which + 1, keys[half])
        return None

    def remove(self, entry: VmMapEntry) -> None:
        """RB_REMOVE."""
        which, at = self._place(entry, entry.ba.raw_start)
        del self._lists[which][at]
        del self._keys[which][at]
        if self._lists[which]:
            self._firsts[which] = self._keys[which][0]
        else:
            del self._lists[which]
            del self._keys[which]
            del self._firsts[which]

    def moved(self, entry: VmMapEntry, before: int) -> None:
        """Note the new start of an entry that started at `before`; it stays where it is."""
        which, at = self._place(entry, before)
        self._keys[which][at] = entry.ba.raw_start
        self._firsts[which] = self._keys[which][0]

    def _place(self, entry: VmMapEntry, start: int) -> tuple[int, int]:
        """Return the list that an entry is in, and its place there; search for one whose key is out of order.

        Raises: LookupError if it is in none.
        """
        which = bisect_right(self._firsts, start) - 1
        if which >= 0:
            at = bisect_left(self._keys[which], start)
            if at < len(self._lists[which]) and self._lists[which][at] is entry:
                return which, at
        for which, entries in enumerate(self._lists):
            for at, other in enumerate(entries):
                if other is entry:
                    return which, at
        raise LookupError(f"{entry} is not in the tree")
