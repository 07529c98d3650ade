"""What becomes of an inactive page: it is freed, cached, activated, or written out.

Models: vm_pageout_page, swap_pageouts_ok and vm_pageout_clean_helper of sys/vm/vm_pageout.c.
Locks: the page hard-busied by the caller, whose busy is consumed.  To lock the vnode of a file the busy is
dropped and the page only held; then everything is looked at again.  The pages around it are looked up under
the object's token.
Deviations:
  * what became of the pages is not counted and not printed (vm.pageout_debug).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmsmp.sync.errno import LK_EXCLUSIVE, LK_NOWAIT, LK_TIMELOCK
from vmsmp.vm.pmap.reverse import pmap_clear_reference, pmap_ts_referenced
from vmsmp.vm.vm_map.flags import VM_PROT_NONE
from vmsmp.vm.vm_meter.paging import vm_paging_min_dnc
from vmsmp.vm.vm_object.hold import vm_object_drop, vm_object_hold
from vmsmp.vm.vm_object.object import (
    OBJ_DEAD,
    OBJ_MIGHTBEDIRTY,
    OBJPC_ALLOW_ACTIVE,
    OBJT_DEFAULT,
    OBJT_SWAP,
    OBJT_VNODE,
)
from vmsmp.vm.vm_page.activity import vm_page_activate, vm_page_unqueue_nowakeup
from vmsmp.vm.vm_page.busy import (
    vm_page_busy_try,
    vm_page_flag_clear,
    vm_page_flag_set,
    vm_page_wakeup,
)
from vmsmp.vm.vm_page.dirty import vm_page_dirty
from vmsmp.vm.vm_page.flags import (
    ACT_ADVANCE,
    PG_NEED_COMMIT,
    PG_REFERENCED,
    PG_UNQUEUED,
    PG_WINATCFLS,
)
from vmsmp.vm.vm_page.free import vm_page_cache, vm_page_free
from vmsmp.vm.vm_page.holding import vm_page_hold, vm_page_unhold
from vmsmp.vm.vm_page.lookup import vm_page_lookup_busy_try
from vmsmp.vm.vm_page.protect import vm_page_protect, vm_page_test_dirty
from vmsmp.vm.vm_page.queues import _vm_page_and_queue_spin_unlock, vm_page_and_queue_spin_lock
from vmsmp.vm.vm_page.tailq import TAILQ_INSERT_TAIL, TAILQ_REMOVE
from vmsmp.vm.vm_pageout.flush import vm_pageout_flush
from vmsmp.vm.vm_pager.swap_meta import BLIST_MAX_ALLOC
from vmsmp.vm.vnode import vget, vput

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_object.object import VmObject
    from vmsmp.vm.vm_page.page import VmPage
    from vmsmp.vm.vnode import Vnode


@dataclass(slots=True)
class Laundering:
    """What a scan keeps from one page to the next.

    `max_launder`: how many pages it may still write.  `vpfailed`: the vnode that could not be locked last,
    which may have gone since; it is compared and never used.
    """

    max_launder: int
    vpfailed: Vnode | None = None


def vm_pageout_page(m: VmPage, laundering: Laundering, passes: int, vmflush_flags: int) -> int:
    """Dispose of an inactive page; return how many pages are gained.

    A dirty page is written the second time that it is met, or at once if `passes` have been in vain.
    `vmflush_flags`: OBJPC flags for writing.
    Locks: the page hard-busied by the caller; consumes the busy.  Sleeps: to unmap the page, and to write it.
    """
    if m.wire_count.load():
        return unqueue_wired(m)
    if m.hold_count.load():
        return leave(m, m.vm.page.PQ_INACTIVE)
    if not referenced_object(m):
        vm_page_flag_clear(m, PG_REFERENCED)
        pmap_clear_reference(m)
    elif not m.flags.load() & PG_REFERENCED:
        used = pmap_ts_referenced(m)
        if used:
            return _activate_used(m, used)
    if m.flags.load() & PG_REFERENCED:
        vm_page_flag_clear(m, PG_REFERENCED)
        return _activate_used(m, pmap_ts_referenced(m) + 1)
    if m.hint("dirty") == 0:
        vm_page_test_dirty(m)
    else:
        vm_page_dirty(m)
    committing = bool(m.flags.bits(PG_NEED_COMMIT))
    if m.valid == 0 and not committing:
        vm_page_protect(m, VM_PROT_NONE)
        vm_page_free(m)
        return 1
    if m.hint("dirty") == 0 and not committing:
        vm_page_cache(m)
        return 1
    if not m.flags.bits(PG_WINATCFLS) and passes == 0:
        vm_page_flag_set(m, PG_WINATCFLS)
        return leave(m, m.vm.page.PQ_INACTIVE)
    if laundering.max_launder <= 0:
        vm_page_wakeup(m)
        return 0
    return _launder(m, laundering, vmflush_flags)


def _activate_used(m: VmPage, used: int) -> int:
    """Activate a page that was used so often since it became inactive, with a higher act_count."""
    vm_page_activate(m)
    m.publish("act_count", m.hint("act_count") + ACT_ADVANCE + used & 0xFF)
    vm_page_wakeup(m)
    return 0


# -- leaving it -----------------------------------------------------------------------------------


def vm_page_requeue(m: VmPage, base: int) -> None:
    """Move the page to the tail of its queue, if that is of type `base`, so that other pages are next.

    Locks: the page hard-busied by the caller.  Neither the queue nor its type changes, so the queue's
    spinlock alone would suffice.
    """
    vm_page_and_queue_spin_lock(m)
    if m.queue - m.pc == base:
        pq = m.vm.page.vm_page_queues[m.queue]
        TAILQ_REMOVE(pq, m)
        TAILQ_INSERT_TAIL(pq, m)
    _vm_page_and_queue_spin_unlock(m)


def leave(m: VmPage, base: int) -> int:
    """Leave the page for later, at the tail of its queue; return 0."""
    vm_page_requeue(m, base)
    vm_page_wakeup(m)
    return 0


def unqueue_wired(m: VmPage) -> int:
    """Take a wired page off its queue; its last unwiring puts it back.  Return 0."""
    vm_page_unqueue_nowakeup(m)
    vm_page_wakeup(m)
    return 0


def referenced_object(m: VmPage) -> bool:
    """Return whether the page is in an object that somebody references."""
    return m.object is not None and m.object.ref_count.load() != 0


# -- writing it -----------------------------------------------------------------------------------


def swap_pageouts_ok(m: VmPage) -> bool:
    """Return whether the page may be written now: pages that would go to swap may have to wait."""
    obj = m.object
    if obj is not None and obj.hint("type") not in (OBJT_SWAP, OBJT_DEFAULT):
        return True
    pageout = m.vm.pageout
    if pageout.disable_swap_pageouts:
        return False
    return not pageout.defer_swap_pageouts or vm_paging_min_dnc(m.vm, 0)


def _launder(m: VmPage, laundering: Laundering, vmflush_flags: int) -> int:
    """Write the page out, with those around it; one whose object is dead or gone stays.

    Locks: as `vm_pageout_page`.
    """
    if not m.flags.bits(PG_WINATCFLS):
        vm_page_flag_set(m, PG_WINATCFLS)
    if not swap_pageouts_ok(m):
        return leave(m, m.vm.page.PQ_INACTIVE)
    if m.object is None or m.object.flags.bits(OBJ_DEAD):
        return leave(m, m.vm.page.PQ_INACTIVE)
    vp: Vnode | None = None
    if m.object.hint("type") == OBJT_VNODE:
        vp = _launder_file(m, m.object, laundering)
        if vp is None:
            return 0
    count = vm_pageout_clean_helper(m, vmflush_flags)
    laundering.max_launder -= count
    if vp is not None:
        vput(vp)
    return count


def _launder_file(m: VmPage, obj: VmObject, laundering: Laundering) -> Vnode | None:
    """Lock the vnode of a file's page; return it, or None if the page is left.

    A vnode that could not be locked is not waited for again in the same scan.

    Locks: the page hard-busied by the caller; held and looked at again in between.  Consumes the busy if it
    returns None.  Sleeps: for the vnode, up to VLKTIMEOUT ticks.
    """
    vm: VmSystem = m.vm
    vp: Vnode | None = obj.hint("handle")
    flags = LK_EXCLUSIVE | (LK_NOWAIT if vp is laundering.vpfailed else LK_TIMELOCK)
    vm_page_hold(m)
    vm_page_wakeup(m)
    if vp is None:
        vm.panic("vget: page fault: the object has lost its vnode")
    if vget(vp, flags):
        laundering.vpfailed = vp
        vm.pageout.pageout_lock_miss += 1
        _skip(obj)
        vm_page_unhold(m)
        return None
    if _moved(m, obj, vp):
        _skip(obj)
        vput(vp)
        vm_page_unhold(m)
        return None
    if vm_page_busy_try(m, True):
        vput(vp)
        vm_page_unhold(m)
        return None
    vm_page_unhold(m)
    if m.wire_count.load():
        vm_page_unqueue_nowakeup(m)
        vput(vp)
        vm_page_wakeup(m)
        return None
    committing = bool(m.flags.load() & PG_NEED_COMMIT)
    if (
        m.hold_count.load()
        or _moved(m, obj, vp)
        or (not committing and (m.valid == 0 or m.hint("dirty") == 0))
    ):
        vm_page_requeue(m, vm.page.PQ_INACTIVE)
        _skip(obj)
        vm_page_wakeup(m)
        vput(vp)
        return None
    return vp


def _skip(obj: VmObject) -> None:
    """Count a skipped page if its file may be dirty; only other references keep the object meanwhile."""
    if obj.flags.load() & OBJ_MIGHTBEDIRTY:
        obj.vm.pageout.vnodes_skipped += 1


def _moved(m: VmPage, obj: VmObject, vp: Vnode) -> bool:
    """Whether the page is no longer an inactive page of that file, judged without a lock."""
    return (
        m.queue_base() != m.vm.page.PQ_INACTIVE or m.hint("object") is not obj or obj.hint("handle") is not vp
    )


def vm_pageout_clean_helper(m: VmPage, vmflush_flags: int) -> int:
    """Write the page out with the inactive dirty pages around it, up to a cluster; return how many.

    Locks: the page hard-busied by the caller, which keeps it in its object; consumes the busy.
    Sleeps: for the object's token, and to write.
    """
    if m.hold_count.load() or m.flags.bits(PG_UNQUEUED):
        vm_page_wakeup(m)
        return 0
    obj, pindex = m.object, m.pindex
    base = pindex % BLIST_MAX_ALLOC
    cluster = [m]
    vm_object_hold(obj)
    for index in range(pindex - 1, pindex - base - 1, -1):
        p = _neighbour(m, index, vmflush_flags)
        if p is None:
            break
        cluster.insert(0, p)
    for index in range(pindex + 1, min(pindex - base + BLIST_MAX_ALLOC, obj.size)):
        p = _neighbour(m, index, vmflush_flags)
        if p is None:
            break
        cluster.append(p)
    vm_object_drop(obj)
    return vm_pageout_flush(cluster, vmflush_flags)


def _neighbour(m: VmPage, index: int, vmflush_flags: int) -> VmPage | None:
    """Return the page at that index of the same object, hard-busied, if it is to be written with `m`."""
    p, busy = vm_page_lookup_busy_try(m.object, index, True)
    if p is None or busy:
        return None
    if not _goes_along(p, vmflush_flags):
        vm_page_wakeup(p)
        return None
    if m.flags.bits(PG_WINATCFLS):
        vm_page_flag_set(p, PG_WINATCFLS)
    else:
        vm_page_flag_clear(p, PG_WINATCFLS)
    p.publish("act_count", m.hint("act_count"))
    return p


def _goes_along(p: VmPage, vmflush_flags: int) -> bool:
    """Whether a page is dirty, used by nobody and on a queue whose pages are written with others.

    Whether it was used lately does not count, nor whether all of it is valid.
    """
    page = p.vm.page
    if p.queue_base() == page.PQ_CACHE or p.flags.bits(PG_UNQUEUED):
        return False
    vm_page_test_dirty(p)
    if not p.hint("dirty") & p.valid and not p.flags.bits(PG_NEED_COMMIT):
        return False
    if p.wire_count.load() or p.hold_count.load():
        return False
    base = p.queue_base()
    return base == page.PQ_INACTIVE or (base == page.PQ_ACTIVE and bool(vmflush_flags & OBJPC_ALLOW_ACTIVE))
