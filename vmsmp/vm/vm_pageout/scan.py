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
  * a scan of inactive pages is told the passes that have failed, not how many pages are short; no emergency
    pager runs it.
  * a scan of active pages is told how many pages all queues lack, not the share of its queue, and goes on
    when neither free nor inactive pages are short any more; it does not count what it recycles.
  * the daemon's sweep of the hold queues (vm_pageout_free_hold) visits every page of every colour and moves
    it itself; the kernel's is vm_pageout_scan_hold, for one colour in each turn.
  * cached pages are freed up to the minimum, from one colour after the other; the kernel frees up to a
    target, by the global counts, in steps of PQ_PRIME2 colours.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from vmsmp.vm.observer import SweepBegun, SweepEnded
from vmsmp.vm.pmap.reverse import pmap_ts_referenced
from vmsmp.vm.vm_map.flags import VM_PROT_NONE
from vmsmp.vm.vm_meter.paging import vm_paging_target2
from vmsmp.vm.vm_object.object import OBJPC_ALLOW_ACTIVE, OBJPC_TRY_TO_CACHE, OBJT_DEFAULT, OBJT_SWAP
from vmsmp.vm.vm_page.activity import vm_page_deactivate
from vmsmp.vm.vm_page.alloc import vm_page_select_cache
from vmsmp.vm.vm_page.busy import vm_page_busy_try, vm_page_flag_clear, vm_page_flag_set, vm_page_wakeup
from vmsmp.vm.vm_page.flags import (
    ACT_ADVANCE,
    ACT_MAX,
    PG_FICTITIOUS,
    PG_MARKER,
    PG_NEED_COMMIT,
    PG_REFERENCED,
    PG_WINATCFLS,
)
from vmsmp.vm.vm_page.free import vm_page_cache, vm_page_free
from vmsmp.vm.vm_page.holding import vm_page_hold, vm_page_unhold
from vmsmp.vm.vm_page.page import is_marker
from vmsmp.vm.vm_page.protect import vm_page_protect
from vmsmp.vm.vm_page.queues import (
    _vm_page_add_queue_spinlocked,
    _vm_page_and_queue_spin_unlock,
    _vm_page_queue_spin_unlock,
    _vm_page_rem_queue_spinlocked,
    vm_page_and_queue_spin_lock,
    vm_page_spin_trylock,
    vm_page_spin_unlock,
)
from vmsmp.vm.vm_page.tailq import TAILQ_INSERT_AFTER, TAILQ_INSERT_HEAD, TAILQ_REMOVE
from vmsmp.vm.vm_pageout.page import Laundering, leave, referenced_object, unqueue_wired, vm_pageout_page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_page.page import VmPage, Vpgqueues
    from vmsmp.vm.vm_pageout.startup import Pageout

#: No scan of inactive pages writes more because of more passes.
MOST_PASSES: Final = 1000


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


def _sweep(vm: VmSystem, base: int, visitor: Callable[[], Callable[[VmPage], bool]]) -> None:
    """Scan the queues of all colours of that type, each with a `visit` of its own.  Locks: as `_scan`."""
    _tell(vm, SweepBegun(base))
    queues = vm.page.vm_page_queues[base : base + vm.page.l2_size]
    whole = [_scan(vm, pq, visitor()) for pq in queues]
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


# -- active pages ---------------------------------------------------------------------------------


def vm_pageout_scan_active(vm: VmSystem, passes: int = 0, avail_shortage: int = 0) -> int:
    """Age active pages; deactivate those whose act_count has run out, and return how many.

    `passes`: as for inactive pages; the more there are, the more activity a page needs to stay.
    `avail_shortage`: how many free and cached pages are missing; until so many have been deactivated, those
    that are clean are cached at once.
    """
    done = 0

    def visit(m: VmPage) -> bool:
        nonlocal done
        done += _age(m, passes, avail_shortage > done)
        return True

    _sweep(vm, vm.page.PQ_ACTIVE, lambda: visit)
    return done


def _age(m: VmPage, passes: int, short: bool) -> int:
    """Age an active page; return 1 if it is deactivated.  Locks: the page hard-busied; consumes the busy.

    A page that was used gains activity; any other loses some, and is deactivated when it has too little left.
    """
    if m.wire_count.load():
        return unqueue_wired(m)
    base = m.vm.page.PQ_ACTIVE
    used = 0
    if referenced_object(m):
        used = bool(m.flags.load() & PG_REFERENCED) + pmap_ts_referenced(m)
    if used:
        m.publish("act_count", min(m.hint("act_count") + ACT_ADVANCE + used, ACT_MAX))
    vm_page_flag_clear(m, PG_REFERENCED)
    if used and referenced_object(m):
        return leave(m, base)
    act_count = m.hint("act_count")
    act_count -= min(act_count, _decline(m))
    m.publish("act_count", act_count)
    if act_count > passes and referenced_object(m):
        return leave(m, base)
    _deactivate(m, short)
    return 1


def _decline(m: VmPage) -> int:
    """How much activity a page loses that was not used: one of a file more than one of anonymous memory.

    As in the kernel, its object is not asked for.
    """
    pageout: Pageout = m.vm.pageout
    if m.object is None:
        m.vm.panic("vm_pageout_scan_active: page fault: the page is in no object")
    if m.object.hint("type") in (OBJT_DEFAULT, OBJT_SWAP):
        return pageout.vm_anonmem_decline
    return pageout.vm_filemem_decline


def _deactivate(m: VmPage, short: bool) -> None:
    """Deactivate a page; unmap it first if pages are short or nobody references its object.

    One that is clean then is cached if pages are short.  Locks: as `_age`.  Sleeps: to unmap it.
    """
    if short or (m.object is not None and m.object.ref_count.load() == 0):
        vm_page_protect(m, VM_PROT_NONE)
        if short and m.hint("dirty") == 0 and not m.flags.bits(PG_NEED_COMMIT):
            vm_page_cache(m)
            return
    vm_page_deactivate(m)
    vm_page_wakeup(m)


# -- inactive pages -------------------------------------------------------------------------------


def vm_pageout_scan_inactive(vm: VmSystem, passes: int = 0) -> int:
    """Free, cache or launder inactive pages, activate used ones; return how many it gained.

    `passes`: a tenth of the passes of the daemon that have not reached their target.
    """
    passes = min(passes, MOST_PASSES)
    done = 0

    def visitor() -> Callable[[VmPage], bool]:
        laundering = Laundering(_max_launder(vm, passes))

        def visit(m: VmPage) -> bool:
            nonlocal done
            done += vm_pageout_page(m, laundering, passes, _vmflush_flags(m))
            return vm_paging_target2(vm)

        return visit

    _sweep(vm, vm.page.PQ_INACTIVE, visitor)
    return done


def _max_launder(vm: VmSystem, passes: int) -> int:
    """How many pages the scan of one queue may write; it shares vm.max_launder with all others."""
    most = vm.pageout.vm_max_launder
    launder = max(1, most * (passes + 1) // 1024 // 10)
    return launder if launder < most // 16 else most // 16 + 1


def _vmflush_flags(m: VmPage) -> int:
    """How a page would be written: with active ones, and to be cached if it has been passed over once."""
    pageout = m.vm.pageout
    if pageout.memuse_mode >= 3:
        vm_page_flag_set(m, PG_WINATCFLS)
    flags = OBJPC_ALLOW_ACTIVE if pageout.pageout_allow_active else 0
    return flags | (OBJPC_TRY_TO_CACHE if m.flags.bits(PG_WINATCFLS) else 0)


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
