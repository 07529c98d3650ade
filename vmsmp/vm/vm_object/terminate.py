"""Terminating an object: dropping the last reference and freeing its pages.

Models: vm_object_deallocate and vm_object_terminate of sys/vm/vm_object.c.
Locks: the object's token exclusively; it is lost during every wait for a busy page.
Deviations:
  * pages are freed without I/O, since there is no pager.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.vm_object.hold import ASSERT_OBJECT_HELD_EXCL, vm_object_drop, vm_object_hold
from vmsmp.vm.vm_object.object import OBJ_DEAD, REF, scan
from vmsmp.vm.vm_page.busy import vm_page_busy_try, vm_page_sleep_busy, vm_page_wakeup
from vmsmp.vm.vm_page.free import vm_page_free
from vmsmp.vm.vm_page.protect import vm_page_protect
from vmsmp.vm.vm_page.residency import vm_page_remove

if TYPE_CHECKING:
    from vmsmp.vm.vm_object.object import VmObject


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
    """Drop a reference under the exclusive token; the last one terminates the object."""
    ASSERT_OBJECT_HELD_EXCL(obj)
    if obj.ref_count.load() == 0:
        obj.vm.panic("vm_object_deallocate: object deallocated too many times")
    last = obj.ref_count.fetchadd(-1) == 1
    obj.gave(REF)
    if last and not obj.flags.load() & OBJ_DEAD:
        vm_object_terminate(obj)


def vm_object_terminate(obj: VmObject) -> None:
    """Free the pages of an unreferenced object; the last hold frees its memory.

    Locks: the token exclusively; it is lost during every wait for a busy page.
    """
    vm = obj.vm
    if obj.flags.setbits(OBJ_DEAD) & OBJ_DEAD:
        vm.panic("vm_object_terminate: object is dead already")
    again = True
    while again:
        again = False
        visited = 0
        for m in scan(obj):
            if vm_page_busy_try(m, True):
                vm_page_sleep_busy(m, True)
                again = True
                continue
            if m.object is not obj:  # it left while we slept on another page
                vm_page_wakeup(m)
            elif m.wire_count.load() == 0:
                vm_page_protect(m, 0)
                vm_page_free(m)
            else:
                vm_page_protect(m, 0)
                vm_page_remove(m)
                vm_page_wakeup(m)
            visited += 1
            if visited % vm.pageout.scan_yield == 0:
                vm.pause_tokens("lwkt_user_yield")  # last: the token may be lost here
    if obj.peek("rb_memq") or obj.peek("resident_page_count"):
        vm.panic("vm_object_terminate: object with resident pages")
    if obj.ref_count.load():
        vm.panic("vm_object_terminate: object with references")
