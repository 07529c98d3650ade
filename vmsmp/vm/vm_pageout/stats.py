"""Aging the pages of active queues while the pagedaemon is idle, so that it knows what is used.

Models: vm_pageout_page_stats of sys/vm/vm_pageout.c.
Each call looks at one colour, at a part of its queue, and now and then at all of it.
Locks: none held; those of a scan.
Deviations:
  * the statistics are the caller's; the kernel's daemon goes through all colours each time it was idle for
    five seconds.
  * they are kept whatever is short of what.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmsmp.vm.pmap.reverse import pmap_ts_referenced
from vmsmp.vm.vm_map.flags import VM_PROT_NONE
from vmsmp.vm.vm_page.activity import vm_page_deactivate, vm_page_unqueue_nowakeup
from vmsmp.vm.vm_page.busy import vm_page_flag_clear, vm_page_wakeup
from vmsmp.vm.vm_page.flags import ACT_ADVANCE, ACT_DECLINE, ACT_MAX, PG_REFERENCED
from vmsmp.vm.vm_page.protect import vm_page_protect
from vmsmp.vm.vm_pageout.page import vm_page_requeue
from vmsmp.vm.vm_pageout.scan import _scan

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_page.page import VmPage


@dataclass(slots=True)
class PageStats:
    """The seconds between two calls for a colour, and between two that look at all; pages of a part."""

    interval: int = 5
    full_interval: int = 20
    max: int = 1
    #: The seconds since the last call that looked at all.
    fullintervalcount: int = 0


def vm_pageout_page_stats(vm: VmSystem, stats: PageStats, q: int) -> None:
    """Age pages of a colour's active queue.

    Locks: none held.  Sleeps: to unmap pages that were not used.
    """
    pq = vm.page.vm_page_queues[vm.page.PQ_ACTIVE + q]
    pcount = pq.hint("lcnt")
    stats.fullintervalcount += stats.interval
    if stats.fullintervalcount < stats.full_interval:
        pcount = min(pcount, stats.max * pcount // vm.meter.v_page_count + 1)
    else:
        stats.fullintervalcount = 0

    def visit(m: VmPage) -> bool:
        nonlocal pcount
        _age(m)
        pcount -= 1
        return bool(pcount > 0)

    if pcount:
        _scan(vm, pq, visit)


def _age(m: VmPage) -> None:
    """Give the page credit if it was used, and take some if not; one without is deactivated.

    Locks: the page hard-busied by the caller; consumes the busy.
    """
    base = m.vm.page.PQ_ACTIVE
    if m.wire_count.load():
        vm_page_unqueue_nowakeup(m)
    elif not m.hold_count.load():
        used = bool(m.flags.load() & PG_REFERENCED)
        if used:
            vm_page_flag_clear(m, PG_REFERENCED)
        actcount = used + pmap_ts_referenced(m)
        act_count = m.hint("act_count")
        if actcount:
            m.publish("act_count", min(act_count + ACT_ADVANCE + actcount, ACT_MAX))
            vm_page_requeue(m, base)
        elif act_count == 0:
            vm_page_protect(m, VM_PROT_NONE)
            vm_page_deactivate(m)
        else:
            m.publish("act_count", act_count - min(act_count, ACT_DECLINE))
            vm_page_requeue(m, base)
    vm_page_wakeup(m)
