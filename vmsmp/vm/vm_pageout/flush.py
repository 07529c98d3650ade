"""Writing pages out: the call of the pager, and what is done with each page afterwards.

Models: vm_pageout_flush of sys/vm/vm_pageout.c.
Locks: the pages hard-busied by the caller, of one object; a soft busy keeps each while it is written.  A page
that a pager leaves pending is finished by whoever completes the transfer.
Deviations: none known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.pmap.reverse import pmap_clear_modify
from vmsmp.vm.vm_map.flags import VM_PROT_NONE, VM_PROT_READ
from vmsmp.vm.vm_meter.paging import vm_paging_severe
from vmsmp.vm.vm_object.object import OBJPC_SYNC, OBJPC_TRY_TO_CACHE
from vmsmp.vm.vm_object.paging import vm_object_pip_add, vm_object_pip_wakeup
from vmsmp.vm.vm_page.activity import vm_page_deactivate
from vmsmp.vm.vm_page.busy import (
    vm_page_busy_wait,
    vm_page_io_finish,
    vm_page_io_start,
    vm_page_wakeup,
)
from vmsmp.vm.vm_page.dirty import vm_page_undirty
from vmsmp.vm.vm_page.flags import VM_PAGE_BITS_ALL
from vmsmp.vm.vm_page.free import vm_page_try_to_cache
from vmsmp.vm.vm_page.protect import vm_page_protect
from vmsmp.vm.vm_pager.result import VM_PAGER_BAD, VM_PAGER_OK, VM_PAGER_PEND
from vmsmp.vm.vm_pager.table import vm_pager_put_pages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vmsmp.vm.vm_page.page import VmPage


def vm_pageout_flush(mc: Sequence[VmPage], flags: int) -> int:
    """Write the pages of one object out; return how many are written, or will be.

    Locks: the pages hard-busied by the caller; consumes the busies.  Sleeps: to unmap, and for the pager.
    """
    vm = mc[0].vm
    for m in mc:
        if m.valid != VM_PAGE_BITS_ALL:
            vm.panic("vm_pageout_flush: partially invalid page")
        vm_page_io_start(m)
    for m in mc:
        vm_page_protect(m, VM_PROT_NONE if flags & OBJPC_TRY_TO_CACHE else VM_PROT_READ)
        vm_page_wakeup(m)
    obj = mc[0].object
    vm_object_pip_add(obj, len(mc))
    if obj is vm.objects.kernel_object:
        flags |= OBJPC_SYNC
    status = vm_pager_put_pages(obj, mc, flags)
    done = 0
    for m, result in zip(mc, status, strict=True):
        if result in (VM_PAGER_OK, VM_PAGER_PEND):
            done += 1
        elif result == VM_PAGER_BAD:
            vm_page_busy_wait(m, False, "pgbad")
            pmap_clear_modify(m)
            vm_page_undirty(m)
            vm_page_wakeup(m)
        if result != VM_PAGER_PEND:
            _written(m, flags)
            vm_object_pip_wakeup(obj)
    return done


def _written(m: VmPage, flags: int) -> None:
    """Finish a page that the pager has completed.  Sleeps: while it is hard-busied."""
    vm_page_busy_wait(m, False, "pgouw")
    vm_page_io_finish(m)
    if flags & OBJPC_TRY_TO_CACHE:
        vm_page_try_to_cache(m)
        return
    if vm_paging_severe(m.vm):
        vm_page_deactivate(m)
    vm_page_wakeup(m)
