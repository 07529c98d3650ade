"""Holds and wirings, which keep a page from being reused.

Models: sys/vm/vm_page.c.
Locks: `wire_count` changes between 0 and 1 only under the hard busy.  Holds need no lock: the holder's
own interlock keeps the page off the free queues.
Deviations: none known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.vm_page.activity import vm_page_activate, vm_page_deactivate
from vmsmp.vm.vm_page.flags import PBUSY_LOCKED, PG_FICTITIOUS, PG_NEED_COMMIT, PG_UNQUEUED
from vmsmp.vm.vm_page.page import HOLD, WIRE
from vmsmp.vm.vm_page.queues import (
    _vm_page_add_queue_spinlocked,
    _vm_page_queue_spin_lock,
    _vm_page_queue_spin_unlock,
    _vm_page_rem_queue_spinlocked,
    vm_page_spin_lock,
    vm_page_spin_unlock,
)

if TYPE_CHECKING:
    from vmsmp.vm.vm_page.page import VmPage

# -- hold -----------------------------------------------------------------------------------------


def vm_page_hold(m: VmPage) -> None:
    """Keep the page from being reused; if it is freed meanwhile, it waits on a hold queue.

    Locks: a busy, a wiring or another interlock of the caller keeps it off the free queues.
    """
    m.hold_count.fetchadd(1)
    m.took(HOLD)
    if m.queue_base() == m.vm.page.PQ_FREE:
        m.vm.panic("vm_page_hold: page is free")


def vm_page_unhold(m: VmPage) -> None:
    """Drop a hold; the last hold on a page freed meanwhile moves it to its free queue.

    Locks: takes the page's spinlock, then two queues' in turn.  A concurrent free may leave the page
    on a hold queue with no holds; the pageout sweeps those.
    """
    if m.hold_count.load() <= 0 or m.queue_base() == m.vm.page.PQ_FREE:
        m.vm.panic("vm_page_unhold: page not held, or free")
    last = m.hold_count.fetchadd(-1) == 1
    m.gave(HOLD)
    if last and m.queue_base() == m.vm.page.PQ_HOLD:
        vm_page_spin_lock(m)
        if m.hold_count.load() == 0 and m.queue - m.pc == m.vm.page.PQ_HOLD:
            _vm_page_queue_spin_lock(m)
            _vm_page_rem_queue_spinlocked(m)
            _vm_page_add_queue_spinlocked(m, m.vm.page.PQ_FREE + m.pc)
            _vm_page_queue_spin_unlock(m)
        vm_page_spin_unlock(m)


# -- wire -----------------------------------------------------------------------------------------


def vm_page_wire(m: VmPage) -> None:
    """Wire the page; it stays on its queue, so code that takes pages off queues must check.

    Locks: the page hard-busied by the caller.  A fictitious page is always wired.
    """
    if not m.busy_count.bits(PBUSY_LOCKED):
        m.vm.panic("vm_page_wire: page not busy")
    if m.flags.bits(PG_FICTITIOUS):
        return
    first = m.wire_count.fetchadd(1) == 0
    m.took(WIRE)
    if first:
        m.vm.mycpu().gd_vmstats_adj.v_wire_count.fetchadd(1)


def vm_page_unwire(m: VmPage, activate: bool) -> None:
    """Drop a wiring; the last one puts the page on the active or the inactive queue.

    Locks: the page hard-busied by the caller.
    """
    if not m.busy_count.bits(PBUSY_LOCKED):
        m.vm.panic("vm_page_unwire: page not busy")
    if m.flags.bits(PG_FICTITIOUS):
        return
    if m.wire_count.load() <= 0:
        m.vm.panic("vm_page_unwire: wire count is zero")
    last = m.wire_count.fetchadd(-1) == 1
    m.gave(WIRE)
    if last:
        m.vm.mycpu().gd_vmstats_adj.v_wire_count.fetchadd(-1)
        flags = m.flags.load()
        if flags & PG_UNQUEUED:
            pass
        elif activate or flags & PG_NEED_COMMIT:
            vm_page_activate(m)
        else:
            vm_page_deactivate(m)
