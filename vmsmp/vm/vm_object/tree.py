"""The tree of an object's pages, and scans that stay valid while pages are inserted and removed.

Models: `rb_memq` of struct vm_object with RB_SCAN and RB_REMOVE of sys/sys/tree.h.
Locks: scanning needs the object's token in any mode at every step, changing the tree the token exclusively.
Deviations:
  * a dictionary with a sorted container of its keys; the shape of a red-black tree is not under test.
  * the spinlock around the list of scans in progress is left out: joining and leaving the list are part of
    other steps, and only a CPU with the exclusive token reads it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sortedcontainers import SortedList

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vmsmp.vm.vm_object.object import VmObject
    from vmsmp.vm.vm_page.page import VmPage


class _Scan:
    """A scan in progress: the index of the page that it visits next, or None at the end."""

    __slots__ = ("next",)

    def __init__(self, first: int | None) -> None:
        self.next = first


class PageTree(dict[int, "VmPage"]):
    """The pages of an object by index, in order, and the scans in progress."""

    __slots__ = ("_indexes", "scans")

    def __init__(self) -> None:
        self._indexes: SortedList[int] = SortedList()
        self.scans: list[_Scan] = []

    def __setitem__(self, pindex: int, m: VmPage) -> None:
        if pindex not in self:
            self._indexes.add(pindex)
        super().__setitem__(pindex, m)

    def __delitem__(self, pindex: int) -> None:
        """Remove the page; every scan that would visit it next continues with the one behind it."""
        super().__delitem__(pindex)
        self._indexes.remove(pindex)
        for scan in self.scans:
            if scan.next == pindex:
                scan.next = self.behind(pindex)

    def pop(self, pindex: int, *default: Any) -> Any:
        """Remove the page and return it."""
        if pindex not in self and default:
            return default[0]
        m = self[pindex]
        del self[pindex]
        return m

    def clear(self) -> None:
        """Remove all pages."""
        for pindex in [*self]:
            del self[pindex]

    def behind(self, pindex: int) -> int | None:
        """Return the index of the first page behind that index."""
        return next(self._indexes.irange(pindex + 1), None)


def scan(obj: VmObject, first: int = 0, last: int | None = None) -> Iterator[VmPage]:
    """RB_SCAN: visit the pages in order of index, even if pages are inserted or removed meanwhile.

    `first` and `last` bound the indexes (None: no upper bound).

    The next page is picked before the current one is visited: a page that is inserted between the two is
    missed; if the picked page is removed, the one behind it takes its place.
    Locks: the token in any mode at every step; it may be lost and reacquired between steps.
    """
    tree = obj.rb_memq
    this = _Scan(tree.behind(first - 1))
    tree.scans.append(this)
    try:
        while this.next is not None and (last is None or this.next <= last):
            m = obj.rb_memq[this.next]
            this.next = tree.behind(this.next)
            yield m
    finally:
        tree.scans.remove(this)
