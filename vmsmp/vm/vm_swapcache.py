"""The swap cache: clean pages of files are written to swap, from where they are read again.

Models: vm_swapcache_test, vm_swapcached_flush and vm_swapcache_cleaning of sys/vm/vm_swapcache.c; which pages
are written, and of which objects there is a list, is left to the caller.
Locks: writing needs the page hard-busied and its object held; from then on the page is soft-busied.
Deviations:
  * none of a file of meta-data is left out (PG_NOTMETA).
"""

from __future__ import annotations

from dataclasses import dataclass
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
from vmsmp.vm.vm_page.flags import PAGE_SIZE, PG_FICTITIOUS, PG_SWAPPED, PG_UNQUEUED, VM_PAGE_BITS_ALL
from vmsmp.vm.vm_page.lookup import vm_page_lookup_busy_try
from vmsmp.vm.vm_page.protect import vm_page_protect, vm_page_test_dirty
from vmsmp.vm.vm_pager.result import VM_PAGER_PEND
from vmsmp.vm.vm_pager.swap_io import swap_pager_putpages
from vmsmp.vm.vm_pager.swap_meta import SWAP_META_PAGES
from vmsmp.vm.vm_pager.swap_strategy import swap_pager_condfree

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def vm_swapcache_cleaning(obj: VmObject, basei: int = 0, count: int = SWAP_META_PAGES) -> tuple[int, int]:
    """Free what a file has in swap, from index `basei` on, of pages that are not resident.

    Returns what was done, and where to go on.  Sleeps: for tokens.
    """
    vm_object_hold(obj)
    done = 0
    if (
        obj.type == OBJT_VNODE
        and not obj.flags.bits(OBJ_DEAD)
        and obj.swblock_count
        and obj.handle is not None
    ):
        done, basei = swap_pager_condfree(obj, basei, -(-count // SWAP_META_PAGES) * SWAP_META_PAGES)
    vm_object_drop(obj)
    return done, basei


@dataclass(slots=True)
class Marker:
    """Where a cleaning pass goes on: at which object, from which index, and what was done with it so far."""

    position: int = 0
    size: int = 0
    save_off: int = 0

    def move(self) -> None:
        """Go on with the next object."""
        self.position, self.size, self.save_off = self.position + 1, 0, 0


def vm_swapcache_pass(objects: Sequence[VmObject], marker: Marker, count: int, cleanperobj: int) -> None:
    """Clean objects from the marker on until about `count` pages are done, or all objects.

    The marker passes an object that has nothing in swap, or of which `cleanperobj` bytes are done; as in the
    kernel, not one of which nothing more can be freed, since `swap_pager_condfree` never says so.
    Sleeps: for tokens.
    """
    while marker.position < len(objects) and count >= 0:
        obj = objects[marker.position]
        done, marker.size = vm_swapcache_cleaning(obj, marker.size, count)
        if done <= 0 or marker.save_off > cleanperobj:
            marker.move()
        count -= done
        marker.save_off += done * PAGE_SIZE
