"""Mapping the neighbours of a faulted page, with new pages of zeros where no layer has one.

Models: vm_prefault of sys/vm/vm_fault.c.
Locks: the map, shared; the first object's token exclusively, taken recursively, and at most one lower
object's beside it.  Pages are busied by trying only.
Deviations: none known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Final

from vmsmp.vm.pmap.enter import pmap_enter
from vmsmp.vm.pmap.query import pmap_prefault_ok
from vmsmp.vm.vm_fault.faultstate import vm_set_nosync
from vmsmp.vm.vm_map.flags import (
    PAGE_MASK,
    PAGE_SHIFT,
    VM_FAULT_DIRTY,
    VM_MAPTYPE_NORMAL,
    VM_PROT_WRITE,
)
from vmsmp.vm.vm_meter.paging import vm_paging_min
from vmsmp.vm.vm_object.flags import vm_object_set_writeable_dirty
from vmsmp.vm.vm_object.hold import vm_object_drop, vm_object_hold, vm_object_lock_swap
from vmsmp.vm.vm_object.object import OBJT_DEFAULT
from vmsmp.vm.vm_page.activity import vm_page_deactivate
from vmsmp.vm.vm_page.alloc import vm_page_alloc
from vmsmp.vm.vm_page.busy import vm_page_wakeup
from vmsmp.vm.vm_page.dirty import vm_page_dirty
from vmsmp.vm.vm_page.flags import (
    PAGE_SIZE,
    PG_FICTITIOUS,
    VM_ALLOC_NORMAL,
    VM_ALLOC_NULL_OK,
    VM_ALLOC_USE_GD,
    VM_ALLOC_ZERO,
    VM_PAGE_BITS_ALL,
)
from vmsmp.vm.vm_page.lookup import vm_page_lookup_busy_try
from vmsmp.vm.vm_page.validity import vm_page_zero_fill
from vmsmp.vm.vm_pager.swap_meta import swap_pager_unswapped

if TYPE_CHECKING:
    from vmsmp.vm.pmap.pmap import Pmap
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_map.entry import VmMapBacking, VmMapEntry
    from vmsmp.vm.vm_object.object import VmObject
    from vmsmp.vm.vm_page.page import VmPage

#: The most pages that may be tried around a fault.
PREFAULT_MAX: Final = 1024


class Neighbours:
    """The addresses around one, nearest first, above and below in turn, until both sides have ended."""

    __slots__ = ("_addra", "_entry", "_pages", "_pause", "ends")

    def __init__(
        self, addra: int, entry: VmMapEntry, pages: int, pause: Callable[[], None] | None = None
    ) -> None:
        self._addra = addra
        self._entry = entry
        self._pages = pages
        #: Lets others run, at every eighth try.
        self._pause = pause
        #: Whether the side below, and the side above, has ended.
        self.ends = [False, False]

    def __iter__(self) -> Iterator[tuple[bool, int]]:
        """Yield (whether it is above, address) for each address inside the entry."""
        for i in range(self._pages):
            if i & 7 == 7 and self._pause is not None:
                self._pause()
            above = i % 2 == 0
            if self.ends[above]:
                continue
            step = (i + 2) // 2 if above else -((i + 1) // 2)
            addr = self._addra + step * PAGE_SIZE
            if self._entry.ba.start <= addr < self._entry.ba.end:
                yield above, addr
            else:
                self.ends[above] = True
            if all(self.ends):
                return


def prefault_pages(pmap: Pmap, entry: VmMapEntry) -> int:
    """Return how many pages to try: none for another process' page tables, or for a device."""
    vm: VmSystem = pmap.vm
    vmspace = vm.mycpu().lwp.lwp_vmspace
    mine = vmspace is not None and vmspace.vm_map.pmap is pmap
    if not mine or entry.maptype != VM_MAPTYPE_NORMAL:
        return 0
    return max(0, min(vm.fault.vm_prefault_pages, PREFAULT_MAX))


def vm_prefault(pmap: Pmap, addra: int, entry: VmMapEntry, prot: int, fault_flags: int) -> None:
    """Map the pages around an address: resident ones, and pages of zeros that were never written to.

    Locks: the map, and the first object's token exclusively.  Sleeps: for the tokens of lower objects, and
    to let others run.
    """
    pages = prefault_pages(pmap, entry)
    if not pages:
        return
    vm: VmSystem = pmap.vm
    obj: VmObject = entry.ba.object
    vm_object_hold(obj)
    around = Neighbours(addra, entry, pages, partial(vm.pause_tokens, "lwkt_yield"))
    for above, addr in around:
        if not pmap_prefault_ok(pmap, addr):
            around.ends[above] = True
            continue
        search = _Search(entry, obj, addr, prot)
        m = search.find()
        if m is None:
            search.drop()
            break
        if search.prot & VM_PROT_WRITE:
            vm_object_set_writeable_dirty(m.hint("object"))
        search.drop()
        if not search.error:
            _enter(pmap, addr, m, entry, search, fault_flags)
    vm_object_drop(obj)


class _Search:
    """The search for a page through the layers.

    `lobject` is the current layer, `prot` the rights that the page may be mapped with.  `allocated`: the page
    is new; `error`: another CPU has it busied.
    """

    __slots__ = ("_entry", "_index", "_object", "allocated", "error", "lobject", "prot")

    def __init__(self, entry: VmMapEntry, obj: VmObject, addr: int, prot: int) -> None:
        self._entry = entry
        self._object = obj
        self._index = (entry.ba.offset + addr - entry.ba.start) >> PAGE_SHIFT
        self.lobject = obj
        self.prot = prot
        self.allocated = False
        self.error = False

    def find(self) -> VmPage | None:
        """Return the page, hard-busied unless `error`; None if none can be found or made without a pager."""
        ba: VmMapBacking = self._entry.ba
        index, prot = self._index, self.prot
        while True:
            m, self.error = vm_page_lookup_busy_try(self.lobject, index, True)
            if m is not None:
                return m
            if self.lobject.hint("type") != OBJT_DEFAULT:
                return None
            below: VmMapBacking | None = ba.backing_ba
            if below is None:
                return self._allocate(prot)
            if below.offset & PAGE_MASK:
                return None
            vm_object_hold(below.object)
            index += (below.offset >> PAGE_SHIFT) - (ba.offset >> PAGE_SHIFT)
            if self.lobject is not self._object:
                vm_object_lock_swap(below.vm)
                vm_object_drop(self.lobject)
            self.lobject = below.object
            self.prot &= ~VM_PROT_WRITE
            ba = below

    def _allocate(self, prot: int) -> VmPage | None:
        """Return a new page of the first object if the page may be mapped writeable, else None."""
        vm: VmSystem = self._object.vm
        if not (vm.fault.vm_fast_fault and prot & VM_PROT_WRITE and not vm_paging_min(vm)):
            return None
        request = VM_ALLOC_NORMAL | VM_ALLOC_ZERO | VM_ALLOC_USE_GD | VM_ALLOC_NULL_OK
        m = vm_page_alloc(vm, self._object, self._index, request)
        self.allocated = True
        self.prot = prot
        return m

    def drop(self) -> None:
        """Release the layer's object, if it is not the first one."""
        if self.lobject is not self._object:
            vm_object_drop(self.lobject)


def _enter(pmap: Pmap, addr: int, m: VmPage, entry: VmMapEntry, search: _Search, fault_flags: int) -> None:
    """Map a page that is new, or valid.  Locks: the page hard-busied by the caller; consumes the busy."""
    if search.allocated:
        vm_page_zero_fill(m)
        m.vm.mycpu().v_zfod += 1
        m.publish("valid", VM_PAGE_BITS_ALL)
        if search.prot & VM_PROT_WRITE:
            vm_set_nosync(m, entry)
        pmap_enter(pmap, addr, m, search.prot, False, entry)
        vm_page_deactivate(m)
        if search.prot & VM_PROT_WRITE:
            _written(m, entry, fault_flags)
    elif m.valid == VM_PAGE_BITS_ALL and not m.flags.bits(PG_FICTITIOUS):
        if m.queue_base() == m.vm.page.PQ_CACHE:
            vm_page_deactivate(m)
        if search.prot & VM_PROT_WRITE:
            _written(m, entry, fault_flags)
        pmap_enter(pmap, addr, m, search.prot, False, entry)
    vm_page_wakeup(m)


def _written(m: VmPage, entry: VmMapEntry, fault_flags: int) -> None:
    """Mark a page as dirty if a fault that writes maps it writeable."""
    vm_set_nosync(m, entry)
    if fault_flags & VM_FAULT_DIRTY:
        vm_page_dirty(m)
        swap_pager_unswapped(m)
