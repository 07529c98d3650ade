"""Questions about addresses.

Models: pmap_extract, pmap_extract_done, pmap_fault_page_quick, pmap_prefault_ok, pmap_mincore and
pmap_addr_hint of sys/platform/pc64/x86_64/pmap.c.
Locks: the lock of the PT page, or none: then the answer may be stale.
Deviations:
  * no large pages, no virtualized pmaps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vmsmp.mmu.entry import PG_A, PG_FRAME, PG_M, PG_RW, PG_U, PG_V, index_of
from vmsmp.mmu.memory import offset_of
from vmsmp.vm.pmap.bits import NBPDR, PG_MANAGED, pmap_pt_pindex, pmap_pte_pindex
from vmsmp.vm.pmap.entries import page_named, pmap_pte, pv_pte_lookup
from vmsmp.vm.pmap.pv import pv_drop, pv_get, pv_get_try, pv_put
from vmsmp.vm.pmap.reverse import pmap_is_modified, pmap_ts_referenced
from vmsmp.vm.vm_map.flags import VM_PROT_WRITE
from vmsmp.vm.vm_object.object import OBJT_DEVICE, OBJT_MGTDEVICE
from vmsmp.vm.vm_page.busy import vm_page_flag_set
from vmsmp.vm.vm_page.flags import PG_REFERENCED

if TYPE_CHECKING:
    from vmsmp.vm.pmap.pmap import Pmap, PvEntry
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_object.object import VmObject
    from vmsmp.vm.vm_page.page import VmPage

MINCORE_INCORE: Final = 0x01
MINCORE_REFERENCED: Final = 0x02
MINCORE_MODIFIED: Final = 0x04
MINCORE_REFERENCED_OTHER: Final = 0x08
MINCORE_MODIFIED_OTHER: Final = 0x10


def pmap_extract(pmap: Pmap, va: int, *, keep: bool = False) -> tuple[int, PvEntry | None]:
    """The physical address behind an address, 0 if there is none; and with `keep` what keeps it so.

    Locks: takes the lock of the PT page, which is the caller's until `pmap_extract_done`.  Sleeps: for it.
    """
    if pmap is pmap.vm.pmap.kernel_pmap:
        ptep = pmap_pte(pmap, va)
        if ptep is None:
            return 0, None
        pte = ptep.load()  # that the table's entry is valid is asked twice, and never whether this one is
        return pte & PG_FRAME | offset_of(va), None
    pt_pv, _ = pv_get(pmap, pmap_pt_pindex(va))
    if pt_pv is None:
        return 0, None
    pa = _physical(pv_pte_lookup(pt_pv, index_of(va, 1)).load(), va)
    if keep:
        return pa, pt_pv
    pv_put(pt_pv)
    return pa, None


def _physical(pte: int, va: int) -> int:
    return pte & PG_FRAME | offset_of(va) if pte & PG_V else 0


def pmap_extract_done(handle: PvEntry | None) -> None:
    """Release the lock under which `pmap_extract` kept an address."""
    if handle is not None:
        pv_put(handle)


def pmap_fault_page_quick(pmap: Pmap, va: int, prot: int) -> VmPage | None:
    """Return None: the kernel finds the page by a leaf pv entry, and no pmap has those.

    Locks: takes the lock of the PT page.  Sleeps: for it.
    """
    if pmap is pmap.vm.pmap.kernel_pmap:
        return None
    pt_pv, _ = pv_get(pmap, pmap_pt_pindex(va))
    if pt_pv is None:
        return None
    needed = PG_V | PG_U | (PG_RW if prot & VM_PROT_WRITE else 0)
    if pv_pte_lookup(pt_pv, index_of(va, 1)).load() & needed == needed:
        pte_pv, _, _ = pv_get_try(pmap, pmap_pte_pindex(va))
        if pte_pv is not None:
            pv_drop(pte_pv)
            pmap.vm.panic("pmap_fault_page_quick: leaf entry with a pv entry")
    pv_put(pt_pv)
    return None


def pmap_prefault_ok(pmap: Pmap, va: int) -> bool:
    """Whether nothing is mapped at the address.  May be stale."""
    ptep = pmap_pte(pmap, va)
    return ptep is None or not ptep.load() & PG_V


def pmap_mincore(pmap: Pmap, va: int) -> int:
    """MINCORE_* of an address, 0 if nothing is mapped there.  A guess, since the page is not busied.

    Sleeps: for the lock of the object's backings.
    """
    vm: VmSystem = pmap.vm
    ptep = pmap_pte(pmap, va)
    pte = 0 if ptep is None else ptep.load()
    if not pte:
        return 0
    found = MINCORE_INCORE
    m = page_named(vm, pte) if pte & PG_MANAGED else None
    if pte & PG_M:
        found |= MINCORE_MODIFIED | MINCORE_MODIFIED_OTHER
    elif m is not None and (m.hint("dirty") or pmap_is_modified(m)):
        found |= MINCORE_MODIFIED_OTHER
    if pte & PG_A:
        found |= MINCORE_REFERENCED | MINCORE_REFERENCED_OTHER
    elif m is not None and (m.flags.load() & PG_REFERENCED or pmap_ts_referenced(m)):
        found |= MINCORE_REFERENCED_OTHER
        vm_page_flag_set(m, PG_REFERENCED)
    return found


def pmap_addr_hint(obj: VmObject | None, addr: int, size: int) -> int:
    """Where to look for room for a mapping: large ones of devices begin at a large page."""
    device = obj is not None and obj.hint("type") in (OBJT_DEVICE, OBJT_MGTDEVICE)
    return -(-addr // NBPDR) * NBPDR if device and size >= NBPDR else addr
