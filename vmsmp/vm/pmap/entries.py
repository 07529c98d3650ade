"""Finding the entry of an address, and what an entry says of its page.

Models: pmap_pte, vtopte and pv_pte_lookup of sys/platform/pc64/x86_64/pmap.c.
Locks: a table page's pv entry, or none: an unlocked walk reads entry by entry, and any may change.
Deviations:
  * vtopte, which goes through the kernel's own map of its tables, finds an entry without a step of its own:
    entries above the kernel's leaf entries never change once they are valid.
  * no large pages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.mmu.entry import LEVELS, PG_A, PG_M, PG_V, ROOT_LEVEL, frame_of, index_of
from vmsmp.vm.vm_page.busy import vm_page_flag_set
from vmsmp.vm.vm_page.dirty import vm_page_dirty
from vmsmp.vm.vm_page.flags import PG_REFERENCED

if TYPE_CHECKING:
    from vmsmp.mmu.memory import Memory
    from vmsmp.sync.atomic import Atomic
    from vmsmp.vm.pmap.pmap import Pmap, PvEntry
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_page.page import VmPage


def pv_pte_lookup(pv: PvEntry, index: int) -> Atomic:
    """The entry at that index of a table page.  Locks: the pv entry locked."""
    memory: Memory = pv.vm.memory
    return memory.word(page_of(pv).phys, index)


def page_of(pv: PvEntry) -> VmPage:
    """The page of a table.  Locks: the pv entry locked."""
    vm: VmSystem = pv.vm
    m = pv.pv_m
    if m is None:
        vm.panic("pmap: pv entry without its page")
    return m


def pmap_pte(pmap: Pmap, va: int) -> Atomic | None:
    """Walk to the leaf entry of an address; None if a table is missing.  Locks: none; any entry may change.

    Each entry above it is read on its own.
    """
    memory: Memory = pmap.vm.memory
    table = pmap.root
    for level in range(ROOT_LEVEL, min(LEVELS), -1):
        entry = memory.word(table, index_of(va, level)).load()
        if not entry & PG_V:
            return None
        table = frame_of(entry)
    return memory.word(table, index_of(va, min(LEVELS)))


def vtopte(vm: VmSystem, va: int) -> Atomic:
    """The leaf entry of an address of the kernel.  Panics if the kernel's tables do not reach it."""
    memory = vm.memory
    table = vm.pmap.kernel_pmap.root
    for level in range(ROOT_LEVEL, min(LEVELS), -1):
        entry = memory.peek_entry(table, index_of(va, level))
        if not entry & PG_V:
            vm.panic(f"vtopte: the kernel has no page table for {va:#x}")
        table = frame_of(entry)
    return memory.word(table, index_of(va, min(LEVELS)))


def page_named(vm: VmSystem, pte: int) -> VmPage:
    """PHYS_TO_VM_PAGE of the page that an entry names."""
    m: VmPage = vm.page.vm_page_array[frame_of(pte)]
    return m


def transfer(m: VmPage, pte: int) -> None:
    """Pass M and A of an entry that was removed or weakened on to its page."""
    if pte & PG_M:
        vm_page_dirty(m)
    if pte & PG_A:
        vm_page_flag_set(m, PG_REFERENCED)
