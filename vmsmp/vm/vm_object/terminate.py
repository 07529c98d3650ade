"""Terminating an object: dropping the last reference and freeing its pages.

Models: vm_object_deallocate and vm_object_terminate of sys/vm/vm_object.c.
Locks: the object's token exclusively; it is lost during every wait for a busy page.
Deviations:
  * pages are freed without I/O, since there is no pager.
  * assertions read the word together with the step that follows them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.pmap import VM_PROT_NONE, pmap_mapped_sync
from vmsmp.vm.vm_object.hold import ASSERT_OBJECT_HELD_EXCL, vm_object_drop, vm_object_hold
from vmsmp.vm.vm_object.object import OBJ_DEAD, REF, scan
from vmsmp.vm.vm_object.paging import vm_object_pip_wait
from vmsmp.vm.vm_page.busy import vm_page_busy_try, vm_page_sleep_busy, vm_page_wakeup
from vmsmp.vm.vm_page.flags import PG_MAPPED, PG_WRITEABLE
from vmsmp.vm.vm_page.free import vm_page_free
from vmsmp.vm.vm_page.protect import vm_page_protect
from vmsmp.vm.vm_page.residency import vm_page_remove

if TYPE_CHECKING:
    from vmsmp.vm.vm_object.object import VmObject
    from vmsmp.vm.vm_page.page import VmPage


def vm_object_deallocate(obj: VmObject) -> None:
    """Drop a reference; the last one terminates the object.

    Locks: none while more than three references are left; else takes the token exclusively.  Sleeps: yes.
    """
    count = obj.ref_count.load()
    while count > 3:
        dropped, count = obj.ref_count.fcmpset(count, count - 1)
        if dropped:
            obj.gave(REF)
            return
    vm_object_hold(obj)
    vm_object_deallocate_locked(obj)
    vm_object_drop(obj)


def vm_object_deallocate_locked(obj: VmObject) -> None:
    """Drop a reference under the exclusive token; the last one terminates the object.

    The count is tested and decremented in separate steps: references may come and go without the token
    while there are others.
    """
    ASSERT_OBJECT_HELD_EXCL(obj)
    if obj.ref_count.load() == 0:
        obj.vm.panic("vm_object_deallocate: object deallocated too many times")
    if obj.ref_count.load() > 2:
        _drop_reference(obj)
        return
    count = obj.ref_count.load()
    if count == 0:
        obj.vm.panic("vm_object_deallocate: object lost its references")
    _drop_reference(obj)
    if count < 2 and not obj.flags.load() & OBJ_DEAD:
        vm_object_terminate(obj)


def _drop_reference(obj: VmObject) -> None:
    obj.ref_count.fetchadd(-1)
    obj.gave(REF)


def vm_object_terminate(obj: VmObject) -> None:
    """Free the pages of an unreferenced object; the last hold frees its memory.

    A page that another CPU inserts meanwhile is warned about, and freed by another scan.
    Locks: the token exclusively; it is lost during every wait for a busy page.
    """
    vm = obj.vm
    if obj.flags.setbits(OBJ_DEAD) & OBJ_DEAD:
        vm.panic("vm_object_terminate: object is dead already")
    vm_object_pip_wait(obj, "objtrm1")
    if obj.paging_in_progress.load():
        vm.panic("vm_object_terminate: pageout in progress")
    vm_object_pip_wait(obj, "objtrm2")
    if obj.ref_count.load():
        vm.panic("vm_object_terminate: object with references")
    pages = _Termination(obj)
    pages.scan()
    while pages.failed:
        pages.scan()
    while obj.rb_memq:
        vm.kprintf(f"vm_object_terminate: {obj.name} was given pages while it was terminated")
        pages.scan()
    if obj.resident_page_count:
        vm.panic("vm_object_terminate: object with resident pages")
    if obj.ref_count.load():
        vm.panic("vm_object_terminate: object with references")


class _Termination:
    """The scans of a termination.  `failed`: the last one met a page that it could not have."""

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
        if vm_page_busy_try(m, True):
            vm_page_sleep_busy(m, True, "vmotrm")
            self.failed = True
            return
        if m.object is not self.obj:  # it left while we slept on another page
            vm_page_wakeup(m)
            self.failed = True
        elif m.wire_count.load() == 0:
            _unmap(m)
            vm_page_free(m)
            vm.mycpu().v_pfree += 1
        else:
            _unmap(m)
            vm_page_remove(m)
            vm_page_wakeup(m)
        self.visited += 1
        if self.visited % vm.pageout.scan_yield == 0:
            vm.pause_tokens("lwkt_user_yield")  # last: the token may be lost here


def _unmap(m: VmPage) -> None:
    """Remove the page's mappings, if it has any.  Locks: the page hard-busied."""
    if pmap_mapped_sync(m) & (PG_MAPPED | PG_WRITEABLE):
        vm_page_protect(m, VM_PROT_NONE)
