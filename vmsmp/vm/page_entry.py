"""The part of the pmap layer that a page sees: one page table entry, its modified bit, and its removal.

Models: the interface of sys/platform/pc64/x86_64/pmap.c, as far as pages need it, with PMAP_ADVANCED.
Locks: entering a mapping needs the page soft- or hard-busied, protecting a page the hard busy.  A process
unmaps a page, and stores to it, without a lock.
A CPU that takes an entry away counts itself in `interlock_count` until the page knows what was written and
its flags say what is left.  Whoever protects a page waits for such CPUs, and then looks for entries again.
Deviations:
  * one entry per page (the word `md`: valid, writeable, modified) stands for all of its mappings: whoever
    removes one removes all.  Page tables, placemarks and TLBs are modelled elsewhere; no accessed bit.
  * `interlock_count` is in the same word, so a change of it fails a compare of the entry, which is repeated.
    A waiter loads it; the kernel adds a bit that means nothing, and panics after a minute.
  * nobody takes the lock of an object's backing list exclusively; a scan of it always gives tokens up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.records.record import has
from vmsmp.vm.pmap.interlock import interlock_bump, interlock_drop, interlock_wait, pmap_removed_pte
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
    done, flags = False, m.flags.load()
    while not done:
        mapped = PG_MAPPED | PG_WRITEABLE * writeable | PG_MAPPEDMULTI * bool(flags & PG_MAPPED)
        if flags & mapped == mapped:
            break
        done, flags = m.flags.fcmpset(flags, flags | mapped)
    if not m.md.setbits(PTE_V | PTE_W * writeable) & PTE_V:
        m.mappings += 1


def pmap_store(m: VmPage) -> bool:
    """Store through the mapping as a process does; return whether that succeeded."""
    pte = m.md.load()
    while pte & PTE_W:
        stored, pte = m.md.fcmpset(pte, pte | PTE_M)
        if stored:
            return True
    return False


def pmap_remove(m: VmPage) -> None:
    """Unmap the page as a process does, and mark it dirty if it was modified.

    Locks: none.  Tell what was written before the flags go: who finds the page unmapped looks no further.
    """
    if not m.md.load() & PTE_V:
        return
    interlock_bump(m)
    pte = m.md.clearbits(PTE_V | PTE_W | PTE_M)
    if pte & PTE_M:
        vm_page_dirty(m)
    if pte & PTE_V:
        pmap_removed_pte(m)
    interlock_drop(m)


def pmap_write_protect(m: VmPage) -> None:
    """Make the page read-only as a process does, and mark it dirty if it was modified.  Locks: none."""
    if not m.md.load() & PTE_W:
        return
    interlock_bump(m)
    if m.md.clearbits(PTE_W | PTE_M) & PTE_M:
        vm_page_dirty(m)
    interlock_drop(m)


# -- from the page to its entries -----------------------------------------------------------------


def _backing_scan(m: VmPage) -> bool:
    """PMAP_PAGE_BACKING_SCAN: return whether there are entries to look for.  Sleeps: possibly.

    A page in no object is mapped by nobody.
    """
    if m.hint("object") is None:
        return False
    m.vm.pause_tokens("baclk")
    return True


def _take_away(m: VmPage, bit: int, bits: int) -> bool:
    """Clear `bits` of the entry if `bit` is set; return whether it was.  Mark a modified page dirty."""
    if _backing_scan(m):
        while (pte := m.md.load()) & bit:
            if m.md.cmpset(pte, pte & ~bits):
                if pte & PTE_M:
                    vm_page_dirty(m)
                return True
    return False


def pmap_is_modified(m: VmPage) -> bool:
    """Return whether a process has stored through its mapping since the last check.  May be stale.

    Sleeps: possibly, so tokens are lost.
    """
    flags = m.flags.load()
    if flags & PG_FICTITIOUS or not flags & PG_WRITEABLE:
        return False
    return _backing_scan(m) and bool(m.md.load() & PTE_M)


def pmap_page_protect(m: VmPage, prot: int) -> None:
    """Remove the mappings, or make them read-only, and mark the page dirty if it was modified.

    Locks: the page hard-busied by the caller.  Sleeps: possibly, before and after an entry goes.
    """
    if prot & VM_PROT_WRITE:
        return
    if prot & VM_PROT_READ:
        _clear_writeable(m)
    else:
        _remove_all(m)


def _remove_all(m: VmPage) -> None:
    """pmap_remove_all: remove every entry of the page."""
    if not m.flags.load() & PG_MAPPED:
        return
    while True:
        if _take_away(m, PTE_V, PTE_V | PTE_W | PTE_M):
            pmap_removed_pte(m)
        if not interlock_wait(m):
            break
    vm_page_flag_clear(m, PG_MAPPED | PG_MAPPEDMULTI | PG_WRITEABLE)


def _clear_writeable(m: VmPage) -> None:
    """pmap_clearbit of the writeable bit: make every entry of the page read-only."""
    if not m.flags.load() & (PG_MAPPED | PG_WRITEABLE) or not m.flags.load() & PG_WRITEABLE:
        return
    while True:
        _take_away(m, PTE_W, PTE_W | PTE_M)
        if not interlock_wait(m):
            break
    vm_page_flag_clear(m, PG_WRITEABLE)


def pmap_clear_modify(m: VmPage) -> None:
    """Forget that a process has stored through a mapping of the page.  Sleeps: possibly.

    Locks: the page hard-busied by the caller.  The page's flags and its dirty bits stay what they are.
    """
    if m.flags.load() & PG_FICTITIOUS or not m.flags.load() & (PG_MAPPED | PG_WRITEABLE):
        return
    if _backing_scan(m) and m.md.load() & PTE_M:
        m.md.clearbits(PTE_M)


def pmap_mapped_sync(m: VmPage) -> int:
    """Return the page's flags, which say as much as is known.  Locks: the page hard-busied by the caller."""
    flags: int = m.flags.load()
    return flags
