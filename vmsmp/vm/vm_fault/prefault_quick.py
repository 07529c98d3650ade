"""Mapping those neighbours of a faulted page that the first object has.

Models: vm_prefault_quick of sys/vm/vm_fault.c.
Locks: the map, shared; the first object's token in any mode.  A page is soft-busied to be mapped read-only,
and hard-busied otherwise, by trying.
Deviations: none known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.pmap.enter import pmap_enter
from vmsmp.vm.pmap.query import pmap_prefault_ok
from vmsmp.vm.vm_fault.faultstate import vm_set_nosync
from vmsmp.vm.vm_fault.prefault import Neighbours, prefault_pages
from vmsmp.vm.vm_map.flags import PAGE_SHIFT, VM_FAULT_DIRTY, VM_PROT_WRITE
from vmsmp.vm.vm_object.flags import vm_object_set_writeable_dirty
from vmsmp.vm.vm_object.hold import ASSERT_OBJECT_HELD
from vmsmp.vm.vm_page.activity import vm_page_deactivate
from vmsmp.vm.vm_page.busy import vm_page_sbusy_drop, vm_page_wakeup
from vmsmp.vm.vm_page.dirty import vm_page_dirty
from vmsmp.vm.vm_page.flags import PAGE_SIZE, PG_FICTITIOUS, PG_SWAPPED, VM_PAGE_BITS_ALL
from vmsmp.vm.vm_page.lookup import vm_page_lookup_busy_try, vm_page_lookup_sbusy_try

if TYPE_CHECKING:
    from vmsmp.vm.pmap.pmap import Pmap
    from vmsmp.vm.vm_map.entry import VmMapEntry
    from vmsmp.vm.vm_object.object import VmObject


def vm_prefault_quick(pmap: Pmap, addra: int, entry: VmMapEntry, prot: int, fault_flags: int) -> None:
    """Map pages of the first object around an address, on each side up to the first that is missing or busy.

    Locks: the map, and the first object's token.  Sleeps: as `pmap_enter`.
    """
    pages = prefault_pages(pmap, entry)
    if not pages or entry.ba.backing_ba is not None:
        return
    obj: VmObject = entry.ba.object
    ASSERT_OBJECT_HELD(obj)
    around = Neighbours(addra, entry, pages)
    for above, addr in around:
        if not pmap_prefault_ok(pmap, addr):
            around.ends[above] = True
            continue
        pindex = (entry.ba.offset + addr - entry.ba.start) >> PAGE_SHIFT
        entered = None if prot & VM_PROT_WRITE else _soft(pmap, addr, entry, obj, pindex, prot)
        if entered is None:
            entered = _hard(pmap, addr, entry, obj, pindex, prot, fault_flags)
        if not entered:
            return


def _soft(pmap: Pmap, addr: int, entry: VmMapEntry, obj: VmObject, pindex: int, prot: int) -> bool | None:
    """Map a page read-only with a soft busy; return False if it is missing or busy, None if it is cached."""
    m = vm_page_lookup_sbusy_try(obj, pindex, 0, PAGE_SIZE)
    if m is None:
        return False
    cached = m.queue_base() == m.vm.page.PQ_CACHE
    if not cached:
        pmap_enter(pmap, addr, m, prot, False, entry)
    vm_page_sbusy_drop(m)
    return None if cached else True


def _hard(
    pmap: Pmap, addr: int, entry: VmMapEntry, obj: VmObject, pindex: int, prot: int, fault_flags: int
) -> bool:
    """Map a page with a hard busy; return False if it is missing or busy."""
    m, error = vm_page_lookup_busy_try(obj, pindex, True)
    if m is None or error:
        return False
    flags = m.flags.load()
    swapped = flags & PG_SWAPPED and prot & VM_PROT_WRITE and fault_flags & VM_FAULT_DIRTY
    if m.valid != VM_PAGE_BITS_ALL or flags & PG_FICTITIOUS or swapped:
        vm_page_wakeup(m)
        return False
    if m.queue_base() == m.vm.page.PQ_CACHE:
        vm_page_deactivate(m)
    if prot & VM_PROT_WRITE:
        vm_object_set_writeable_dirty(m.object)
        vm_set_nosync(m, entry)
        if fault_flags & VM_FAULT_DIRTY:
            vm_page_dirty(m)
    pmap_enter(pmap, addr, m, prot, False, entry)
    vm_page_wakeup(m)
    return True
