"""Removing the pages of a range of an object: truncation, and the end of a file's buffers.

Models: vm_object_page_remove of sys/vm/vm_object.c, and its callback; the walk over the backings is that of a
newer tree.
Locks: takes the object's token exclusively, and its backing_lk around the walk; the token is lost during
every wait for a busy page.
Deviations: none known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.observer import contents_dropped
from vmsmp.vm.pmap.remove import pmap_remove
from vmsmp.vm.vm_map.flags import VM_PROT_NONE
from vmsmp.vm.vm_object.hold import vm_object_drop, vm_object_hold
from vmsmp.vm.vm_object.object import OBJT_MGTDEVICE, OBJT_PHYS, OBJT_SWAP
from vmsmp.vm.vm_object.paging import vm_object_pip_add, vm_object_pip_wakeup
from vmsmp.vm.vm_object.tree import scan
from vmsmp.vm.vm_page.busy import vm_page_busy_try, vm_page_sleep_busy, vm_page_wakeup
from vmsmp.vm.vm_page.flags import PAGE_SIZE, PG_NEED_COMMIT
from vmsmp.vm.vm_page.free import vm_page_free
from vmsmp.vm.vm_page.protect import vm_page_protect, vm_page_test_dirty
from vmsmp.vm.vm_pager.swap_meta import swap_pager_freespace, swap_pager_freespace_all

if TYPE_CHECKING:
    from vmsmp.vm.vm_object.object import VmObject
    from vmsmp.vm.vm_page.page import VmPage

#: The highest possible index.
_LAST = (1 << 64) - 1


def vm_object_page_remove(obj: VmObject, start: int, end: int, clean_only: bool) -> None:
    """Remove the pages from index `start` up to `end` (0: to the last page); `clean_only` keeps dirty ones.

    Wired pages stay, but are unmapped, and become invalid unless `clean_only`.
    Locks: takes the token exclusively.  Sleeps: for the token, for backing_lk, and while a page is busy.
    """
    vm = obj.vm
    vm_object_hold(obj)
    empty = obj.resident_page_count == 0 and obj.swblock_count == 0
    if empty and obj.type != OBJT_MGTDEVICE:  # whose pages are in no tree
        vm_object_drop(obj)
        return
    if obj.type == OBJT_PHYS:
        vm.panic("vm_object_page_remove: pages of physical memory")
    vm_object_pip_add(obj, 1)
    last = end - 1 if end else _LAST
    everything = start == 0 and last >= obj.size - 1
    contents_dropped(obj, start, end, done=False)
    _remove_mappings(obj, start, last)
    pages = _Removal(obj, start, last, clean_only)
    pages.scan()
    while pages.failed:
        pages.scan()
    if obj.type != OBJT_SWAP or not clean_only:
        if everything:
            swap_pager_freespace_all(obj)
        else:
            swap_pager_freespace(obj, start, last - start + 1)
    contents_dropped(obj, start, end, done=True)
    vm_object_pip_wakeup(obj)
    vm_object_drop(obj)


def _remove_mappings(obj: VmObject, start: int, last: int) -> None:
    """Remove what the backings map of the range.  Sleeps: for backing_lk."""
    obj.backing_lk.acquire()
    for ba in obj.backing_list:
        first = ba.offset // PAGE_SIZE
        low = max(start, first)
        high = min(last, first + (ba.end - ba.start) // PAGE_SIZE - 1)
        if low <= high:
            sva = ba.start + (low - first) * PAGE_SIZE
            pmap_remove(ba.pmap, sva, sva + (high - low + 1) * PAGE_SIZE)
    obj.backing_lk.release()


class _Removal:
    """The scans of a removal.  `failed`: the last one could not busy a page."""

    __slots__ = ("clean_only", "failed", "last", "obj", "start", "visited")

    def __init__(self, obj: VmObject, start: int, last: int, clean_only: bool) -> None:
        self.obj = obj
        self.start = start
        self.last = last
        self.clean_only = clean_only
        self.failed = False
        self.visited = 0

    def scan(self) -> None:
        """Visit every page of the range.  Sleeps: while a page is busy, and between pages."""
        self.failed = False
        for m in scan(self.obj, self.start, self.last):
            self._visit(m)

    def _visit(self, m: VmPage) -> None:
        vm = self.obj.vm
        if m.object is not self.obj or not self.start <= m.pindex <= self.last:
            vm.kprintf(f"vm_object_page_remove: page {m.name} is not one of {self.obj.name} there")
            return
        if vm_page_busy_try(m, True):
            vm_page_sleep_busy(m, True, "vmopar")
            self.failed = True
            return
        if m.object is not self.obj:
            vm.kprintf(f"vm_object_page_remove: page {m.name} is not {self.obj.name}'s any more")
            vm_page_wakeup(m)
            return
        self._remove(m)
        self.visited += 1
        if self.visited % vm.pageout.scan_yield == 0:
            vm.pause_tokens("lwkt_yield")  # last: the token may be lost here

    def _remove(self, m: VmPage) -> None:
        """Free the page, or keep it.  Locks: the page hard-busied; consumes the busy."""
        if m.wire_count.load():
            vm_page_protect(m, VM_PROT_NONE)
            if not self.clean_only:
                m.publish("valid", 0)
            vm_page_wakeup(m)
            return
        if self.clean_only and m.valid and _is_dirty(m):
            vm_page_wakeup(m)
            return
        vm_page_protect(m, VM_PROT_NONE)
        if self.clean_only and m.valid and _is_dirty(m):
            vm_page_wakeup(m)
            return
        vm_page_free(m)


def _is_dirty(m: VmPage) -> bool:
    """Return whether the page has something to be written.  Locks: the page hard-busied."""
    vm_page_test_dirty(m)
    return bool(m.valid & m.hint("dirty")) or bool(m.flags.bits(PG_NEED_COMMIT))
