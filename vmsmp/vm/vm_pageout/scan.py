"""The pagedaemon's scans of the page queues.

Models: the scans of sys/vm/vm_pageout.c: stale held pages to the free queues, active pages that are no
longer used to the inactive queues, inactive clean pages to the cache, cached pages to the free queues.
Locks: a scan keeps its place with a marker page on the queue.  It locks the next page and its queue,
checks that the page is still the next one, and decides under a hard busy, which it tries and never
waits for.  The sweep of the hold queues locks against the order, by trylock.
Deviations:
  * a marker's memory is never reused; in the kernel it is on a stack, and another scan may still
    point at it.
  * a scan takes the page's and the queue's spinlocks for a step, and tests the page's place under them;
    the kernel's takes the queue's alone and cannot miss.
  * a scan goes through the whole queue; the kernel's visits a tenth of it, and yields after each page.
  * dirty pages are laundered without a cluster, a limit or a second lap; those of files are written out,
    others count as written at once and are cached.  Pages with PG_NEED_COMMIT stay where they are.
  * a wait for a vnode has no timeout.
  * an active page is deactivated and never cached, however short memory is; later passes deactivate no more
    eagerly than the first.
  * the daemon's sweep of the hold queues (vm_pageout_free_hold) visits every page of every colour and moves
    it itself; the kernel's is vm_pageout_scan_hold, for one colour in each turn.
  * cached pages are freed up to the minimum, from one colour after the other; the kernel frees up to a
    target, by the global counts, in steps of PQ_PRIME2 colours.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from vmsmp.vm.observer import SweepBegun, SweepEnded
from vmsmp.vm.pmap.reverse import pmap_clear_reference, pmap_ts_referenced
from vmsmp.vm.vm_map.flags import VM_PROT_NONE
from vmsmp.vm.vm_meter.paging import vm_paging_target2
from vmsmp.vm.vm_object.object import OBJ_DEAD, OBJ_MIGHTBEDIRTY, OBJPC_TRY_TO_CACHE, OBJT_VNODE
from vmsmp.vm.vm_page.activity import vm_page_activate, vm_page_deactivate, vm_page_unqueue_nowakeup
from vmsmp.vm.vm_page.alloc import vm_page_select_cache
from vmsmp.vm.vm_page.busy import vm_page_busy_try, vm_page_flag_clear, vm_page_wakeup
from vmsmp.vm.vm_page.dirty import vm_page_dirty, vm_page_undirty
from vmsmp.vm.vm_page.flags import (
    ACT_ADVANCE,
    ACT_DECLINE,
    ACT_MAX,
    PG_FICTITIOUS,
    PG_MARKER,
    PG_NEED_COMMIT,
    PG_REFERENCED,
)
from vmsmp.vm.vm_page.free import vm_page_cache, vm_page_free
from vmsmp.vm.vm_page.holding import vm_page_hold, vm_page_unhold
from vmsmp.vm.vm_page.page import is_marker
from vmsmp.vm.vm_page.protect import vm_page_protect, vm_page_test_dirty
from vmsmp.vm.vm_page.queues import (
    _vm_page_add_queue_spinlocked,
    _vm_page_and_queue_spin_unlock,
    _vm_page_queue_spin_unlock,
    _vm_page_rem_queue_spinlocked,
    vm_page_and_queue_spin_lock,
    vm_page_spin_trylock,
    vm_page_spin_unlock,
)
from vmsmp.vm.vm_page.tailq import TAILQ_INSERT_AFTER, TAILQ_INSERT_HEAD, TAILQ_INSERT_TAIL, TAILQ_REMOVE
from vmsmp.vm.vm_pageout.flush import vm_pageout_flush
from vmsmp.vm.vnode import vget, vput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_object.object import VmObject
    from vmsmp.vm.vm_page.page import VmPage, Vpgqueues
    from vmsmp.vm.vnode import Vnode


def vm_pageout_free_hold(vm: VmSystem) -> int:
    """Move pages that are no longer held from the hold queues to the free queues; return how many.

    Locks: none held; the queue's spin, then page spins by trylock.
    """
    swept = 0
    for colour in range(vm.page.l2_size):
        pq = vm.page.vm_page_queues[vm.page.PQ_HOLD + colour]
        if pq.hint("tqh_first") is None:
            continue
        pq.spin.acquire()
        m = pq.tqh_first
        while m is not None:
            nxt = m.tqe_next
            if m.hold_count.load() == 0 and vm_page_spin_trylock(m):
                _vm_page_rem_queue_spinlocked(m)
                _vm_page_add_queue_spinlocked(m, vm.page.PQ_FREE + m.pc)
                _vm_page_queue_spin_unlock(m)
                vm_page_spin_unlock(m)
                swept += 1
                pq.spin.acquire()
                nxt = pq.tqh_first  # the list may have changed: start over
            m = nxt
        pq.spin.release()
    return swept


def vm_pageout_scan_hold(vm: VmSystem, q: int) -> None:
    """Free the first page of a hold queue if nobody holds it any more; those behind it are not looked at.

    Its last unhold is done once more.  Locks: takes the queue's spinlock, under which the page is held.
    """
    pq = vm.page.vm_page_queues[vm.page.PQ_HOLD + q]
    pq.spin.acquire()
    m = pq.tqh_first
    if m is None or m.hold_count.load():
        pq.spin.release()
        return
    vm_page_hold(m)
    pq.spin.release()
    vm_page_unhold(m)


@contextmanager
def _marker(vm: VmSystem, pq: Vpgqueues) -> Iterator[VmPage]:
    """Put a marker at the head of the queue, and remove it at the end.

    Locks: none held; takes the queue's spinlock.
    """
    marker = vm.page.marker(PG_FICTITIOUS | PG_MARKER)
    pq.spin.acquire()
    marker.queue = pq.index
    TAILQ_INSERT_HEAD(pq, marker)
    pq.spin.release()
    yield marker
    pq.spin.acquire()
    TAILQ_REMOVE(pq, marker)  # keep marker.queue: another scan may be about to lock that queue
    pq.spin.release()
    vm.page.markers.remove(marker)


def _tell(vm: VmSystem, event: SweepBegun | SweepEnded) -> None:
    for hook in vm.hooks.event:
        hook(vm.engine.current, event)


def _sweep(vm: VmSystem, base: int, visit: Callable[[VmPage], bool]) -> None:
    """Scan the queues of all colours of that type.  Locks: as `_scan`."""
    _tell(vm, SweepBegun(base))
    queues = vm.page.vm_page_queues[base : base + vm.page.l2_size]
    whole = [_scan(vm, pq, visit) for pq in queues]
    _tell(vm, SweepEnded(base, all(whole)))


def _scan(vm: VmSystem, pq: Vpgqueues, visit: Callable[[VmPage], bool]) -> bool:
    """Visit the pages of a queue behind a marker, each hard-busied, until `visit` returns False.

    Return whether all that were there have been passed.
    Locks: none held; takes a page's and its queue's spinlock for each step.  The next page is read
    without them and checked again under them, since it may have moved to another queue meanwhile.
    `visit` gets the page hard-busied and must release it.
    """
    if pq.hint("tqh_first") is None:
        return True
    with _marker(vm, pq) as marker:
        left = pq.hint("lcnt")  # leave pages that arrive meanwhile to the next pass
        while left > 0:
            m: VmPage | None = marker.hint("tqe_next")
            if m is None:
                break
            vm_page_and_queue_spin_lock(m)
            if m is not marker.tqe_next:
                _vm_page_and_queue_spin_unlock(m)
                continue
            TAILQ_REMOVE(pq, marker)
            TAILQ_INSERT_AFTER(pq, m, marker)
            left -= not is_marker(m)
            if m.flags.load() & PG_MARKER or vm_page_busy_try(m, True):
                _vm_page_and_queue_spin_unlock(m)
                continue
            _vm_page_and_queue_spin_unlock(m)
            if not visit(m):
                return False
    return True


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


def _leave(m: VmPage, base: int) -> int:
    """Leave the page for later, at the tail of its queue; return 0."""
    vm_page_requeue(m, base)
    vm_page_wakeup(m)
    return 0


def _unqueue_wired(m: VmPage) -> int:
    """Take a wired page off its queue; its last unwiring puts it back."""
    vm_page_unqueue_nowakeup(m)
    vm_page_wakeup(m)
    return 0


def _referenced_object(m: VmPage) -> bool:
    """Return whether the page is in an object that somebody references."""
    return m.object is not None and m.object.ref_count.load() != 0


# -- active pages ---------------------------------------------------------------------------------


def vm_pageout_scan_active(vm: VmSystem) -> int:
    """Age active pages; deactivate those whose act_count has run out, and return how many."""
    done = 0

    def visit(m: VmPage) -> bool:
        nonlocal done
        done += _age(m)
        return True

    _sweep(vm, vm.page.PQ_ACTIVE, visit)
    return done


def _age(m: VmPage) -> int:
    """Age an active page; return 1 if it is deactivated.  Locks: the page hard-busied; consumes the busy.

    A page that was used gains activity; any other loses some, and is deactivated when it has none left.
    """
    if m.wire_count.load():
        return _unqueue_wired(m)
    base = m.vm.page.PQ_ACTIVE
    used = 0
    if _referenced_object(m):
        used = bool(m.flags.load() & PG_REFERENCED) + pmap_ts_referenced(m)
    if used:
        m.publish("act_count", min(m.hint("act_count") + ACT_ADVANCE + used, ACT_MAX))
    vm_page_flag_clear(m, PG_REFERENCED)
    if used and _referenced_object(m):
        return _leave(m, base)
    act_count = m.hint("act_count")
    act_count -= min(act_count, ACT_DECLINE)
    m.publish("act_count", act_count)
    if act_count > 0 and _referenced_object(m):
        return _leave(m, base)
    vm_page_deactivate(m)
    vm_page_wakeup(m)
    return 1


# -- inactive pages -------------------------------------------------------------------------------


def vm_pageout_scan_inactive(vm: VmSystem) -> int:
    """Free, cache or launder inactive pages, activate used ones; return how many it gained."""
    done = 0

    def visit(m: VmPage) -> bool:
        nonlocal done
        done += vm_pageout_page(m)
        return vm_paging_target2(vm)

    _sweep(vm, vm.page.PQ_INACTIVE, visit)
    return done


def vm_pageout_page(m: VmPage) -> int:
    """Dispose of an inactive page; return 1 if it is gained.

    Locks: the page hard-busied by the caller; consumes the busy.  Sleeps: to unmap the page.
    """
    if m.wire_count.load():
        return _unqueue_wired(m)
    if m.hold_count.load():
        return _leave(m, m.vm.page.PQ_INACTIVE)
    if not _referenced_object(m):
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
    return _launder(m)


def _activate_used(m: VmPage, used: int) -> int:
    """Activate a page that was used so often since it became inactive, with a higher act_count."""
    vm_page_activate(m)
    m.publish("act_count", m.hint("act_count") + ACT_ADVANCE + used & 0xFF)
    vm_page_wakeup(m)
    return 0


def _launder(m: VmPage) -> int:
    """Write the page out; one whose object is dead or gone stays.  Locks: as `vm_pageout_page`."""
    if m.object is None or m.object.flags.bits(OBJ_DEAD):
        return _leave(m, m.vm.page.PQ_INACTIVE)
    if m.object.hint("type") == OBJT_VNODE:
        return _launder_file(m, m.object)
    vm_page_protect(m, VM_PROT_NONE)
    vm_page_undirty(m)
    if m.flags.bits(PG_NEED_COMMIT):
        vm_page_wakeup(m)
        return 0
    vm_page_cache(m)
    return 1


def _launder_file(m: VmPage, obj: VmObject) -> int:
    """Write the page of a file out with the vnode locked.

    To lock the vnode, the page is held and its busy dropped; then it is looked at again.

    Locks: the page hard-busied by the caller; consumes the busy.  Sleeps: for the vnode and the pager.
    """
    vm: VmSystem = m.vm
    vp: Vnode | None = obj.hint("handle")
    vm_page_hold(m)
    vm_page_wakeup(m)
    if vp is None:
        vm.panic("vget: page fault: the object has lost its vnode")
    if vget(vp):
        _skip(obj)
        vm_page_unhold(m)
        return 0
    if _moved(m, obj, vp):
        _skip(obj)
        vput(vp)
        vm_page_unhold(m)
        return 0
    if vm_page_busy_try(m, True):
        vput(vp)
        vm_page_unhold(m)
        return 0
    vm_page_unhold(m)
    if m.wire_count.load():
        vm_page_unqueue_nowakeup(m)
        vput(vp)
        vm_page_wakeup(m)
        return 0
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
        return 0
    done = vm_pageout_flush([m], OBJPC_TRY_TO_CACHE)
    vput(vp)
    return done


def _skip(obj: VmObject) -> None:
    """Count a skipped page if its file may be dirty; only other references keep the object meanwhile."""
    if obj.flags.load() & OBJ_MIGHTBEDIRTY:
        obj.vm.pageout.vnodes_skipped += 1


def _moved(m: VmPage, obj: VmObject, vp: Vnode) -> bool:
    """Whether the page is no longer an inactive page of that file, judged without a lock."""
    return (
        m.queue_base() != m.vm.page.PQ_INACTIVE or m.hint("object") is not obj or obj.hint("handle") is not vp
    )


# -- cached pages ---------------------------------------------------------------------------------


def vm_pageout_scan_cache(vm: VmSystem) -> int:
    """Free cached pages while free pages alone are short; return how many."""
    freed = 0
    while vm.mycpu().gd_vmstats.peek("v_free_count") < vm.meter.limits.v_free_min:
        m = vm_page_select_cache(vm, freed & vm.page.l2_mask)
        if m is None:
            break
        vm_page_protect(m, VM_PROT_NONE)
        vm_page_free(m)
        freed += 1
    return freed
