"""A user's page tables: making table pages.

Models: pmap_allocpte of sys/platform/pc64/x86_64/pmap.c.
A table page is wired once for the entry of its parent that names it, and once for each entry of its own:
a PT page for each leaf entry, a higher one for each child.
Locks: a table page's pv entry; the child's before the parent's.
Deviations:
  * no caller wants the parent, so it is not returned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.mmu.entry import PG_V, make_entry
from vmsmp.vm.pmap.bits import TABLE_BITS, entry_index, parent_pindex
from vmsmp.vm.pmap.contents import pmap_zero_page
from vmsmp.vm.pmap.entries import page_of, pv_pte_lookup
from vmsmp.vm.pmap.pv import pv_alloc, pv_put
from vmsmp.vm.vm_page.alloc import vm_page_alloc
from vmsmp.vm.vm_page.busy import vm_page_flag_set, vm_page_wakeup
from vmsmp.vm.vm_page.flags import (
    PG_MAPPED,
    PG_UNQUEUED,
    PG_WRITEABLE,
    PQ_NONE,
    VM_ALLOC_INTERRUPT,
    VM_ALLOC_NORMAL,
    VM_ALLOC_SYSTEM,
    VM_PAGE_BITS_ALL,
)
from vmsmp.vm.vm_page.holding import vm_page_wire
from vmsmp.vm.vm_page.quick import vm_page_wire_quick
from vmsmp.vm.vm_page.wait import vm_wait

if TYPE_CHECKING:
    from vmsmp.vm.pmap.pmap import Pmap, PvEntry
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_page.page import VmPage

_REQUEST = VM_ALLOC_NORMAL | VM_ALLOC_SYSTEM | VM_ALLOC_INTERRUPT


# -- table pages ----------------------------------------------------------------------------------


def new_table_page(vm: VmSystem, pindex: int) -> VmPage | None:
    """vm_page_alloc of a page for a table, hard-busied and in no object; None if there is none."""
    return vm_page_alloc(vm, None, pindex, _REQUEST)


def pmap_allocpte(pmap: Pmap, pindex: int) -> PvEntry:
    """Return the pv entry of a table page, locked; make the page and those above it if they are missing.

    Locks: takes the parent's as well while the page is new, after its own.
    Sleeps: for those locks and for memory, with all that it holds.  It cannot fail.
    """
    pv, isnew = pv_alloc(pmap, pindex)
    if isnew:
        parent = parent_pindex(pindex)
        pvp = None if parent is None else pmap_allocpte(pmap, parent)
        _fill(pv, pindex, pvp)
        if pvp is not None:
            pv_put(pvp)
    return pv


def _fill(pv: PvEntry, pindex: int, pvp: PvEntry | None) -> None:
    """Give a new pv entry its page, and enter that in the parent's table.  Sleeps: for memory."""
    vm: VmSystem = pv.vm
    if pvp is not None:
        vm_page_wire_quick(page_of(pvp))
    while (m := new_table_page(vm, pindex)) is None:
        vm_wait(vm, 0)
    vm_page_wire(m)
    pmap_zero_page(vm, m.phys)
    m.publish("valid", VM_PAGE_BITS_ALL)
    vm_page_flag_set(m, PG_MAPPED | PG_WRITEABLE | PG_UNQUEUED)
    if m.hint("queue") != PQ_NONE:
        vm.panic("pmap_allocpte: table page is on a queue")
    pv.publish("pv_m", m)
    if pvp is not None:
        ptep = pv_pte_lookup(pvp, entry_index(pindex))
        if ptep.load() & PG_V:
            vm.panic("pmap_allocpte: the parent's entry is valid")
        ptep.swap(make_entry(m.phys, TABLE_BITS))
    vm_page_wakeup(m)
    if pvp is not None and ptep.load() != make_entry(m.phys, TABLE_BITS):
        vm.kprintf("pmap_allocpte: the parent's entry is not the table's")
