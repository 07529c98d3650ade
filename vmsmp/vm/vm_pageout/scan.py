"""The pagedaemon's scans, as far as pages and their waiters need them.

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
  * dirty pages are laundered at once, without a pager, a cluster, a limit or a second lap.
  * wired pages stay on their queue; the kernel takes them off.  Held ones are requeued, and an active
    one is not aged; the kernel ages it.
  * an inactive page in an object without references is treated as any other; the kernel ignores its
    PG_REFERENCED.  Pages with PG_NEED_COMMIT stay where they are.
  * an active page that was used loses PG_REFERENCED and gains no credit; each other visit costs one.
    The kernel adds ACT_ADVANCE and more, and requeues the page.  Deactivation here never caches.
  * the sweep of the hold queues visits every page of every colour and moves it itself; the kernel's
    looks at the first page of one colour for each turn, holds it and unholds it.
  * cached pages are freed up to the minimum, from one colour after the other; the kernel frees up to a
    target, by the global counts, in steps of PQ_PRIME2 colours.
  * a page is requeued whatever queue it is on by then; the kernel asks whether it is still of that type.
  * an invalid page of an object is cached, and a valid one of none freed; the kernel frees the first, and
    caches or launders the second.
  * `act_count` is changed in one step.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from vmsmp.vm.vm_meter.paging import vm_paging_target2
from vmsmp.vm.vm_page.activity import vm_page_activate, vm_page_deactivate
from vmsmp.vm.vm_page.alloc import vm_page_select_cache
from vmsmp.vm.vm_page.busy import vm_page_busy_try, vm_page_flag_clear, vm_page_wakeup
from vmsmp.vm.vm_page.dirty import vm_page_undirty
from vmsmp.vm.vm_page.flags import PG_FICTITIOUS, PG_MARKER, PG_NEED_COMMIT, PG_REFERENCED, PG_UNQUEUED
from vmsmp.vm.vm_page.free import vm_page_cache, vm_page_free
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

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_page.page import VmPage, Vpgqueues


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


def _scan(vm: VmSystem, pq: Vpgqueues, visit: Callable[[VmPage], bool]) -> None:
    """Visit the pages of a queue behind a marker, each hard-busied, until `visit` returns False.

    Locks: none held; takes a page's and its queue's spinlock for each step.  The next page is read
    without them and checked again under them, since it may have moved to another queue meanwhile.
    `visit` gets the page hard-busied and must release it.
    """
    if pq.hint("tqh_first") is None:
        return
    with _marker(vm, pq) as marker:
        left = pq.hint("lcnt")  # leave pages that arrive meanwhile to the next pass
        while left > 0:
            m: VmPage | None = marker.hint("tqe_next")
            if m is None:
                return
            vm_page_and_queue_spin_lock(m)
            if m is not marker.tqe_next:
                _vm_page_and_queue_spin_unlock(m)
                continue
            left -= 1
            TAILQ_REMOVE(pq, marker)
            TAILQ_INSERT_AFTER(pq, m, marker)
            if m.flags.load() & PG_MARKER or vm_page_busy_try(m, True):
                _vm_page_and_queue_spin_unlock(m)
                continue
            _vm_page_and_queue_spin_unlock(m)
            if not visit(m):
                return


def vm_page_requeue(m: VmPage) -> None:
    """Move the page to the tail of its queue, so that the next passes look at others first.

    Locks: the page hard-busied by the caller.  Neither the queue nor its type changes, so the queue's
    spinlock alone would suffice.
    """
    vm_page_and_queue_spin_lock(m)
    if m.queue:
        pq = m.vm.page.vm_page_queues[m.queue]
        TAILQ_REMOVE(pq, m)
        TAILQ_INSERT_TAIL(pq, m)
    _vm_page_and_queue_spin_unlock(m)


def _usable(m: VmPage) -> bool:
    """Return whether the pageout may process the page, which it has hard-busied."""
    return not (m.hold_count.load() or m.wire_count.load() or m.flags.load() & (PG_UNQUEUED | PG_FICTITIOUS))


def vm_pageout_scan_active(vm: VmSystem) -> None:
    """Age active pages; deactivate those whose act_count has run out."""

    def visit(m: VmPage) -> bool:
        if m.queue_base() == vm.page.PQ_ACTIVE and _usable(m):
            if m.flags.load() & PG_REFERENCED:
                vm_page_flag_clear(m, PG_REFERENCED)
            elif m.act_count > 0:
                m.act_count -= 1
            else:
                vm_page_deactivate(m)
        vm_page_wakeup(m)
        return True

    for colour in range(vm.page.l2_size):
        _scan(vm, vm.page.vm_page_queues[vm.page.PQ_ACTIVE + colour], visit)


def vm_pageout_scan_inactive(vm: VmSystem) -> int:
    """Cache clean inactive pages, launder dirty ones, activate used ones; return how many it gained."""
    done = 0

    def visit(m: VmPage) -> bool:
        nonlocal done
        if m.queue_base() != vm.page.PQ_INACTIVE:
            vm_page_wakeup(m)
            return True
        if not _usable(m):
            vm_page_requeue(m)
            vm_page_wakeup(m)
            return True
        if m.object is None:
            vm_page_protect(m, 0)
            vm_page_free(m)  # an allocator had set it aside
            done += 1
            return vm_paging_target2(vm)
        if m.flags.load() & PG_REFERENCED:
            vm_page_flag_clear(m, PG_REFERENCED)
            vm_page_activate(m)
            vm_page_wakeup(m)
            return True
        vm_page_test_dirty(m)
        if m.dirty:
            vm_page_protect(m, 0)
            vm_page_undirty(m)
        if m.flags.load() & PG_NEED_COMMIT:
            vm_page_wakeup(m)
            return True
        vm_page_cache(m)
        done += 1
        return vm_paging_target2(vm)

    for colour in range(vm.page.l2_size):
        _scan(vm, vm.page.vm_page_queues[vm.page.PQ_INACTIVE + colour], visit)
    return done


def vm_pageout_scan_cache(vm: VmSystem) -> int:
    """Free cached pages while free pages alone are short; return how many."""
    freed = 0
    while vm.mycpu().gd_vmstats.peek("v_free_count") < vm.meter.limits.v_free_min:
        m = vm_page_select_cache(vm, freed & vm.page.l2_mask)
        if m is None:
            break
        vm_page_protect(m, 0)
        vm_page_free(m)
        freed += 1
    return freed
