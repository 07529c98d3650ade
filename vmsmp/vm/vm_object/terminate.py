"""Terminating an object: freeing its pages once it has no references.

Models: vm_object_terminate of sys/vm/vm_object.c, and its callback.
Locks: the object's token exclusively; it is lost during every wait for a busy page.
Deviations:
  * a message stands for the backtraces that a wired page on a queue causes.
  * no pmap_object_free: a pmap keeps nothing for an object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.pmap.reverse import pmap_mapped_sync
from vmsmp.vm.vfs_subr import V_SAVE, vinvalbuf
from vmsmp.vm.vm_map.flags import VM_PROT_NONE
from vmsmp.vm.vm_object.clean import vm_object_page_clean
from vmsmp.vm.vm_object.flags import vm_object_set_flag
from vmsmp.vm.vm_object.hold import ASSERT_OBJECT_HELD
from vmsmp.vm.vm_object.object import OBJ_DEAD, OBJPC_SYNC, OBJT_VNODE
from vmsmp.vm.vm_object.paging import vm_object_pip_wait
from vmsmp.vm.vm_object.tree import scan
from vmsmp.vm.vm_page.busy import vm_page_busy_try, vm_page_sleep_busy, vm_page_wakeup
from vmsmp.vm.vm_page.flags import PG_MAPPED, PG_WRITEABLE, PQ_NONE
from vmsmp.vm.vm_page.free import vm_page_free
from vmsmp.vm.vm_page.protect import vm_page_protect
from vmsmp.vm.vm_page.residency import vm_page_remove
from vmsmp.vm.vm_pager.table import vm_pager_deallocate

if TYPE_CHECKING:
    from vmsmp.vm.vm_object.object import VmObject
    from vmsmp.vm.vm_page.page import VmPage


def vm_object_terminate(obj: VmObject) -> None:
    """Free the pages of an unreferenced object; the last hold frees its memory.

    A page that another CPU inserts meanwhile is warned about, and freed by another scan.
    Locks: the token exclusively; it is lost during every wait for a busy page.
    """
    vm = obj.vm
    ASSERT_OBJECT_HELD(obj)
    if obj.flags.bits(OBJ_DEAD):
        vm.panic("vm_object_terminate: object is dead already")
    vm_object_set_flag(obj, OBJ_DEAD)
    vm_object_pip_wait(obj, "objtrm1")
    if obj.paging_in_progress.load():
        vm.panic("vm_object_terminate: pageout in progress")
    if obj.type == OBJT_VNODE:
        vinvalbuf(obj.handle, V_SAVE)
        vm_object_page_clean(obj, 0, 0, OBJPC_SYNC)
        vinvalbuf(obj.handle, V_SAVE)
    vm_object_pip_wait(obj, "objtrm2")
    if obj.ref_count.load():
        vm.panic("vm_object_terminate: object with references")
    pages = _Termination(obj)
    pages.scan()
    while pages.failed:
        pages.scan()
    vm_pager_deallocate(obj)
    while obj.rb_memq:
        vm.kprintf(f"vm_object_terminate: {obj.name} was given pages while it was terminated")
        pages.scan()
    if obj.resident_page_count:
        vm.panic("vm_object_terminate: object with resident pages")
    _unlist(obj)
    if obj.ref_count.load():
        vm.panic("vm_object_terminate: object with references")


def _unlist(obj: VmObject) -> None:
    """Take the object off its bucket's list.  Sleeps: for the bucket's token."""
    bucket = obj.peek("object_entry")
    bucket.token.acquire()
    del bucket.changing("list")[obj.code]
    obj.object_entry = None
    bucket.token.release()


class _Termination:
    """The scans of a termination.  `failed`: the last one could not busy a page."""

    __slots__ = ("failed", "obj", "visited")

    def __init__(self, obj: VmObject) -> None:
        self.obj = obj
        self.failed = False
        self.visited = 0

    def scan(self) -> None:
        """Visit every page.  Sleeps: while a page is busy, and between pages; the token is lost."""
        self.failed = False
        for m in scan(self.obj):
            self._visit(m)

    def _visit(self, m: VmPage) -> None:
        vm = self.obj.vm
        if m.object is not self.obj:
            vm.panic("vm_object_terminate: page of another object")
        if vm_page_busy_try(m, True):
            vm_page_sleep_busy(m, True, "vmotrm")
            self.failed = True
            return
        if m.object is not self.obj:
            vm.kprintf(f"vm_object_terminate: page {m.name} is not {self.obj.name}'s any more")
            vm_page_wakeup(m)
            self.failed = True
        elif m.wire_count.load() == 0:
            _unmap(m)
            vm_page_free(m)
            vm.mycpu().v_pfree += 1
        else:
            if m.hint("queue") != PQ_NONE:
                _tell(m)
            _unmap(m)
            vm_page_remove(m)
            vm_page_wakeup(m)
        self.visited += 1
        if self.visited % vm.pageout.scan_yield == 0:
            vm.pause_tokens("lwkt_user_yield")  # last: the token may be lost here


def _tell(m: VmPage) -> None:
    """Report a wired page on a queue; `vm.object_debug` counts down how often in full."""
    vm = m.vm
    trace = ""
    if vm.objects.vm_object_debug > 0:
        vm.objects.vm_object_debug -= 1
        trace = f", for {vm.engine.current}"
    vm.kprintf(f"vm_object_terminate: wired page {m.name} is on a queue{trace}")


def _unmap(m: VmPage) -> None:
    """Remove the page's mappings, if it has any.  Locks: the page hard-busied."""
    if pmap_mapped_sync(m) & (PG_MAPPED | PG_WRITEABLE):
        vm_page_protect(m, VM_PROT_NONE)
