"""The life of a user's pmap: making it, giving its table pages back, and the end.

Models: pmap_pinit0, pmap_pinit, pmap_release, pmap_puninit, pmap_remove_pv_pte and pmap_release_pv of
sys/platform/pc64/x86_64/pmap.c.
The top table stays with the pmap's memory until that is given up.
Locks: nobody else uses the pmap; takes the locks of its pv entries, a child's before its parent's.
Deviations:
  * one type of pmap, so a cached top table is always of the right type.
  * no direct map and no self-map: what is copied into a new top table is the kernel's part of it.
  * a pmap that is released with something left in it panics; in the kernel its process sleeps for ever.
  * table pages go with the pmap only (pmap_dynamic_delete is 0), so pmap_remove_pv_pte has its parent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.mmu.entry import ENTRIES, PG_V, index_of
from vmsmp.vm.pmap.bits import PML4_BASE, entry_index, parent_pindex, pmap_pml4_pindex
from vmsmp.vm.pmap.entries import page_of, pv_pte_lookup
from vmsmp.vm.pmap.kernel import pmap_kenter, pmap_kremove
from vmsmp.vm.pmap.pmap import PMAP_FLAG_SIMPLE, PV_HOLD_LOCKED
from vmsmp.vm.pmap.pv import pv_free, pv_get, pv_hold_try, pv_lock, pv_put
from vmsmp.vm.pmap.tables import pmap_allocpte
from vmsmp.vm.vm_kern import kmem_alloc_pageable, kmem_free
from vmsmp.vm.vm_map.flags import VM_MIN_KERNEL_ADDRESS, VM_SUBSYS
from vmsmp.vm.vm_page.busy import vm_page_busy_wait, vm_page_flag_clear
from vmsmp.vm.vm_page.flags import PAGE_SIZE, PG_MAPPED, PG_UNQUEUED, PG_WRITEABLE
from vmsmp.vm.vm_page.free import vm_page_free
from vmsmp.vm.vm_page.holding import vm_page_unwire
from vmsmp.vm.vm_page.page import VM_PAGE_TO_PHYS

if TYPE_CHECKING:
    from vmsmp.vm.pmap.pmap import Pmap, PvEntry
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_page.page import VmPage

VM_SUBSYS_PML4 = VM_SUBSYS.index("PML4")
#: The kernel's addresses of a pmap: for its top table and for the isolated one.
_PML4_SIZE = 2 * PAGE_SIZE


def pmap_pinit0(pmap: Pmap) -> None:
    """Initialize the pmap of the first process, whose top table is the kernel's.  Locks: none."""
    kernel = pmap.vm.pmap.kernel_pmap
    pmap.pm_pml4, pmap.root = kernel.pm_pml4, kernel.root


def pmap_pinit(pmap: Pmap) -> Pmap:
    """Initialize a pmap, which may have been used before; return it.

    Locks: none; nobody can reach it yet.  Sleeps: for kernel addresses and for memory.
    """
    vm: VmSystem = pmap.vm
    pmap.pm_count.value = 1
    pmap.pm_active.value = 0
    pmap.pm_flags.value = PMAP_FLAG_SIMPLE
    pmap.pm_pvhint_pt = None
    pmap.pm_flags.value = 0
    if not pmap.pm_pml4:
        pmap.pm_pml4 = kmem_alloc_pageable(vm.map.kernel_map, _PML4_SIZE, VM_SUBSYS_PML4)
    if pmap.pm_pmlpv is None:
        pv = pmap_allocpte(pmap, pmap_pml4_pindex())
        m = page_of(pv)
        pmap.pm_pmlpv = pv
        pmap_kenter(vm, pmap.pm_pml4, VM_PAGE_TO_PHYS(m))
        pv_put(pv)
        pmap.root = m.phys
        _copy_kernel_slots(pmap)
    else:
        flags = _top_page(pmap).flags.load()
        if not flags & PG_MAPPED or not flags & PG_WRITEABLE:
            vm.panic("pmap_pinit: the cached top table is not mapped")
    if vm.memory.word(pmap.root, 255).load():
        vm.panic("pmap_pinit: the top table has an entry just below the kernel's half")
    return pmap


def _top_page(pmap: Pmap) -> VmPage:
    vm: VmSystem = pmap.vm
    pv = pmap.pm_pmlpv
    m = None if pv is None else pv.raw_pv_m
    if m is None:
        vm.panic("pmap: no top table")
    return m


def _copy_kernel_slots(pmap: Pmap) -> None:
    """Let the top table name the kernel's tables, as the kernel's own one does."""
    memory = pmap.vm.memory
    kernel = pmap.vm.pmap.kernel_pmap.root
    for index in range(index_of(VM_MIN_KERNEL_ADDRESS, 4), ENTRIES):
        entry = memory.peek_entry(kernel, index)
        if entry & PG_V:
            memory.word(pmap.root, index).store(entry)


# -- release --------------------------------------------------------------------------------------


def pmap_release(pmap: Pmap) -> None:
    """Give back all table pages but the top one.  Panics if a CPU may use the pmap, or a page is mapped.

    Locks: takes those of its pv entries.  Sleeps: for them, and for busy pages.
    """
    vm: VmSystem = pmap.vm
    if pmap.pm_active.load():
        vm.panic("pmap still active!")
    while _Release(pmap).again():
        pass
    if pmap.resident_count.load() != 1 or pmap.wired_count.load():
        vm.kprintf(
            f"fatal pmap problem - pmap {pmap} flags {pmap.pm_flags.peek():08x} "
            f"rescnt={pmap.resident_count.peek()} wirecnt={pmap.wired_count.peek()}"
        )
        vm.panic("pmap_release: something is left in the pmap")


class _Release:
    """struct pmap_release_info: one scan over the pv entries, from low to high.

    `pvp` is the parent of the entry released last, locked.
    """

    def __init__(self, pmap: Pmap) -> None:
        self.pmap = pmap
        self.pvp: PvEntry | None = None

    def again(self) -> bool:
        """Scan; return whether an entry was locked by another CPU, so that another scan is needed."""
        pmap = self.pmap
        retry = False
        at = -1
        pmap.pm_spin.acquire()
        while (pindex := next(pmap.pm_pvroot.irange(at + 1), None)) is not None:
            at = pindex
            pv = pmap.pm_pvroot[pindex]
            retry = not self._lock(pv)
            if retry or not self._release(pv):
                pmap.pm_spin.acquire()
                break
            pmap.pm_spin.acquire()
        pmap.pm_spin.release()
        self._have_parent(None)
        return retry

    def _lock(self, pv: PvEntry) -> bool:
        """Lock an entry and release pm_spin; return False if it had to be waited for."""
        spin = self.pmap.pm_spin
        if self.pvp is pv:
            spin.release()
            self.pvp = None
            return True
        locked = pv_hold_try(pv)
        spin.release()
        if not locked:
            pv_lock(pv)
            pv_put(pv)
        return locked

    def _have_parent(self, pindex: int | None) -> None:
        """Lock the pv entry of that index as `pvp`, in place of the one that is."""
        if self.pvp is not None and (pindex is None or self.pvp.pv_pindex != pindex):
            pv_put(self.pvp)
            self.pvp = None
        if self.pvp is None and pindex is not None:
            self.pvp, _ = pv_get(self.pmap, pindex)

    def _release(self, pv: PvEntry) -> bool:
        """pmap_release_callback: give back what the entry stands for; return whether to go on."""
        if pv.pv_pmap is not self.pmap:
            self.pmap.vm.panic("pmap_release: pv entry of another pmap")
        self._have_parent(parent_pindex(pv.pv_pindex))
        return pmap_release_pv(pv, self.pvp)


def pmap_release_pv(pv: PvEntry, pvp: PvEntry | None) -> bool:
    """Give back a table page and its pv entry; return False for the top table, which stays.

    Locks: both locked by the caller; the first one's lock is given back.
    Sleeps: while the page is busy.
    """
    pmap_remove_pv_pte(pv, pvp)
    if pv.pv_pindex == PML4_BASE:
        pv_put(pv)
        return False
    m = pmap_remove_pv_page(pv)
    vm_page_busy_wait(m, False, "pmaprl")
    if m.wire_count.load() != 1 or not m.flags.bits(PG_UNQUEUED):
        pv.vm.panic("pmap_release_pv: table page is in use")
    vm_page_unwire(m, False)
    vm_page_free(m)
    pv_free(pv, pvp)
    return True


def pmap_remove_pv_pte(pv: PvEntry, pvp: PvEntry | None) -> None:
    """Take a table page out of its parent's table, without a shootdown: no CPU uses the pmap.

    Locks: both locked by the caller.
    """
    if pvp is None:
        return  # the top table is in no other
    ptep = pv_pte_lookup(pvp, entry_index(pv.pv_pindex))
    if not ptep.load() & PG_V:
        pv.vm.panic("pmap_remove_pv_pte: the parent's entry is not valid")
    ptep.swap(0)


def pmap_remove_pv_page(pv: PvEntry) -> VmPage:
    """Take the page away from its pv entry, and return it.  Locks: the pv entry locked."""
    m = page_of(pv)
    pv.publish("pv_m", None)
    vm_page_flag_clear(m, PG_MAPPED | PG_WRITEABLE)
    return m


def pmap_puninit(pmap: Pmap) -> None:
    """Give back the top table of a released pmap, and its kernel addresses.

    Locks: takes the pv entry's.  Sleeps: for busy pages and for the kernel's map.
    """
    vm: VmSystem = pmap.vm
    if pmap.pm_active.load():
        vm.panic("pmap_puninit: pmap is active")
    pv = pmap.pm_pmlpv
    if pv is not None:
        if not pv_hold_try(pv):
            pv_lock(pv)
        if not pv.pv_hold.load() & PV_HOLD_LOCKED:
            vm.panic("pmap_puninit: top table not locked")
        m = pmap_remove_pv_page(pv)
        pv_free(pv, None)
        pmap_kremove(vm, pmap.pm_pml4)
        vm_page_busy_wait(m, False, "pgpun")
        if not m.flags.bits(PG_UNQUEUED):
            vm.panic("pmap_puninit: top table page is on a queue")
        vm_page_unwire(m, False)
        vm_page_flag_clear(m, PG_MAPPED | PG_WRITEABLE)
        vm_page_free(m)
        pmap.pm_pmlpv = None
        pmap.root = -1
    if pmap.pm_pml4:
        kmem_free(vm.map.kernel_map, pmap.pm_pml4, _PML4_SIZE)
        pmap.pm_pml4 = 0
    if pmap.resident_count.load() or pmap.wired_count.load():
        vm.panic("pmap_puninit: something is left in the pmap")
