"""From a page to its entries: scans of the backings through which the page may be mapped.

Models: PMAP_PAGE_BACKING_SCAN, pmap_remove_all, pmap_remove_specific, pmap_clearbit, pmap_testbit,
pmap_ts_referenced, pmap_page_protect and their front ends of sys/platform/pc64/x86_64/pmap.c.
A scan takes no placemark and no lock of a table.  It may meet any other change of an entry, so it changes one
by a compare-and-set of the whole entry.
Locks: the object's backing_lk, shared.  Restricting a page needs it hard-busied by the caller.
Sleeps: for backing_lk; a CPU that restricts a page also waits until no other CPU is removing an entry of it.
Deviations:
  * an unbusied page's object and index are read as hints.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from vmsmp.mmu.entry import PAGE_SHIFT, PG_A, PG_M, PG_RW, PG_V, frame_of
from vmsmp.vm.pmap.bits import PG_MANAGED, PG_W, pmap_pt_pindex
from vmsmp.vm.pmap.entries import pmap_pte, transfer
from vmsmp.vm.pmap.interlock import interlock_wait, pmap_removed_pte
from vmsmp.vm.pmap.pv import pv_entry_lookup
from vmsmp.vm.pmap_inval.command import pmap_inval_smp_cmpset
from vmsmp.vm.vm_map.flags import VM_PROT_EXECUTE, VM_PROT_READ, VM_PROT_WRITE
from vmsmp.vm.vm_page.busy import vm_page_flag_clear
from vmsmp.vm.vm_page.dirty import vm_page_dirty
from vmsmp.vm.vm_page.flags import PG_FICTITIOUS, PG_MAPPED, PG_MAPPEDMULTI, PG_WRITEABLE
from vmsmp.vm.vm_page.quick import vm_page_unwire_quick

if TYPE_CHECKING:
    from collections.abc import Callable

    from vmsmp.sync.atomic import Atomic
    from vmsmp.vm.pmap.pmap import Pmap
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_object.backing import Backing
    from vmsmp.vm.vm_object.object import VmObject
    from vmsmp.vm.vm_page.page import VmPage


class After(Enum):
    """What a scan does after an entry."""

    NEXT = "the next backing"
    RETRY = "the same backing again"
    STOP = "no more"


#: pmap_ts_referenced stops counting here.
_ENOUGH = 4


def pmap_page_backing_scan(
    m: VmPage, body: Callable[[Pmap, Atomic, int, int], After], match_pmap: Pmap | None = None
) -> None:
    """PMAP_PAGE_BACKING_SCAN: call `body` for each entry that names the page, of all pmaps or of one.

    A page in no object is not mapped.  Locks: takes its object's backing_lk shared.
    """
    obj: VmObject | None = m.hint("object")
    if obj is None:
        return
    obj.backing_lk.acquire_shared()
    for ba in list(obj.backing_list):
        ipmap: Pmap = ba.pmap
        if match_pmap is not None and ipmap is not match_pmap:
            continue
        after = After.RETRY
        while after is After.RETRY:
            found = _entry_of(m, ipmap, ba)
            after = After.NEXT if found is None else body(ipmap, *found)
        if after is After.STOP:
            break
    obj.backing_lk.release()


def _entry_of(m: VmPage, ipmap: Pmap, ba: Backing) -> tuple[Atomic, int, int] | None:
    """The entry through which a backing maps the page, what it is, and its address; None if it does not."""
    page = m.hint("pindex") - (ba.offset >> PAGE_SHIFT)
    if not 0 <= page < ba.end - ba.start >> PAGE_SHIFT:
        return None
    iva = ba.start + (page << PAGE_SHIFT)
    iptep = pmap_pte(ipmap, iva)
    if iptep is None:
        return None
    ipte = iptep.load()
    named = ipte & PG_V and frame_of(ipte) == m.phys
    return (iptep, ipte, iva) if named else None


# -- taking entries away --------------------------------------------------------------------------


def _take_away(m: VmPage, ipmap: Pmap, iptep: Atomic, ipte: int, iva: int) -> bool:
    """Empty an entry on all CPUs and pass its A and M on; return False if it changed meanwhile."""
    if not pmap_inval_smp_cmpset(ipmap, iva, iptep, ipte, 0):
        return False
    if ipte & PG_MANAGED:
        transfer(m, ipte)
        pmap_removed_pte(m)
    return True


def _account(ipmap: Pmap, ipte: int, iva: int, *, count_first: bool) -> None:
    """Account for an entry that is gone.  Locks: takes pm_spin shared."""
    vm: VmSystem = ipmap.vm
    if ipmap is not vm.pmap.kernel_pmap:
        ipmap.pm_spin.acquire_shared()
        pt_pv = pv_entry_lookup(ipmap, pmap_pt_pindex(iva))
        table = None if pt_pv is None else pt_pv.pv_m
        ipmap.pm_spin.release_shared()
        if table is not None:
            if count_first:
                ipmap.resident_count.fetchadd(-1)
            if vm_page_unwire_quick(table):
                vm.panic("pmap_remove_all: insufficient wirings of the table page")
            if not count_first:
                ipmap.resident_count.fetchadd(-1)
    if ipte & PG_W:
        ipmap.wired_count.fetchadd(-1)


def pmap_remove_all(m: VmPage) -> None:
    """Remove every entry of the page.  Locks: the page hard-busied by the caller."""
    if not m.flags.load() & PG_MAPPED:
        return

    def remove(ipmap: Pmap, iptep: Atomic, ipte: int, iva: int) -> After:
        if not _take_away(m, ipmap, iptep, ipte, iva):
            return After.RETRY
        _account(ipmap, ipte, iva, count_first=False)
        return After.NEXT

    while True:
        pmap_page_backing_scan(m, remove)
        if not interlock_wait(m):
            break
    vm_page_flag_clear(m, PG_MAPPED | PG_MAPPEDMULTI | PG_WRITEABLE)


def pmap_remove_specific(pmap: Pmap, m: VmPage) -> None:
    """Remove the page's entries of one pmap.  Locks: the page hard-busied by the caller."""
    if not m.flags.load() & PG_MAPPED:
        return

    def remove(ipmap: Pmap, iptep: Atomic, ipte: int, iva: int) -> After:
        if not _take_away(m, ipmap, iptep, ipte, iva):
            return After.RETRY
        _account(ipmap, ipte, iva, count_first=True)
        return After.NEXT

    pmap_page_backing_scan(m, remove, pmap)


# -- taking bits away -----------------------------------------------------------------------------


def pmap_clearbit(m: VmPage, bit: int) -> None:
    """Clear a bit of every entry of the page: A, M, or the right to write.

    A and M go without any other CPU being told.  Locks: the page hard-busied by the caller.
    """
    flags = m.flags.load()
    if not flags & (PG_MAPPED | PG_WRITEABLE):
        return
    if bit == PG_RW:
        _clear_writeable(m)
        return

    def clear(_ipmap: Pmap, iptep: Atomic, ipte: int, _iva: int) -> After:
        if ipte & bit:
            iptep.clearbits(bit)
        return After.NEXT

    pmap_page_backing_scan(m, clear)


def _clear_writeable(m: VmPage) -> None:
    """Make every entry of the page read-only."""
    if not m.flags.load() & PG_WRITEABLE:
        return

    def protect(ipmap: Pmap, iptep: Atomic, ipte: int, iva: int) -> After:
        if ipte & PG_RW:
            if not pmap_inval_smp_cmpset(ipmap, iva, iptep, ipte, ipte & ~(PG_RW | PG_M)):
                return After.RETRY
            if ipte & PG_M:
                vm_page_dirty(m)
        return After.NEXT

    while True:
        pmap_page_backing_scan(m, protect)
        if not interlock_wait(m):
            break
    vm_page_flag_clear(m, PG_WRITEABLE)


def pmap_clear_modify(m: VmPage) -> None:
    """Forget that a process has stored through a mapping of the page.  Locks: the page hard-busied."""
    pmap_clearbit(m, PG_M)


def pmap_clear_reference(m: VmPage) -> None:
    """Forget that a process has used a mapping of the page.  Locks: the page hard-busied."""
    pmap_clearbit(m, PG_A)


def pmap_page_protect(m: VmPage, prot: int) -> None:
    """Remove the page's mappings, or make them read-only.  Locks: the page hard-busied by the caller."""
    if prot & VM_PROT_WRITE:
        return
    if prot & (VM_PROT_READ | VM_PROT_EXECUTE):
        pmap_clearbit(m, PG_RW)
    else:
        pmap_remove_all(m)


# -- asking ---------------------------------------------------------------------------------------


def pmap_testbit(m: VmPage, bit: int) -> bool:
    """Whether an entry of the page has the bit.  May be stale."""
    flags = m.flags.load()
    if flags & PG_FICTITIOUS or (bit == PG_M and not flags & PG_WRITEABLE):
        return False
    found = False

    def test(_ipmap: Pmap, _iptep: Atomic, ipte: int, _iva: int) -> After:
        nonlocal found
        found = bool(ipte & bit)
        return After.STOP if found else After.NEXT

    pmap_page_backing_scan(m, test)
    return found


def pmap_is_modified(m: VmPage) -> bool:
    """Whether a process has stored through a mapping of the page.  May be stale."""
    return pmap_testbit(m, PG_M)


def pmap_ts_referenced(m: VmPage) -> int:
    """Clear A in the page's entries, and return in how many it was set, five at most.

    No CPU is told, so one that has cached an entry may use the page unseen.
    """
    if m.flags.bits(PG_FICTITIOUS):
        return 0
    count = 0

    def test(_ipmap: Pmap, iptep: Atomic, ipte: int, _iva: int) -> After:
        nonlocal count
        if ipte & PG_A:
            if not iptep.cmpset(ipte, ipte & ~PG_A):
                return After.RETRY
            count += 1
        return After.STOP if count > _ENOUGH else After.NEXT

    pmap_page_backing_scan(m, test)
    return count


def pmap_mapped_sync(m: VmPage) -> int:
    """Return the page's flags, which are up to date already.  Locks: the page hard-busied by the caller."""
    flags: int = m.flags.load()
    return flags
