"""Visiting the pages of a range for the limit of resident pages, and unwiring an entry.

Models: pmap_pgscan, its callback and pmap_unwire of sys/platform/pc64/x86_64/pmap.c.
The callback that stops a scan says in `offset` where it stopped.
Locks: see `scan`; a page is busied by trying, under the placemark, and looked at again.
Deviations: none known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.mmu.entry import PG_V, index_of
from vmsmp.vm.pmap.bits import PG_MANAGED, PG_W, pmap_pt_pindex
from vmsmp.vm.pmap.entries import page_named, page_of, pmap_pte, pv_pte_lookup
from vmsmp.vm.pmap.placemark import pv_placemarker_wakeup
from vmsmp.vm.pmap.pv import pv_get, pv_lock, pv_put, pv_unlock
from vmsmp.vm.pmap.scan import PmapScanInfo, pmap_scan
from vmsmp.vm.vm_page.busy import vm_page_busy_try, vm_page_wakeup
from vmsmp.vm.vm_page.quick import vm_page_unwire_quick, vm_page_wire_quick

if TYPE_CHECKING:
    from collections.abc import Callable

    from vmsmp.sync.atomic import Atomic
    from vmsmp.vm.pmap.pmap import Placemark, Pmap, PvEntry
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_page.page import VmPage


class PmapPgscanInfo:
    """struct pmap_pgscan_info: `callback(info, va, m)` has each page hard-busied, and disposes of it.

    It returns a negative number to stop, and says in `offset` where.  `busycount` counts busy pages.
    """

    __slots__ = (
        "actioncount",
        "beg_addr",
        "busycount",
        "callback",
        "cleancount",
        "end_addr",
        "limit",
        "offset",
        "pmap",
    )

    def __init__(
        self,
        pmap: Pmap,
        beg_addr: int,
        end_addr: int,
        callback: Callable[[PmapPgscanInfo, int, VmPage], int],
        limit: int = 0,
    ) -> None:
        self.pmap = pmap
        self.beg_addr = beg_addr
        self.end_addr = end_addr
        self.callback = callback
        self.limit = limit
        self.offset = beg_addr
        self.busycount = self.cleancount = self.actioncount = 0


def pmap_pgscan(pginfo: PmapPgscanInfo) -> None:
    """Visit the pages that a range of addresses maps.  Sleeps: as `pmap_scan`, and in the callback."""

    def visit(info: PmapScanInfo, pmark: Placemark, pt_pv: PvEntry | None, va: int, ptep: Atomic) -> None:
        pmap_pgscan_callback(pginfo, info, pmark, pt_pv, va, ptep)

    pginfo.offset = pginfo.beg_addr
    info = PmapScanInfo(pginfo.pmap, pginfo.beg_addr, pginfo.end_addr, visit)
    pmap_scan(info, False)
    if not info.stop:
        pginfo.offset = pginfo.end_addr


def pmap_pgscan_callback(
    pginfo: PmapPgscanInfo,
    info: PmapScanInfo,
    pmark: Placemark,
    pt_pv: PvEntry | None,
    va: int,
    ptep: Atomic,
) -> None:
    """Busy the page of an entry, and hand it over once the placemark and the lock are released."""
    vm: VmSystem = info.pmap.vm
    pte = ptep.load()
    if not pte & PG_MANAGED:
        pv_placemarker_wakeup(pmark)
        return
    m = page_named(vm, pte)
    if vm_page_busy_try(m, True):
        pginfo.busycount += 1
        pv_placemarker_wakeup(pmark)
        return
    pte = ptep.load()
    if not pte & PG_V or page_named(vm, pte) is not m:
        vm_page_wakeup(m)
        pv_placemarker_wakeup(pmark)
        return
    pv_placemarker_wakeup(pmark)
    if pt_pv is not None:
        vm_page_wire_quick(page_of(pt_pv))
        pv_unlock(pt_pv)
    if pginfo.callback(pginfo, va, m) < 0:
        info.stop = True
    if pt_pv is not None:
        pv_lock(pt_pv)
        if vm_page_unwire_quick(page_of(pt_pv)):
            vm.panic("pmap_pgscan: table page was wired once only")


def pmap_unwire(pmap: Pmap, va: int) -> VmPage | None:
    """Mark the mapping of an address as not wired; return its page, which stays wired, or None.

    Locks: takes the lock of the PT page, and not the placemark.  Sleeps: for it.
    """
    vm: VmSystem = pmap.vm
    if pmap is vm.pmap.kernel_pmap:
        ptep = pmap_pte(pmap, va)
        return None if ptep is None else _unwire(pmap, ptep)
    pt_pv, _ = pv_get(pmap, pmap_pt_pindex(va))
    if pt_pv is None:
        return None
    m = _unwire(pmap, pv_pte_lookup(pt_pv, index_of(va, 1)))
    pv_put(pt_pv)
    return m


def _unwire(pmap: Pmap, ptep: Atomic) -> VmPage | None:
    """Clear PG_W of an entry by a locked operation, since a CPU may set A and M at the same time."""
    pte = ptep.load()
    if not pte & PG_V:
        return None
    if pte & PG_W:
        pmap.wired_count.fetchadd(-1)
    ptep.clearbits(PG_W)
    return page_named(pmap.vm, ptep.load())
