"""Writing the dirty pages of a file's object out.

Models: vm_object_page_clean, its two passes, and vm_object_page_collect_flush of sys/vm/vm_object.c.
The first pass marks all resident pages (PG_CLEANCHK) and makes them read-only.  The second writes out those
that are marked and dirty, with their neighbours; it is repeated until it misses no page.
Locks: takes the object's token exclusively; it is lost during every wait for a busy page, and while pages are
written.
Deviations: none known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vmsmp.vm.vm_map.flags import VM_PROT_READ
from vmsmp.vm.vm_object.flags import vm_object_clear_flag, vm_object_set_flag
from vmsmp.vm.vm_object.hold import ASSERT_OBJECT_HELD, vm_object_drop, vm_object_hold
from vmsmp.vm.vm_object.object import (
    OBJ_CLEANING,
    OBJ_MIGHTBEDIRTY,
    OBJ_WRITEABLE,
    OBJPC_CLUSTER_OK,
    OBJPC_IGNORE_CLEANCHK,
    OBJPC_INVAL,
    OBJPC_NOSYNC,
    OBJPC_SYNC,
    OBJT_VNODE,
)
from vmsmp.vm.vm_object.tree import scan
from vmsmp.vm.vm_page.busy import (
    vm_page_busy_try,
    vm_page_flag_clear,
    vm_page_flag_set,
    vm_page_sleep_busy,
    vm_page_wakeup,
)
from vmsmp.vm.vm_page.flags import PG_CLEANCHK, PG_NEED_COMMIT, PG_NOSYNC
from vmsmp.vm.vm_page.holding import vm_page_hold, vm_page_unhold
from vmsmp.vm.vm_page.lookup import vm_page_lookup_busy_try
from vmsmp.vm.vm_page.protect import vm_page_protect, vm_page_test_dirty
from vmsmp.vm.vm_pageout.flush import vm_pageout_flush
from vmsmp.vm.vm_pager.swap_meta import BLIST_MAX_ALLOC
from vmsmp.vm.vnode import vclrobjdirty

if TYPE_CHECKING:
    from collections.abc import Callable

    from vmsmp.vm.vm_object.object import VmObject
    from vmsmp.vm.vm_page.page import VmPage

#: The highest index, which is also the last one of an object without pages.
_LAST: Final = (1 << 64) - 1


def vm_object_page_clean(obj: VmObject, start: int, end: int, flags: int) -> None:
    """Write the dirty pages from index `start` up to `end` (0: all behind it) out; OBJPC flags say how.

    Locks: takes the token exclusively; the caller has the vnode locked.  Sleeps: yes.
    """
    vm_object_hold(obj)
    if obj.type != OBJT_VNODE or not obj.flags.load() & OBJ_MIGHTBEDIRTY:
        vm_object_drop(obj)
        return
    pagerflags = OBJPC_SYNC if flags & (OBJPC_SYNC | OBJPC_INVAL) else OBJPC_CLUSTER_OK
    pagerflags |= flags & OBJPC_INVAL
    vp = obj.handle
    vm_object_set_flag(obj, OBJ_CLEANING)
    last = (end or obj.size) - 1 & _LAST
    pages = _Cleaning(obj, start, last, flags, pagerflags)
    if start == 0 and last == obj.size - 1 & _LAST:
        pages.scan(pages.vm_object_page_clean_pass1)
        if not pages.failed:
            vm_object_clear_flag(obj, OBJ_WRITEABLE | OBJ_MIGHTBEDIRTY)
            vclrobjdirty(vp)
    while True:
        curgeneration = obj.generation.load()
        pages.visited = 0
        pages.scan(pages.vm_object_page_clean_pass2)
        if not pages.failed and obj.generation.load() == curgeneration:
            break
    vm_object_clear_flag(obj, OBJ_CLEANING)
    vm_object_drop(obj)


class _Cleaning:
    """The scans of a cleaning.  `failed`: the last one could not busy a page, or had to skip one."""

    __slots__ = ("failed", "flags", "last", "obj", "pagerflags", "start", "visited")

    def __init__(self, obj: VmObject, start: int, last: int, flags: int, pagerflags: int) -> None:
        self.obj = obj
        self.start = start
        self.last = last
        self.flags = flags
        self.pagerflags = pagerflags
        self.failed = False
        self.visited = 0

    def scan(self, visit: Callable[[VmPage], None]) -> None:
        """Visit every page of the range.  Sleeps: as `visit` does, and between pages."""
        self.failed = False
        for m in scan(self.obj, self.start, self.last):
            visit(m)
            self.visited += 1
            if self.visited % self.obj.vm.pageout.scan_yield == 0:
                self.obj.vm.pause_tokens("lwkt_user_yield")  # last: the token may be lost here

    def vm_object_page_clean_pass1(self, m: VmPage) -> None:
        """Mark the page, and make it read-only; a busy page is skipped."""
        if m.object is not self.obj:
            self.obj.vm.panic("vm_object_page_clean: page of another object")
        vm_page_flag_set(m, PG_CLEANCHK)
        if (self.flags & OBJPC_NOSYNC and m.flags.load() & PG_NOSYNC) or vm_page_busy_try(m, False):
            self.failed = True
            return
        vm_page_protect(m, VM_PROT_READ)
        vm_page_wakeup(m)

    def vm_object_page_clean_pass2(self, m: VmPage) -> None:
        """Write the page out if it is marked and dirty.  Sleeps: while it is busy or being written."""
        obj = self.obj
        vm = obj.vm
        if m.object is not obj:
            vm.panic("vm_object_page_clean: page of another object")
        if not m.flags.load() & PG_CLEANCHK:
            return
        generation = obj.generation.load()
        if vm_page_busy_try(m, True):
            vm_page_sleep_busy(m, True, "vpcwai")
            self.failed = True
            return
        if m.object is not obj or obj.generation.load() != generation:
            vm.panic("vm_object_page_clean: object changed while a page was busied")
        if m.valid == 0 or m.queue_base() == vm.page.PQ_CACHE:
            if m.hint("dirty") & m.valid or m.flags.bits(PG_NEED_COMMIT):
                vm.panic("vm_object_page_clean: dirty page is invalid or cached")
            vm_page_wakeup(m)
            return
        vm_page_test_dirty(m)
        if (not m.hint("dirty") & m.valid and not m.flags.bits(PG_NEED_COMMIT)) or (
            self.flags & OBJPC_NOSYNC and m.flags.load() & PG_NOSYNC
        ):
            vm_page_flag_clear(m, PG_CLEANCHK)
            vm_page_wakeup(m)
            return
        vm_object_page_collect_flush(obj, m, self.pagerflags)


def vm_object_page_collect_flush(obj: VmObject, m: VmPage, pagerflags: int) -> None:
    """Write the page out with the marked and dirty pages around it, up to a cluster.

    Locks: the object's token in any mode, the page hard-busied by the caller; consumes the busy.
    Sleeps: yes.
    """
    ASSERT_OBJECT_HELD(obj)
    pindex = m.pindex
    base = pindex % BLIST_MAX_ALLOC
    cluster = [m]
    for index in range(pindex - 1, pindex - base - 1, -1):
        tp = _neighbour(obj, index, pagerflags)
        if tp is None:
            break
        cluster.insert(0, tp)
    for index in range(pindex + 1, min(pindex - base + BLIST_MAX_ALLOC, obj.size)):
        tp = _neighbour(obj, index, pagerflags)
        if tp is None:
            break
        cluster.append(tp)
    for tp in cluster:
        vm_page_flag_clear(tp, PG_CLEANCHK)
        vm_page_hold(tp)
    vm_pageout_flush(cluster, pagerflags)
    for tp in cluster:
        vm_page_unhold(tp)


def _neighbour(obj: VmObject, index: int, pagerflags: int) -> VmPage | None:
    """Return the page at that index, hard-busied, if it is to be written out, too."""
    tp, busy = vm_page_lookup_busy_try(obj, index, True)
    if tp is None or busy:
        return None
    if not pagerflags & OBJPC_IGNORE_CLEANCHK and not tp.flags.load() & PG_CLEANCHK:
        vm_page_wakeup(tp)
        return None
    if tp.queue_base() == obj.vm.page.PQ_CACHE:
        vm_page_flag_clear(tp, PG_CLEANCHK)
        vm_page_wakeup(tp)
        return None
    vm_page_test_dirty(tp)
    if not tp.hint("dirty") & tp.valid and not tp.flags.bits(PG_NEED_COMMIT):
        vm_page_flag_clear(tp, PG_CLEANCHK)
        vm_page_wakeup(tp)
        return None
    return tp
