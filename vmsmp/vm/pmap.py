"""The part of the pmap layer that a page sees: one page table entry, its modified bit, and its removal.

Models: the interface of sys/platform/pc64/x86_64/pmap.c, as far as pages need it.
Locks: entering a mapping needs the page soft- or hard-busied; clearing PG_MAPPED or PG_WRITEABLE needs
the hard busy.  Removing only the entry, or storing through it, needs no lock.
Deviations:
  * one entry per page (the word `md`: valid, writeable, modified) stands for the pv list; page tables
    and TLBs are modelled elsewhere.
  * PG_MAPPED and PG_WRITEABLE stay set after the entry is gone until `pmap_mapped_sync`, which clears
    them, or `vm_page_protect`.  The kernel, with PMAP_ADVANCED, clears them when the entry of a page goes
    that is not mapped by many, and its `pmap_mapped_sync` only returns the flags.
  * taking away an entry and telling of what was written through it are one step.
  * vm_page_protect blocks before entries are removed, and not at all when they become read-only; the
    kernel may block after the removal, before it clears the flags, and in both cases.
  * entering the entry that is there already counts as a second mapping.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.records.record import has
from vmsmp.vm.vm_page.busy import vm_page_flag_clear
from vmsmp.vm.vm_page.dirty import vm_page_dirty
from vmsmp.vm.vm_page.flags import (
    PG_FICTITIOUS,
    PG_MAPPED,
    PG_MAPPEDMULTI,
    PG_WRITEABLE,
    PTE_M,
    PTE_V,
    PTE_W,
)
from vmsmp.vm.vm_page.page import HARD, SOFT

if TYPE_CHECKING:
    from typing import Final

    from vmsmp.vm.vm_page.page import VmPage

VM_PROT_NONE: Final = 0
VM_PROT_READ: Final = 1
VM_PROT_WRITE: Final = 2


def pmap_enter(m: VmPage, prot: int) -> None:
    """Map the page for a process.

    Locks: the page soft- or hard-busied by the caller or by I/O.  Set the flags before the entry, so that
    every CPU that sees the entry also sees the flags.  A page that was mapped already is mapped more than
    once.
    """
    if not (has(m.vm.engine.current, m, HARD, SOFT) or SOFT in m.in_progress):
        m.vm.panic("pmap_enter: page not busied")
    writeable = bool(prot & VM_PROT_WRITE)
    flags = m.flags.load()
    while True:
        mapped = PG_MAPPED | PG_WRITEABLE * writeable | PG_MAPPEDMULTI * bool(flags & PG_MAPPED)
        done, flags = m.flags.fcmpset(flags, flags | mapped)
        if done:
            break
    m.md.setbits(PTE_V | PTE_W * writeable)


def pmap_store(m: VmPage) -> bool:
    """Store through the mapping as a process does; return whether that succeeded."""
    pte = m.md.load()
    while pte & PTE_W:
        stored, pte = m.md.fcmpset(pte, pte | PTE_M)
        if stored:
            return True
    return False


def _take_away(m: VmPage, bits: int) -> None:
    """Clear bits of the entry and mark the page dirty if it was modified, atomically as under the pv lock."""

    def change(pte: int) -> int:
        if pte & PTE_M:
            vm_page_dirty(m)
        return pte & ~bits

    m.md.rmw(change)


def pmap_remove(m: VmPage) -> None:
    """Unmap the page as a process does, and mark it dirty if it was modified.  Locks: none."""
    _take_away(m, PTE_V | PTE_W | PTE_M)


def pmap_is_modified(m: VmPage) -> bool:
    """Return whether a process has stored through its mapping since the last check.  May be stale."""
    flags = m.flags.load()
    if flags & PG_FICTITIOUS or not flags & PG_WRITEABLE:
        return False
    return bool(m.md.load() & PTE_M)


def pmap_page_protect(m: VmPage, prot: int) -> None:
    """Remove the mapping, or make it read-only, and mark the page dirty if it was modified.

    Locks: the page hard-busied by the caller.  Sleeps: removing it may block, so tokens are lost.
    """
    if prot & VM_PROT_READ:
        _take_away(m, PTE_W | PTE_M)
        vm_page_flag_clear(m, PG_WRITEABLE)
        return
    if not m.flags.load() & PG_MAPPED:
        return
    m.vm.pause_tokens("pmap_page_protect")
    _take_away(m, PTE_V | PTE_W | PTE_M)
    vm_page_flag_clear(m, PG_MAPPED | PG_MAPPEDMULTI | PG_WRITEABLE)


def pmap_mapped_sync(m: VmPage) -> int:
    """Clear the flags of a mapped page if no entry is left; return the page's flags.

    Locks: the page hard-busied by the caller.
    """
    if not m.md.load() & PTE_V:
        vm_page_flag_clear(m, PG_MAPPED | PG_MAPPEDMULTI | PG_WRITEABLE)
    flags: int = m.flags.load()
    return flags
