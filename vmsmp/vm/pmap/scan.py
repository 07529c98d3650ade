"""Visiting the entries of a range of addresses, each under its placemark.

Models: pmap_scan and its callbacks of sys/platform/pc64/x86_64/pmap.c.
A scan locks the pv entries of the PD and of the PT from the top down, against the order of enters; so it
only tries to lock what is below, and gives everything up before it waits.
Locks: takes placemarks and the locks of table pages.  Sleeps: for those, and to let others run.
Deviations:
  * struct pmap_scan_info lacks the PD indexes, which a scan computes, and `arg`, which a callback has bound.
  * the kernel's tables are there for every address that is scanned.
  * a run of absent PTs is passed at once; the kernel looks each of them up.
  * an entry of a user's table that no CPU has ever looked at is passed without a visible operation: it is
    empty, and stays so while the PT's pv entry is locked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from vmsmp.mmu.entry import PAGE_SIZE, PG_V, index_of
from vmsmp.vm.pmap.bits import (
    NBPDP,
    NBPDR,
    PD_BASE,
    PDPSHIFT,
    PDRSHIFT,
    PT_BASE,
    pmap_pd_pindex,
    pmap_pt_pindex,
    pmap_pte_pindex,
)
from vmsmp.vm.pmap.entries import page_of, pv_pte_lookup, vtopte
from vmsmp.vm.pmap.placemark import pv_placemarker_wait, pv_placemarker_wakeup
from vmsmp.vm.pmap.pv import pv_get, pv_get_try, pv_lock, pv_put, pv_unlock
from vmsmp.vm.pmap_inval.bulk import pmap_inval_bulk_flush, pmap_inval_bulk_init
from vmsmp.vm.vm_page.quick import vm_page_unwire_quick, vm_page_wire_quick

if TYPE_CHECKING:
    from vmsmp.sync.atomic import Atomic
    from vmsmp.vm.pmap.pmap import Placemark, Pmap, PvEntry
    from vmsmp.vm.pmap_inval.bulk import PmapInvalBulk
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_page.page import VmPage

#: A scan lets others run after so many entries, and after so many PDs.
_YIELD_ENTRIES: Final = 64
_YIELD_PDS: Final = 8


class ScanFunc(Protocol):
    """What is done to an entry: it consumes the placemark, and leaves the PT's pv entry locked."""

    def __call__(
        self, info: PmapScanInfo, pmark: Placemark, pt_pv: PvEntry | None, va: int, ptep: Atomic
    ) -> None: ...


class PmapScanInfo:
    """struct pmap_scan_info: a scan of the addresses from `sva` up to `eva`.  `stop` ends it."""

    __slots__ = ("bulk", "count", "eva", "func", "pmap", "stop", "sva")

    def __init__(self, pmap: Pmap, sva: int, eva: int, func: ScanFunc) -> None:
        self.pmap = pmap
        self.sva = sva
        self.eva = eva
        self.func = func
        #: The invalidations to send; None for a scan that invalidates nothing.
        self.bulk: PmapInvalBulk | None = None
        self.count = 0
        self.stop = False

    @property
    def kernel(self) -> bool:
        """Whether it is a scan of the kernel's addresses, which have no pv entries."""
        return self.pmap is self.pmap.vm.pmap.kernel_pmap


def pmap_scan(info: PmapScanInfo, smp_inval: bool) -> None:
    """Call `info.func` for every entry of the range; with `smp_inval`, invalidate what it changes."""
    if info.sva == info.eva:
        return
    if smp_inval:
        info.bulk = pmap_inval_bulk_init(info.pmap)
    if info.sva + PAGE_SIZE == info.eva:
        _scan_page(info)
    elif info.kernel:
        for base in range(info.sva & -NBPDP, info.eva, NBPDP):
            if info.stop:
                break
            _Walk(info, base).run()
    else:
        _scan_directories(info)
    if info.bulk is not None:
        pmap_inval_bulk_flush(info.bulk)


def _scan_page(info: PmapScanInfo) -> None:
    """Scan one page: its placemark, and the lock of its PT, if there is one."""
    pmap, va = info.pmap, info.sva
    _, pmark = pv_get(pmap, pmap_pte_pindex(va), mark=True)
    assert pmark is not None  # a leaf entry has no pv entry
    pt_pv = None
    if not info.kernel:
        pt_pv, pt_mark = pv_get(pmap, pmap_pt_pindex(va), mark=True)
        if pt_mark is not None:
            pv_placemarker_wakeup(pt_mark)
            pv_placemarker_wakeup(pmark)
            return
    ptep = _entry(pmap.vm, pt_pv, va)
    _visit(info, pmark, pt_pv, va, ptep)
    if pt_pv is not None:
        pv_put(pt_pv)


def _entry(vm: VmSystem, pt_pv: PvEntry | None, va: int) -> Atomic:
    return vtopte(vm, va) if pt_pv is None else pv_pte_lookup(pt_pv, index_of(va, 1))


def _visit(info: PmapScanInfo, pmark: Placemark, pt_pv: PvEntry | None, va: int, ptep: Atomic) -> None:
    """Call the scan's function for the entry, unless it is empty by now."""
    oldpte = ptep.load()
    if not oldpte:
        pv_placemarker_wakeup(pmark)
        return
    if not oldpte & PG_V:
        info.pmap.vm.panic("pmap_scan: entry is neither valid nor empty")
    info.func(info, pmark, pt_pv, va, ptep)


def _scan_directories(info: PmapScanInfo) -> None:
    """RB_SCAN over the PDs of a user's pmap.  pm_spin is released for each, and the next one looked up."""
    pmap = info.pmap
    at, last = pmap_pd_pindex(info.sva), pmap_pd_pindex(info.eva - 1)
    number = 0
    pmap.pm_spin.acquire()
    while not info.stop:
        pindex = next(pmap.pm_pvroot.irange(at, last), None)
        if pindex is None:
            break
        pmap.pm_spin.release()
        _Walk(info, pindex - PD_BASE << PDPSHIFT).run()
        number += 1
        if number % _YIELD_PDS == 0:
            pmap.vm.pause_tokens("lwkt_user_yield")
        at = pindex + 1
        pmap.pm_spin.acquire()
    pmap.pm_spin.release()


class _Walk:
    """pmap_scan_callback: the part of a scan in the addresses of one PD.

    `pd_pv` and `pt_pv` are locked, if there are any; `va` is the next address.
    """

    __slots__ = ("end", "info", "pd_pv", "pt_pv", "va")

    def __init__(self, info: PmapScanInfo, base: int) -> None:
        self.info = info
        self.va = max(info.sva, base)
        self.end = min(info.eva, base + NBPDP)
        self.pd_pv: PvEntry | None = None
        self.pt_pv: PvEntry | None = None

    def run(self) -> None:
        """Visit the entries."""
        while self.va < self.end and not self.info.stop:
            if self.info.kernel or self._lock_tables():
                self._scan_table(min((self.va + NBPDR) & -NBPDR, self.end))
        self._put_both()

    def _put_both(self) -> None:
        for pv in (self.pd_pv, self.pt_pv):
            if pv is not None:
                pv_put(pv)
        self.pd_pv = self.pt_pv = None

    def _lock_tables(self) -> bool:
        """Lock the pv entries of the address's PD and PT; return False to look again from `va` on."""
        pmap = self.info.pmap
        pindex = pmap_pd_pindex(self.va)
        if self.pd_pv is not None and not _matches(self.pd_pv, pmap, pindex):
            pv_put(self.pd_pv)
            self.pd_pv = None
        if self.pd_pv is None:
            self.pd_pv, _ = pv_get(pmap, pindex)
            if self.pd_pv is None:
                self.va = (self.va + NBPDP) & -NBPDP
                return False
        pindex = pmap_pt_pindex(self.va)
        if self.pt_pv is not None and not _matches(self.pt_pv, pmap, pindex):
            pv_put(self.pt_pv)
            self.pt_pv = None
        return self.pt_pv is not None or self._lock_table(pindex)

    def _lock_table(self, pindex: int) -> bool:
        """Lock the PT's pv entry; return False if that had to be waited for, or if there is none."""
        pt_pv, pt_mark, failed = pv_get_try(self.info.pmap, pindex, mark=True)
        if failed:
            if self.pd_pv is not None:
                pv_put(self.pd_pv)
                self.pd_pv = None
            if pt_pv is not None:
                pv_lock(pt_pv)
                pv_put(pt_pv)
            elif pt_mark is not None:
                pv_placemarker_wait(pt_mark)
            return False
        if pt_pv is None:
            assert pt_mark is not None  # nothing there and nobody else's, so ours
            pv_placemarker_wakeup(pt_mark)
            self.va = min((self.va + NBPDR) & -NBPDR, self.end)
            self._pass_absent()
            return False
        self.pt_pv = pt_pv
        return True

    def _pass_absent(self) -> None:
        """Go on to the next PT that the PD has, or to the end.  Locks: takes pm_spin shared."""
        pmap = self.info.pmap
        if self.va == self.end:
            return
        first, last = pmap_pt_pindex(self.va), pmap_pt_pindex(self.end - 1)
        pmap.pm_spin.acquire_shared()
        pindex = next(pmap.pm_pvroot.irange(first, last), None)
        pmap.pm_spin.release_shared()
        if pindex != first:
            self.va = self.end if pindex is None else pindex - PT_BASE << PDRSHIFT

    def _scan_table(self, va_next: int) -> None:
        """Visit the entries of one PT; come back early to look for the tables again."""
        info = self.info
        vm: VmSystem = info.pmap.vm
        untouched = vm.memory.untouched
        table = None if self.pt_pv is None else page_of(self.pt_pv).phys  # wired as long as it is scanned
        while self.va < va_next:
            info.count += 1
            if info.count % _YIELD_ENTRIES == 0:
                vm.pause_tokens("lwkt_user_yield")
            if info.stop:
                return
            if table is not None and untouched(table, index_of(self.va, 1)):
                self.va += PAGE_SIZE
                continue
            ptep = _entry(vm, self.pt_pv, self.va)
            if not ptep.load():
                self.va += PAGE_SIZE
                continue
            _, pmark, failed = pv_get_try(info.pmap, pmap_pte_pindex(self.va), mark=True)
            assert pmark is not None  # a leaf entry has no pv entry
            if failed:
                self._put_both()
                pv_placemarker_wait(pmark)
                return
            oldpte = ptep.load()
            if not oldpte:
                pv_placemarker_wakeup(pmark)
                self.va += PAGE_SIZE
                continue
            if not self._call(pmark, ptep, oldpte):
                return
            if self.pt_pv is not None and self.pt_pv.pv_pmap is not info.pmap:
                self.va = va_next
                return
            self.va += PAGE_SIZE

    def _call(self, pmark: Placemark, ptep: Atomic, oldpte: int) -> bool:
        """Call the scan's function without the PD's lock; return False if the PD is gone after it."""
        info = self.info
        pd_pv = self.pd_pv
        if pd_pv is not None:
            vm_page_wire_quick(page_of(pd_pv))
            pv_unlock(pd_pv)
        if not oldpte & PG_V:
            info.pmap.vm.panic("pmap_scan: entry is neither valid nor empty")
        info.func(info, pmark, self.pt_pv, self.va, ptep)
        if pd_pv is None:
            return True
        pv_lock(pd_pv)
        _unwire(page_of(pd_pv))
        return pd_pv.pv_pmap is not None


def _matches(pv: PvEntry, pmap: Pmap, pindex: int) -> bool:
    return pv.pv_pmap is pmap and pv.pv_pindex == pindex


def _unwire(m: VmPage) -> None:
    if vm_page_unwire_quick(m):
        m.vm.panic("pmap_scan: table page was wired once only")
