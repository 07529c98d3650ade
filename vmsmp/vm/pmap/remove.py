"""Removing and protecting ranges of addresses.

Models: pmap_remove, pmap_remove_noinval, pmap_remove_pages, pmap_protect and their callbacks of
sys/platform/pc64/x86_64/pmap.c.
The old entry is the one that the swap which removes it returns: a scan from the page's side may be faster.
Locks: none needed; see `scan`.  The pages are not busied.
Deviations: none known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.mmu.entry import PG_A, PG_M, PG_RW, PG_V
from vmsmp.sync.thread import curthread
from vmsmp.vm.pmap.bits import PG_MANAGED, PG_W
from vmsmp.vm.pmap.entries import page_named, page_of, transfer
from vmsmp.vm.pmap.interlock import interlock_bump, interlock_drop, pmap_removed_pte
from vmsmp.vm.pmap.placemark import pv_placemarker_wakeup
from vmsmp.vm.pmap.scan import PmapScanInfo, pmap_scan
from vmsmp.vm.pmap_inval.bulk import pmap_inval_bulk
from vmsmp.vm.pmap_inval.command import pmap_inval_smp_cmpset
from vmsmp.vm.pmap_inval.intr import cpu_invltlb
from vmsmp.vm.vm_map.flags import VM_PROT_EXECUTE, VM_PROT_READ, VM_PROT_WRITE
from vmsmp.vm.vm_page.busy import vm_page_flag_set
from vmsmp.vm.vm_page.dirty import vm_page_dirty
from vmsmp.vm.vm_page.flags import PG_REFERENCED
from vmsmp.vm.vm_page.quick import vm_page_unwire_quick

if TYPE_CHECKING:
    from vmsmp.sync.atomic import Atomic
    from vmsmp.vm.pmap.pmap import Placemark, Pmap, PvEntry
    from vmsmp.vm.system import VmSystem


def pmap_remove(pmap: Pmap | None, sva: int, eva: int) -> None:
    """Unmap the addresses.  Every CPU has forgotten them when it returns.  Sleeps: as `pmap_scan`."""
    if pmap is not None:
        pmap_scan(PmapScanInfo(pmap, sva, eva, pmap_remove_callback), True)


def pmap_remove_noinval(pmap: Pmap | None, sva: int, eva: int) -> None:
    """Unmap the addresses, and tell no other CPU."""
    if pmap is not None:
        pmap_scan(PmapScanInfo(pmap, sva, eva, pmap_remove_callback), False)


def pmap_remove_pages(pmap: Pmap | None, sva: int, eva: int) -> None:
    """Unmap addresses of an address space that no other CPU has loaded; this CPU flushes its TLB."""
    if pmap is not None:
        pmap_remove_noinval(pmap, sva, eva)
        cpu_invltlb(curthread(pmap.vm.machine))


def pmap_remove_callback(
    info: PmapScanInfo, pmark: Placemark, pt_pv: PvEntry | None, va: int, ptep: Atomic
) -> None:
    """Take an entry away, and account for what it was."""
    pmap = info.pmap
    vm: VmSystem = pmap.vm
    pte = ptep.load()
    oldm = page_named(vm, pte) if pte & PG_MANAGED else None
    if oldm is not None:
        interlock_bump(oldm)
    pte = pmap_inval_bulk(info.bulk, va, ptep, 0)
    if pte & PG_MANAGED:
        if not pte & PG_V:
            vm.panic("pmap_remove: managed entry is not valid")
        m = page_named(vm, pte)
        transfer(m, pte)
        pmap_removed_pte(m)
    if pte & PG_V:
        pmap.resident_count.fetchadd(-1)
        if pt_pv is not None and vm_page_unwire_quick(page_of(pt_pv)):
            vm.panic("pmap_remove: insufficient wirings of the table page")
    if pte & PG_W:
        pmap.wired_count.fetchadd(-1)
    pv_placemarker_wakeup(pmark)
    if oldm is not None:
        interlock_drop(oldm)


def pmap_protect(pmap: Pmap | None, sva: int, eva: int, prot: int) -> None:
    """Take away the right to write, or all rights; never give any.  Sleeps: as `pmap_scan`."""
    if pmap is None:
        return
    if not prot & (VM_PROT_READ | VM_PROT_EXECUTE):
        pmap_remove(pmap, sva, eva)
        return
    if prot & VM_PROT_WRITE:
        return
    pmap_scan(PmapScanInfo(pmap, sva, eva, pmap_protect_callback), True)


def pmap_protect_callback(
    info: PmapScanInfo, pmark: Placemark, pt_pv: PvEntry | None, va: int, ptep: Atomic
) -> None:
    """Make an entry read-only, and pass its A and M on to the page; PG_WRITEABLE and the counts stay."""
    del pt_pv
    while True:
        pbits = ptep.load()
        taken = PG_RW | (PG_A | PG_M if pbits & PG_MANAGED else 0)
        if not pbits & taken or pmap_inval_smp_cmpset(info.pmap, va, ptep, pbits, pbits & ~taken):
            break
    if pbits & PG_MANAGED:
        m = page_named(info.pmap.vm, pbits)
        if pbits & PG_A:
            vm_page_flag_set(m, PG_REFERENCED)
        if pbits & PG_M:
            vm_page_dirty(m)
    pv_placemarker_wakeup(pmark)
