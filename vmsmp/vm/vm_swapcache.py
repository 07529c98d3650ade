"""The swap cache: clean pages of files are written to swap, from where they are read again.

Models: vm_swapcache_test, vm_swapcached_flush and vm_swapcache_cleaning of sys/vm/vm_swapcache.c, for one
page and one object; the scans of queues and of all objects are left to the caller.
Locks: writing needs the page hard-busied and its object held; from then on the page is soft-busied.
Deviations:
  * none of a file of meta-data is left out (PG_NOTMETA).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.vm_map.flags import VM_PROT_READ
from vmsmp.vm.vm_object.hold import vm_object_drop, vm_object_hold
from vmsmp.vm.vm_object.object import OBJ_DEAD, OBJT_VNODE
from vmsmp.vm.vm_object.paging import vm_object_pip_add, vm_object_pip_wakeup
from vmsmp.vm.vm_page.activity import vm_page_deactivate, vm_page_unqueue_nowakeup
from vmsmp.vm.vm_page.busy import (
    vm_page_busy_try,
    vm_page_busy_wait,
    vm_page_io_finish,
    vm_page_io_start,
    vm_page_wakeup,
)
from vmsmp.vm.vm_page.flags import PG_FICTITIOUS, PG_SWAPPED, PG_UNQUEUED, VM_PAGE_BITS_ALL
from vmsmp.vm.vm_page.lookup import vm_page_lookup_busy_try
from vmsmp.vm.vm_page.protect import vm_page_protect, vm_page_test_dirty
from vmsmp.vm.vm_pager.result import VM_PAGER_PEND
from vmsmp.vm.vm_pager.swap_io import swap_pager_putpages
from vmsmp.vm.vm_pager.swap_meta import SWAP_META_PAGES
from vmsmp.vm.vm_pager.swap_strategy import swap_pager_condfree

if TYPE_CHECKING:
    from vmsmp.vm.vm_object.object import VmObject
    from vmsmp.vm.vm_page.page import VmPage


def vm_swapcache_writing(m: VmPage) -> bool:
    """Write a page to swap if it is one for that, and not there already; return whether it was.

    Sleeps: for tokens, and for the device.
    """
    if m.flags.bits(PG_SWAPPED) or vm_page_busy_try(m, True):
        return False
    obj: VmObject | None = m.object
    if obj is None:
        vm_page_wakeup(m)
        return False
    vm_object_hold(obj)
    wanted = m.object is obj and vm_swapcache_test(m) and obj.handle is not None
    if wanted:
        vm_swapcached_flush(m)
    else:
        vm_page_wakeup(m)
    vm_object_drop(obj)
    return wanted


def vm_swapcache_test(m: VmPage) -> bool:
    """Return whether a page may be written to swap.  Locks: the page hard-busied, the object's token."""
    if m.flags.bits(PG_UNQUEUED | PG_FICTITIOUS) or m.hold_count.load() or m.wire_count.load():
        return False
    obj: VmObject | None = m.object
    if m.valid != VM_PAGE_BITS_ALL or m.hint("dirty") or obj is None:
        return False
    if obj.type != OBJT_VNODE or obj.flags.bits(OBJ_DEAD):
        return False
    vm_page_test_dirty(m)
    return not m.hint("dirty")


def vm_swapcached_flush(m: VmPage) -> None:
    """Write a page of a file to swap, and those around it with which it shares a block of metadata.

    Locks: the page hard-busied by the caller, who holds the object; consumes the busy.
    Sleeps: for tokens, and for the device.
    """
    vm_page_io_start(m)
    vm_page_protect(m, VM_PROT_READ)
    obj: VmObject = m.object
    vm_object_hold(obj)
    x = m.pindex % SWAP_META_PAGES
    first = m.pindex - x
    vm_page_wakeup(m)
    marray = [m]
    for pindex in range(first + x - 1, first - 1, -1):
        near = _collected(obj, pindex)
        if near is None:
            break
        marray.insert(0, near)
    for pindex in range(first + x + 1, first + SWAP_META_PAGES):
        near = _collected(obj, pindex)
        if near is None:
            break
        marray.append(near)
    vm_object_pip_add(obj, len(marray))
    for page, result in zip(marray, swap_pager_putpages(obj, marray, 0), strict=True):
        if result != VM_PAGER_PEND:
            vm_page_busy_wait(page, False, "swppgfd")
            vm_page_io_finish(page)
            vm_page_wakeup(page)
            vm_object_pip_wakeup(obj)
    vm_object_drop(obj)


def _collected(obj: VmObject, pindex: int) -> VmPage | None:
    """Return the page at an index, soft-busied, if it may be written to swap, where it may be already."""
    m, busy = vm_page_lookup_busy_try(obj, pindex, True)
    if m is None or busy:
        return None
    if not vm_swapcache_test(m):
        vm_page_wakeup(m)
        return None
    vm_page_io_start(m)
    vm_page_protect(m, VM_PROT_READ)
    if m.queue_base() == m.vm.page.PQ_CACHE:
        vm_page_unqueue_nowakeup(m)
        vm_page_deactivate(m)
    vm_page_wakeup(m)
    return m


def vm_swapcache_cleaning(obj: VmObject, count: int = 32) -> int:
    """Free what a file has in swap of pages that are not resident; return what was done.

    Sleeps: for tokens.
    """
    vm_object_hold(obj)
    done = 0
    if (
        obj.type == OBJT_VNODE
        and not obj.flags.bits(OBJ_DEAD)
        and obj.swblock_count
        and obj.handle is not None
    ):
        done, _ = swap_pager_condfree(obj, 0, count)
    vm_object_drop(obj)
    return done
