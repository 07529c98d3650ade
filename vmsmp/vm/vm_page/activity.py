"""Moving a page between the active and inactive queues.

Models: sys/vm/vm_page.c.
Locks: none held; take the page's spinlock, then one queue's after the other.
Deviations:
  * no file system commits pages: PG_NEED_COMMIT is only a flag.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.pmap.reverse import pmap_clear_reference
from vmsmp.vm.vm_page.busy import vm_page_flag_clear
from vmsmp.vm.vm_page.flags import ACT_INIT, PG_FICTITIOUS, PG_REFERENCED, PG_UNQUEUED, PG_WINATCFLS
from vmsmp.vm.vm_page.protect import vm_page_test_dirty
from vmsmp.vm.vm_page.queues import (
    _vm_page_add_queue_spinlocked,
    _vm_page_and_queue_spin_unlock,
    _vm_page_queue_spin_lock,
    _vm_page_queue_spin_unlock,
    _vm_page_rem_queue_spinlocked,
    vm_page_and_queue_spin_lock,
    vm_page_spin_lock,
    vm_page_spin_unlock,
)
from vmsmp.vm.vm_page.wait import pagedaemon_wakeup

if TYPE_CHECKING:
    from vmsmp.vm.vm_page.page import VmPage

NO_QUEUE = PG_FICTITIOUS | PG_UNQUEUED


# -- active, inactive -----------------------------------------------------------------------------


def vm_page_unqueue_nowakeup(m: VmPage) -> None:
    """Take the page off its queue.  Locks: none held; takes the page's and the queue's spinlock."""
    vm_page_and_queue_spin_lock(m)
    _vm_page_rem_queue_spinlocked(m)
    vm_page_spin_unlock(m)


def vm_page_unqueue(m: VmPage) -> None:
    """Take the page off its queue; wake the pagedaemon if it was free or cached and pages are short."""
    vm_page_and_queue_spin_lock(m)
    base = _vm_page_rem_queue_spinlocked(m)
    vm_page_spin_unlock(m)
    if base in (m.vm.page.PQ_FREE, m.vm.page.PQ_CACHE):
        _pagedaemon_wakeup(m)


def vm_page_activate(m: VmPage) -> None:
    """Move the page to its active queue, with an act_count of at least ACT_INIT.

    Locks: none held; takes the page's spinlock, then the queues'.  The caller's interlock keeps the
    page valid and off the free queues.  Wired pages may be on queues too.
    """
    vm = m.vm
    if m.queue_base() != vm.page.PQ_ACTIVE and not m.flags.bits(NO_QUEUE):
        vm_page_spin_lock(m)
        if m.queue - m.pc != vm.page.PQ_ACTIVE and not m.flags.bits(NO_QUEUE):
            _vm_page_queue_spin_lock(m)
            oqueue = _vm_page_rem_queue_spinlocked(m)
            if oqueue == vm.page.PQ_CACHE:
                vm.mycpu().v_reactivated += 1
            _raise_act_count(m)
            _vm_page_add_queue_spinlocked(m, vm.page.PQ_ACTIVE + m.pc)
            _vm_page_and_queue_spin_unlock(m)
            if oqueue in (vm.page.PQ_CACHE, vm.page.PQ_FREE):
                _pagedaemon_wakeup(m)
            return
        _raise_act_count(m)
        vm_page_spin_unlock(m)
    else:
        _raise_act_count(m)


def _vm_page_deactivate_locked(m: VmPage, athead: bool) -> None:
    """Move the page to its inactive queue.

    Locks: the page's spinlock held, also on return; takes the queues'.
    """
    vm = m.vm
    if m.queue - m.pc == vm.page.PQ_INACTIVE or m.flags.bits(NO_QUEUE):
        return
    _vm_page_queue_spin_lock(m)
    oqueue = _vm_page_rem_queue_spinlocked(m)
    if not m.flags.bits(NO_QUEUE):
        if oqueue == vm.page.PQ_CACHE:
            vm.mycpu().v_reactivated += 1
        vm_page_flag_clear(m, PG_WINATCFLS)
        _vm_page_add_queue_spinlocked(m, vm.page.PQ_INACTIVE + m.pc, athead)
        if not athead:
            vm.page.vm_page_queues[m.queue].adds += 1
    _vm_page_queue_spin_unlock(m)


def vm_page_deactivate_locked(m: VmPage) -> None:
    """Move the page to the tail of its inactive queue.  Locks: the page's spinlock held, also on return."""
    _vm_page_deactivate_locked(m, athead=False)


def vm_page_soft_activate(m: VmPage) -> None:
    """`vm_page_activate` for a page that may be only soft-busied: takes no lock if it is active already."""
    if m.queue_base() == m.vm.page.PQ_ACTIVE or m.flags.bits(NO_QUEUE):
        _raise_act_count(m)
    else:
        vm_page_activate(m)


def vm_page_deactivate(m: VmPage) -> None:
    """Move the page to its inactive queue, unless it is there.

    Locks: none held; takes the page's spinlock, after a test without it.
    """
    if m.queue_base() != m.vm.page.PQ_INACTIVE and not m.flags.bits(NO_QUEUE):
        vm_page_spin_lock(m)
        _vm_page_deactivate_locked(m, athead=False)
        vm_page_spin_unlock(m)


def vm_page_dontneed(m: VmPage) -> None:
    """Deactivate a page that will not be needed soon; every few calls, let it age instead.

    A dirty page goes to the tail, a clean one mostly to the head.  One counter for the whole system
    decides; CPUs race for it.  An inactive or cached page only ages.
    Locks: the page busied by the caller; takes the page's spinlock.  Sleeps: as `pmap_clear_reference`.
    """
    page = m.vm.page
    weight = page.dnweight.load() + 1
    page.dnweight.store(weight)
    if weight & 0x01F0 == 0 or m.queue_base() in (page.PQ_INACTIVE, page.PQ_CACHE):
        act_count = m.hint("act_count")
        if act_count >= ACT_INIT:
            m.publish("act_count", act_count - 1)
        return
    vm_page_flag_clear(m, PG_REFERENCED)
    pmap_clear_reference(m)
    if m.hint("dirty") == 0:
        vm_page_test_dirty(m)
    athead = m.hint("dirty") == 0 and weight & 0x0070 != 0
    vm_page_spin_lock(m)
    _vm_page_deactivate_locked(m, athead)
    vm_page_spin_unlock(m)


def _raise_act_count(m: VmPage) -> None:
    """Raise the act_count to ACT_INIT at least; no lock protects it."""
    if m.hint("act_count") < ACT_INIT:
        m.publish("act_count", ACT_INIT)


def _pagedaemon_wakeup(m: VmPage) -> None:
    pagedaemon_wakeup(m.vm)
