"""The limit of a process' resident pages: removing mappings of a process that has too many.

Models: vm_pageout_map_deactivate_pages and vm_pageout_mdp_callback of sys/vm/vm_pageout.c.
A scan goes through the process' mappings, from where the last one stopped, and removes those that were not
used.  A page that is not mapped any more is deactivated, and written or freed.
Locks: none on entry; a page is hard-busied by trying.  `pgout_offset` of a map is read and stored by scans
without a lock.
Deviations:
  * no statistics of the daemon (`v_pdpages`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vmsmp.vm.pmap.pgscan import PmapPgscanInfo, pmap_pgscan
from vmsmp.vm.pmap.pmap import pmap_resident_tlnw_count
from vmsmp.vm.pmap.reverse import pmap_mapped_sync, pmap_remove_specific, pmap_ts_referenced
from vmsmp.vm.vm_map.flags import VM_MAX_USER_ADDRESS, VM_MIN_USER_ADDRESS
from vmsmp.vm.vm_object.object import OBJPC_ALLOW_ACTIVE, OBJPC_SYNC, OBJPC_TRY_TO_CACHE
from vmsmp.vm.vm_page.activity import vm_page_activate, vm_page_deactivate
from vmsmp.vm.vm_page.busy import vm_page_flag_clear, vm_page_flag_set, vm_page_wakeup
from vmsmp.vm.vm_page.flags import ACT_MAX, PG_MAPPED, PG_REFERENCED, PG_UNQUEUED, PG_WINATCFLS
from vmsmp.vm.vm_page.queues import vm_page_and_queue_spin_lock, vm_page_and_queue_spin_unlock
from vmsmp.vm.vm_pageout.page import Laundering, vm_pageout_page

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_map.map import VmMap
    from vmsmp.vm.vm_page.page import VmPage

#: How many more scans are made after the first one.
RETRIES: Final = 3
#: More pages than are ever written with one.
_MAX_LAUNDER: Final = 0x7FFF


def vm_pageout_map_deactivate_pages(map: VmMap, limit: int) -> None:
    """Remove mappings of a map until it has `limit` resident pages, in RETRIES more scans at most.

    Locks: none.  Sleeps: as `pmap_pgscan`, and to write pages.
    """
    retries = RETRIES
    offset = map.pgout_offset
    while True:
        offset = max(offset, VM_MIN_USER_ADDRESS)
        if offset >= VM_MAX_USER_ADDRESS:
            offset = 0
        info = PmapPgscanInfo(map.pmap, offset, VM_MAX_USER_ADDRESS, vm_pageout_mdp_callback, limit)
        pmap_pgscan(info)
        offset = info.offset
        if pmap_resident_tlnw_count(map.pmap) <= limit:
            break
        if offset == VM_MAX_USER_ADDRESS:
            if not retries:
                break
            retries -= 1
    map.pgout_offset = offset


def vm_pageout_mdp_callback(info: PmapPgscanInfo, va: int, p: VmPage) -> int:
    """Look at one page; return -1 if few enough pages are resident now, else 0.

    Locks: the page hard-busied by the caller; consumes the busy.  Sleeps: to unmap and to write it.
    """
    vm: VmSystem = p.vm
    if pmap_resident_tlnw_count(info.pmap) <= info.limit:
        vm_page_wakeup(p)
        return -1
    if p.wire_count.load() or p.hold_count.load() or p.flags.bits(PG_UNQUEUED):
        vm_page_wakeup(p)
    else:
        info.actioncount += 1
        _act(info, va, p)
    vm.pause_tokens("lwkt_user_yield")
    return 0


def _act(info: PmapPgscanInfo, va: int, p: VmPage) -> None:
    """Activate a page that was used; remove this process' mapping of any other."""
    vm: VmSystem = p.vm
    used = pmap_ts_referenced(p)
    if used:
        vm_page_flag_set(p, PG_REFERENCED)
    elif p.flags.load() & PG_REFERENCED:
        used = 1
    if used:
        if p.queue_base() == vm.page.PQ_ACTIVE:
            p.publish("act_count", min(p.hint("act_count") + used, ACT_MAX))
        else:
            vm_page_and_queue_spin_lock(p)
            inactive = p.queue_base() != vm.page.PQ_ACTIVE
            vm_page_and_queue_spin_unlock(p)
            if inactive:
                vm_page_activate(p)
        vm_page_flag_clear(p, PG_REFERENCED)
        vm_page_wakeup(p)
        return
    pmap_remove_specific(info.pmap, p)
    clean = False
    if not (p.flags.load() & PG_MAPPED and pmap_mapped_sync(p) & PG_MAPPED):
        if p.queue_base() == vm.page.PQ_ACTIVE:
            vm_page_deactivate(p)
        clean = p.queue_base() == vm.page.PQ_INACTIVE
    if not clean:
        vm_page_wakeup(p)
        return
    info.offset = va
    if vm.pageout.memuse_mode >= 2:
        info.cleancount += _clean(p)
    else:
        vm_page_wakeup(p)
        info.cleancount += 1


def _clean(p: VmPage) -> int:
    """Write a page, or free it; return how many were gained.  Locks: consumes the busy."""
    flags = OBJPC_TRY_TO_CACHE | OBJPC_ALLOW_ACTIVE
    if not p.vm.pager.swap_user_async:
        flags |= OBJPC_SYNC
    vm_page_flag_set(p, PG_WINATCFLS)
    return vm_pageout_page(p, Laundering(_MAX_LAUNDER), 1, flags)
