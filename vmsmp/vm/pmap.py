"""What of the pmap layer a page sees: one page table entry, its modified bit, and its removal.

Models: the interface of sys/platform/pc64/x86_64/pmap.c, as far as pages need it.
Locks: entering a mapping needs the page soft- or hard-busied, clearing PG_MAPPED or PG_WRITEABLE the
hard busy; removing an entry alone, and storing through it, need nothing.
Deviations:
  * one entry a page (the word `md`: valid, writeable, modified) stands for the pv list; page tables
    and TLBs are another room.
  * PG_MAPPED and PG_WRITEABLE may stay set after the entry is gone, as in the kernel, until
    `pmap_mapped_sync` or `vm_page_protect`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.records.record import has
from vmsmp.vm.vm_page.busy import vm_page_flag_clear, vm_page_flag_set
from vmsmp.vm.vm_page.dirty import vm_page_dirty
from vmsmp.vm.vm_page.flags import PG_MAPPED, PG_MAPPEDMULTI, PG_WRITEABLE, PTE_M, PTE_V, PTE_W
from vmsmp.vm.vm_page.page import HARD, SOFT

if TYPE_CHECKING:
    from typing import Final

    from vmsmp.vm.vm_page.page import VmPage

VM_PROT_NONE: Final = 0
VM_PROT_READ: Final = 1
VM_PROT_WRITE: Final = 2


def pmap_enter(m: VmPage, prot: int) -> None:
    """Map the page for a process.

    Locks: the page soft- or hard-busied by the caller.  The flags come before the entry, so that
    whoever sees the entry sees them.
    """
    if not has(m.vm.engine.current, m, HARD, SOFT):
        m.vm.panic("pmap_enter: page not busied")
    if prot & VM_PROT_WRITE:
        vm_page_flag_set(m, PG_MAPPED | PG_MAPPEDMULTI | PG_WRITEABLE)
        m.md.setbits(PTE_V | PTE_W)
    else:
        vm_page_flag_set(m, PG_MAPPED | PG_MAPPEDMULTI)
        m.md.setbits(PTE_V)


def pmap_store(m: VmPage) -> bool:
    """A process stores through its mapping; whether it could."""
    pte = m.md.load()
    while pte & PTE_W:
        stored, pte = m.md.fcmpset(pte, pte | PTE_M)
        if stored:
            return True
    return False


def _take_away(m: VmPage, bits: int) -> None:
    """Clear bits of the entry and note what was written through it, as the pv lock makes one of both."""

    def change(pte: int) -> int:
        if pte & PTE_M:
            vm_page_dirty(m)
        return pte & ~bits

    m.md.rmw(change)


def pmap_remove(m: VmPage) -> None:
    """A process unmaps the page; what it wrote is noted.  Locks: none."""
    _take_away(m, PTE_V | PTE_W | PTE_M)


def pmap_is_modified(m: VmPage) -> bool:
    """Whether a process has stored through its mapping since the last look.  May be stale."""
    return bool(m.md.load() & PTE_M)


def pmap_page_protect(m: VmPage, prot: int) -> None:
    """Take the mapping away, or make it read-only, and note what was written through it.

    Locks: the page hard-busied by the caller.  Sleeps: taking it away may block, so tokens are lost.
    """
    if prot & VM_PROT_READ:
        _take_away(m, PTE_W | PTE_M)
        vm_page_flag_clear(m, PG_WRITEABLE)
        return
    m.vm.pause_tokens("pmap_page_protect")
    _take_away(m, PTE_V | PTE_W | PTE_M)
    vm_page_flag_clear(m, PG_MAPPED | PG_WRITEABLE)


def pmap_mapped_sync(m: VmPage) -> None:
    """Clear PG_MAPPED and PG_WRITEABLE if no entry is left.  Locks: the page hard-busied."""
    if not m.md.load() & PTE_V:
        vm_page_flag_clear(m, PG_MAPPED | PG_WRITEABLE)
