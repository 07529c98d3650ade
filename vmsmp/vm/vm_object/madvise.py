"""Advice on a range of an object: its pages will be needed, will not be, or may be discarded.

Models: vm_object_madvise of sys/vm/vm_object.c.
Locks: takes the object's token exclusively; it is lost during every wait for a busy page, after which the
type and OBJ_ONEMAPPING are looked at again, and the page is looked up again.
Deviations: none known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vmsmp.vm.observer import contents_dropped
from vmsmp.vm.pmap.reverse import pmap_clear_modify
from vmsmp.vm.vm_object.hold import vm_object_drop, vm_object_hold
from vmsmp.vm.vm_object.object import ANONYMOUS, OBJ_ONEMAPPING, OBJT_SWAP
from vmsmp.vm.vm_page.activity import vm_page_activate, vm_page_dontneed
from vmsmp.vm.vm_page.busy import vm_page_sleep_busy, vm_page_wakeup
from vmsmp.vm.vm_page.flags import PG_FICTITIOUS, PG_NEED_COMMIT, PG_UNQUEUED, VM_PAGE_BITS_ALL
from vmsmp.vm.vm_page.lookup import vm_page_lookup_busy_try
from vmsmp.vm.vm_pager.swap_meta import swap_pager_freespace

if TYPE_CHECKING:
    from vmsmp.vm.vm_object.object import VmObject
    from vmsmp.vm.vm_page.page import VmPage

MADV_NORMAL: Final = 0
MADV_RANDOM: Final = 1
MADV_SEQUENTIAL: Final = 2
MADV_WILLNEED: Final = 3
MADV_DONTNEED: Final = 4
MADV_FREE: Final = 5

_LEFT_ALONE: Final = PG_FICTITIOUS | PG_UNQUEUED | PG_NEED_COMMIT


def vm_object_madvise(obj: VmObject | None, pindex: int, count: int, advise: int) -> None:
    """Follow the advice for `count` pages from `pindex` on, if there is an object.

    MADV_FREE discards only what no other entry can map: anonymous memory with OBJ_ONEMAPPING.
    Locks: takes the token exclusively.  Sleeps: for the token, and while a page is busy.
    """
    if obj is None:
        return
    vm_object_hold(obj)
    if advise == MADV_FREE:
        contents_dropped(obj, pindex, pindex + count, done=False)
    for index in range(pindex, pindex + count):
        while not _advise(obj, index, advise):
            pass
    if advise == MADV_FREE:
        contents_dropped(obj, pindex, pindex + count, done=True)
    vm_object_drop(obj)


def _advise(obj: VmObject, index: int, advise: int) -> bool:
    """Follow the advice for one index; return False after a sleep, to look again."""
    if advise == MADV_FREE and (obj.type not in ANONYMOUS or not obj.flags.load() & OBJ_ONEMAPPING):
        return True
    m, busy = vm_page_lookup_busy_try(obj, index, True)
    if m is not None and busy:
        vm_page_sleep_busy(m, True, "madvpo")
        return False
    if m is None:
        if advise == MADV_FREE and obj.type == OBJT_SWAP:
            swap_pager_freespace(obj, index, 1)
        return True
    if m.wire_count.load() or m.flags.load() & _LEFT_ALONE or m.valid != VM_PAGE_BITS_ALL:
        vm_page_wakeup(m)
        return True
    if advise == MADV_WILLNEED:
        vm_page_activate(m)
    elif advise == MADV_DONTNEED:
        vm_page_dontneed(m)
    elif advise == MADV_FREE:
        _discard(obj, m, index)
    vm_page_wakeup(m)
    return True


def _discard(obj: VmObject, m: VmPage, index: int) -> None:
    """Mark the page as clean, and free its swap.  Locks: the page hard-busied, the token held."""
    pmap_clear_modify(m)
    m.publish("dirty", 0)
    m.publish("act_count", 0)
    vm_page_dontneed(m)
    if obj.type == OBJT_SWAP:
        swap_pager_freespace(obj, index, 1)
