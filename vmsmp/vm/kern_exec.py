"""Looking at the first pages of a program that is to be run.

Models: exec_map_page of sys/kern/kern_exec.c; what it maps into the kernel is a page that is held.
Locks: the vnode referenced by the caller, and not locked; the object's token, shared if the page is there.
Deviations:
  * the page is not mapped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.vm_map.flags import VM_PROT_NONE
from vmsmp.vm.vm_object.hold import vm_object_drop, vm_object_hold, vm_object_hold_shared
from vmsmp.vm.vm_page.alloc import vm_page_grab
from vmsmp.vm.vm_page.busy import vm_page_sleep_busy, vm_page_wakeup
from vmsmp.vm.vm_page.flags import VM_ALLOC_NORMAL, VM_ALLOC_RETRY, VM_PAGE_BITS_ALL
from vmsmp.vm.vm_page.holding import vm_page_hold, vm_page_unhold
from vmsmp.vm.vm_page.lookup import vm_page_lookup
from vmsmp.vm.vm_page.protect import vm_page_protect
from vmsmp.vm.vm_pager.result import VM_PAGER_OK
from vmsmp.vm.vm_pager.table import vm_pager_get_page
from vmsmp.vm.vm_pager.vnode_lock import vnode_pager_freepage

if TYPE_CHECKING:
    from vmsmp.vm.vm_object.object import VmObject
    from vmsmp.vm.vm_page.page import VmPage
    from vmsmp.vm.vnode import Vnode


def exec_map_page(vp: Vnode, pageno: int) -> VmPage | None:
    """Return a page of the file, held; None if it cannot be had.  Sleeps: for the token, the page and I/O."""
    obj: VmObject | None = vp.hint("v_object")
    if obj is None or pageno >= obj.hint("size"):
        return None
    vm_object_hold_shared(obj)
    m: VmPage | None = vm_page_lookup(obj, pageno)
    if m is not None and m.hint("valid") == VM_PAGE_BITS_ALL:
        vm_page_hold(m)
        vm_page_sleep_busy(m, False, "execpg")
        there = m.hint("object") is obj and m.hint("pindex") == pageno
        if there and m.hint("valid") == VM_PAGE_BITS_ALL:
            vm_object_drop(obj)
            return m
        vm_page_unhold(m)
    vm_object_drop(obj)
    return _read(obj, pageno)


def _read(obj: VmObject, pageno: int) -> VmPage | None:
    """Return a page of the object, held; read it if it is not there."""
    vm_object_hold(obj)
    m: VmPage | None = vm_page_grab(obj, pageno, VM_ALLOC_NORMAL | VM_ALLOC_RETRY)
    while m is not None and m.valid != VM_PAGE_BITS_ALL:
        rv = vm_pager_get_page(obj, m, 1)
        m = vm_page_lookup(obj, pageno)
        if m is not None and (rv != VM_PAGER_OK or not m.valid):
            vm_page_protect(m, VM_PROT_NONE)
            vnode_pager_freepage(m)
            m = None
    if m is not None:
        vm_page_hold(m)
        vm_page_wakeup(m)
    vm_object_drop(obj)
    return m
