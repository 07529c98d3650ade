"""Entering a page at an address.

Models: pmap_enter of sys/platform/pc64/x86_64/pmap.c.
The placemark of the entry keeps out other enters, and CPUs that remove or protect ranges.  The entry can
still change meanwhile: CPUs set A and M in it, and scans from the page's side remove it.  So the old entry
to account for is the one that the swap with the new one returns.
Locks: the page soft- or hard-busied, and the map locked, by the caller; takes the placemark, then the lock of
the PT page.  Sleeps for those; from the first look at the entry on it spins only.
Deviations:
  * entering a page that nobody has busied panics.
  * memory has a page at address 0, so an entry is empty if it is not valid; the kernel tests its address.
  * a page without a frame, as of a device that has not said where its memory is, panics; no memory
    attributes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.mmu.entry import PG_A, PG_M, PG_RW, PG_U, PG_V, index_of, make_entry
from vmsmp.records.record import has
from vmsmp.vm.observer import PageEntered
from vmsmp.vm.pmap.bits import PG_MANAGED, PG_W, pmap_pt_pindex, pmap_pte_pindex, pte_prot
from vmsmp.vm.pmap.entries import page_named, page_of, pv_pte_lookup, transfer, vtopte
from vmsmp.vm.pmap.interlock import interlock_bump, interlock_drop, pmap_removed_pte
from vmsmp.vm.pmap.kernel import invlpg_here
from vmsmp.vm.pmap.placemark import pv_placemarker_wakeup
from vmsmp.vm.pmap.pv import pv_get, pv_put
from vmsmp.vm.pmap.tables import pmap_allocpte
from vmsmp.vm.pmap_inval.command import pmap_inval_smp
from vmsmp.vm.vm_map.flags import VM_MAX_USER_ADDRESS, VM_PROT_NOSYNC, trunc_page
from vmsmp.vm.vm_page.flags import (
    PG_FICTITIOUS,
    PG_MAPPED,
    PG_MAPPEDMULTI,
    PG_WRITEABLE,
)
from vmsmp.vm.vm_page.page import HARD, SOFT
from vmsmp.vm.vm_page.quick import vm_page_wire_quick

if TYPE_CHECKING:
    from typing import Any

    from vmsmp.sync.atomic import Atomic
    from vmsmp.vm.pmap.pmap import Pmap, PvEntry
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_page.page import VmPage


def pmap_enter(pmap: Pmap | None, va: int, m: VmPage, prot: int, wired: bool, entry: Any) -> None:
    """Map the page at an address now, in place of what is mapped there.  It cannot fail.

    `prot` with VM_PROT_NOSYNC: other CPUs need not know.  `entry` is the map's, whose backing covers the
    address; None only where nothing managed can be mapped yet.
    """
    if pmap is None:
        return
    va = trunc_page(va)
    vm: VmSystem = pmap.vm
    user = va < VM_MAX_USER_ADDRESS
    if not (has(vm.engine.current, m, HARD, SOFT) or SOFT in m.in_progress):
        vm.panic("pmap_enter: page not busied")
    if entry is not None:
        for hook in vm.hooks.event:
            hook(vm.engine.current, PageEntered(m, prot, entry, va))
    if user == (pmap is vm.pmap.kernel_pmap):
        vm.kprintf(f"Warning: pmap_enter of {va:#x} in {pmap}")
    pte_pv, pmark = pv_get(pmap, pmap_pte_pindex(va), mark=True)
    if pte_pv is not None or pmark is None:
        vm.panic("pmap_enter: leaf entry with a pv entry")
    pt_pv = pmap_allocpte(pmap, pmap_pt_pindex(va)) if user else None
    ptep = vtopte(vm, va) if pt_pv is None else pv_pte_lookup(pt_pv, index_of(va, 1))
    origpte = ptep.load()
    newpte = _entry(m, prot, wired, user)
    if (origpte ^ newpte) & ~(PG_A | PG_M):
        _replace(pmap, va, m, ptep, origpte, newpte, bool(prot & VM_PROT_NOSYNC), pt_pv, entry)
    if newpte & PG_MANAGED and not m.flags.load() & PG_MAPPED:
        vm.panic("pmap_enter: page is not flagged as mapped")
    pv_placemarker_wakeup(pmark)
    if pt_pv is not None:
        pv_put(pt_pv)


def _entry(m: VmPage, prot: int, wired: bool, user: bool) -> int:
    """The entry that names the page; M is for the hardware to set."""
    managed = not m.flags.bits(PG_FICTITIOUS)
    if m.phys < 0:
        m.vm.panic("pmap_enter: page without a frame")
    bits = pte_prot(prot) | PG_V | PG_A | PG_W * wired | PG_U * user | PG_MANAGED * managed
    return make_entry(m.phys, bits)


def _flag(m: VmPage, writeable: bool) -> None:
    """Set the page's flags before the entry exists, so that every CPU that sees the entry sees them."""
    done, flags = False, m.flags.load()
    while not done:
        mapped = PG_MAPPED | PG_WRITEABLE * writeable | PG_MAPPEDMULTI * bool(flags & PG_MAPPED)
        if flags & mapped == mapped:
            break
        done, flags = m.flags.fcmpset(flags, flags | mapped)


def _replace(
    pmap: Pmap,
    va: int,
    m: VmPage,
    ptep: Atomic,
    origpte: int,
    newpte: int,
    nosync: bool,
    pt_pv: PvEntry | None,
    entry: Any,
) -> None:
    """Store the new entry, and account for the old one as the store found it.  Locks: the placemark."""
    vm: VmSystem = pmap.vm
    _flag(m, bool(newpte & PG_RW))
    oldm = None
    if origpte & PG_V and origpte & PG_MANAGED:
        if entry is None:
            vm.panic("pmap_enter: no entry for a page that is replaced")
        oldm = page_named(vm, origpte)
        interlock_bump(oldm)
    if nosync or (not origpte & PG_V and pt_pv is not None):
        local = origpte & PG_V
        origpte = ptep.swap(newpte)
        if local:
            invlpg_here(vm, va)
    else:
        origpte = pmap_inval_smp(pmap, va, 1, ptep, newpte)
    if pt_pv is not None and not origpte & PG_V:
        vm_page_wire_quick(page_of(pt_pv))
        pmap.resident_count.fetchadd(1)
    if newpte & PG_W and not origpte & PG_W:
        pmap.wired_count.fetchadd(1)
    if origpte & PG_V and origpte & PG_MANAGED:
        if oldm is None or page_named(vm, origpte) is not oldm:
            vm.panic("pmap_enter: another page was mapped meanwhile")
        transfer(oldm, origpte)
        pmap_removed_pte(oldm)
    if oldm is not None:
        interlock_drop(oldm)
