"""The page behind an address or of an object, for callers that access it without mapping it.

Models: vm_fault_page, vm_fault_page_quick and vm_fault_object_page of sys/vm/vm_fault.c.
Locks: on the way as `vm_fault`.  The page is returned held, or hard-busied if that was asked for.
Deviations:
  * those of `fault`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from vmsmp.vm.pmap.query import pmap_fault_page_quick
from vmsmp.vm.pmap.remove import pmap_remove
from vmsmp.vm.vm_fault.fault import find_entry, hold_first, may_grow, refuses_to_wait
from vmsmp.vm.vm_fault.faultstate import Faultstate, count_fault, unlock_things
from vmsmp.vm.vm_fault.object_fault import vm_fault_object
from vmsmp.vm.vm_map.flags import (
    FW_WIRED,
    KERN_FAILURE,
    KERN_FAILURE_NOFAULT,
    KERN_PROTECTION_FAILURE,
    KERN_SUCCESS,
    KERN_TRY_AGAIN,
    MAP_ENTRY_NOFAULT,
    PAGE_SHIFT,
    UKSMAPOP_FAULT,
    VM_FAULT_DIRTY,
    VM_FAULT_NORMAL,
    VM_FAULT_UNSWAP,
    VM_FAULT_WIRE_MASK,
    VM_MAP_BACK_EXCL_HEUR,
    VM_MAPTYPE_UKSMAP,
    VM_PROT_WRITE,
    trunc_page,
)
from vmsmp.vm.vm_map.lookup import vm_map_lookup
from vmsmp.vm.vm_map.stack import vm_map_growstack
from vmsmp.vm.vm_object.hold import vm_object_upgrade
from vmsmp.vm.vm_page.activity import vm_page_activate
from vmsmp.vm.vm_page.busy import vm_page_flag_set, vm_page_wakeup
from vmsmp.vm.vm_page.dirty import vm_page_dirty
from vmsmp.vm.vm_page.fake import fake_of_fault, forget_fake
from vmsmp.vm.vm_page.flags import PAGE_SIZE, PG_REFERENCED
from vmsmp.vm.vm_page.holding import vm_page_hold
from vmsmp.vm.vm_pager.swap_meta import swap_pager_unswapped
from vmsmp.vm.vm_pager.vnode_lock import vnode_pager_lock

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_map.map import VmMap
    from vmsmp.vm.vm_object.object import VmObject
    from vmsmp.vm.vm_page.page import VmPage


class FaultPage(NamedTuple):
    """A page, or None with a KERN_* code; whether it is hard-busied rather than held."""

    page: VmPage | None
    error: int = KERN_SUCCESS
    busy: bool = False


def vm_fault_page(map: VmMap, vaddr: int, fault_type: int, fault_flags: int, may_busy: bool) -> FaultPage:
    """Return the page behind an address: held, or hard-busied if `may_busy` and it is to be written to.

    The address is unmapped, since another page may have been mapped there.
    Locks: none.  Sleeps: yes.
    """
    vm: VmSystem = map.vm
    if fault_flags & VM_FAULT_WIRE_MASK:
        vm.panic("vm_fault_page: no pages are wired here")
    m = pmap_fault_page_quick(map.pmap, vaddr, fault_type)
    if m is not None:
        return FaultPage(m)
    search = _PageFault(map, vaddr, fault_type, fault_flags)
    result = search.attempt()
    while result is None:
        result = search.attempt()
    if result != KERN_SUCCESS:
        return FaultPage(None, result)
    return search.success(may_busy)


def vm_fault_page_quick(vm: VmSystem, va: int, fault_type: int, may_busy: bool) -> FaultPage:
    """Return the page behind an address of the running process, as `vm_fault_page`."""
    vmspace = vm.mycpu().lwp.lwp_vmspace
    return vm_fault_page(vmspace.vm_map, va, fault_type, VM_FAULT_NORMAL, may_busy)


class _PageFault:
    """A fault that is to find a page."""

    __slots__ = ("_first_type", "_growstack", "_map", "_retry", "_type", "_vaddr", "_vm", "fs", "shown")

    def __init__(self, map: VmMap, vaddr: int, fault_type: int, fault_flags: int) -> None:
        self._vm: VmSystem = map.vm
        self._map = map
        self._vaddr = vaddr
        self._first_type = fault_type
        self._type = fault_type
        self._growstack = True
        self._retry = 0
        #: The page of memory that a device gives, held.
        self.shown: VmPage | None = None
        self.fs = Faultstate(self._vm, fault_flags, self._vm.fault.vm_shared_fault)
        if fault_flags & VM_FAULT_UNSWAP:
            self.fs.first_shared = 0

    def attempt(self) -> int | None:
        """RetryFault: go through all steps; return a KERN_* code, or None if it must be tried again."""
        fs = self.fs
        fs.first_ba_held = 0
        fs.map = self._map
        found = vm_map_lookup(fs.map, self._vaddr, self._type)
        if found.rv == KERN_FAILURE_NOFAULT:
            return KERN_FAILURE
        if self._growstack and may_grow(self._map, found.rv):
            if vm_map_growstack(self._map, self._vaddr) != KERN_SUCCESS:
                return KERN_FAILURE
            self._growstack = False
            self._retry += 1
            return None
        settled = find_entry(fs, self._vaddr, found)
        if isinstance(settled, int):
            return settled
        fs.map, fs.entry, fs.first_ba = settled.map, settled.entry, settled.ba
        fs.first_prot, fs.wflags = settled.prot, settled.wflags
        fs.lookup_still_valid = 1
        fs.first_m = None
        fs.ba = fs.first_ba
        fs.prot = fs.first_prot
        if fs.entry.eflags & MAP_ENTRY_NOFAULT:
            self._vm.panic(f"vm_fault: fault on nofault entry, addr: {self._vaddr:#x}")
        if fs.entry.maptype == VM_MAPTYPE_UKSMAP:
            return self._device(settled.pindex)
        if fs.first_ba is None or fs.first_ba.peek("object") is None:
            self._vm.panic("vm_fault: unrecoverable fault in a map entry without an object")
        if refuses_to_wait(fs, self._retry):
            unlock_things(fs)
            return KERN_FAILURE
        if fs.wflags & FW_WIRED:
            self._type = fs.first_prot
        if fs.first_ba.hint("flags") & VM_MAP_BACK_EXCL_HEUR:
            fs.first_shared = 0
        hold_first(fs)
        result = vm_fault_object(fs, settled.pindex, self._type, True)
        if result == KERN_TRY_AGAIN:
            self._retry += 1
            return None
        return result

    def _device(self, pindex: int) -> int:
        """Hold the page of memory that a device's function gives for the address, whatever its use."""
        fs = self.fs
        entry = fs.entry
        fake = fake_of_fault(self._vm, pindex)
        refused = entry.ba.object(entry.ba, UKSMAPOP_FAULT, entry.aux, fake)
        if not refused:
            if fake.phys >= len(self._vm.page.vm_page_array):
                self._vm.panic("vm_page_hold: page fault: the frame is not one of the memory's")
            self.shown = self._vm.page.vm_page_array[fake.phys]
            vm_page_hold(self.shown)
        forget_fake(fake)
        unlock_things(fs)
        return KERN_FAILURE if refused else KERN_SUCCESS

    def success(self, may_busy: bool) -> FaultPage:
        """Unmap the address, release everything but the page, and return that."""
        if self.shown is not None:
            return FaultPage(self.shown)
        fs = self.fs
        if self._first_type & VM_PROT_WRITE and not fs.prot & VM_PROT_WRITE:
            unlock_things(fs)
            return FaultPage(None, KERN_PROTECTION_FAILURE)
        m = fs.m
        vm_page_flag_set(m, PG_REFERENCED)
        va = trunc_page(self._vaddr)
        pmap_remove(fs.map.pmap, va, va + PAGE_SIZE)
        unlock_things(fs)
        written = bool(self._type & VM_PROT_WRITE)
        if written:
            vm_page_dirty(m)
        vm_page_activate(m)
        count_fault(fs)
        if may_busy and written:
            vm_page_dirty(m)
            return FaultPage(m, busy=True)
        vm_page_hold(m)
        vm_page_wakeup(m)
        return FaultPage(m)


class _FakeEntry:
    """An entry on the stack that maps an object from its beginning."""

    __slots__ = ("ba", "eflags")

    def __init__(self, ba: _FakeBacking) -> None:
        self.ba = ba
        self.eflags = 0


class _FakeBacking:
    """The one element of its chain."""

    __slots__ = ("flags", "object")

    backing_ba = None
    offset = 0

    def __init__(self, obj: VmObject) -> None:
        self.object = obj
        self.flags = 0

    def publish(self, name: str, value: int) -> None:
        """Store to a field that no other CPU sees."""
        setattr(self, name, value)


def vm_fault_object_page(
    obj: VmObject, offset: int, fault_type: int, fault_flags: int, shared: bool
) -> tuple[FaultPage, bool]:
    """Return the page of an object at an offset, held, and whether the object is still locked shared.

    Locks: the object's token, shared or not as `shared` says; the caller's, and exclusive in the end if it
    had to be.  Sleeps: yes, so tokens are lost.
    """
    vm: VmSystem = obj.vm
    fs = Faultstate(vm, fault_flags, vm.fault.vm_shared_fault)
    fs.first_shared = int(shared)
    fs.entry = _FakeEntry(_FakeBacking(obj))
    fs.first_ba_held = -1
    if fault_flags & VM_FAULT_UNSWAP and shared:
        fs.first_shared = 0
        vm_object_upgrade(obj)
    result = KERN_TRY_AGAIN
    while result == KERN_TRY_AGAIN:
        shared = bool(fs.first_shared)
        fs.first_ba = fs.ba = fs.entry.ba
        fs.first_prot = fault_type
        fs.wflags = 0
        if fs.vp is None:
            fs.vp = vnode_pager_lock(fs.first_ba)
        fs.lookup_still_valid = 1
        fs.first_m = None
        result = vm_fault_object(fs, offset >> PAGE_SHIFT, fault_type, False)
        if result == KERN_TRY_AGAIN and shared and not fs.first_shared:
            vm_object_upgrade(obj)
    if result != KERN_SUCCESS:
        return FaultPage(None, result), shared
    if fault_type & VM_PROT_WRITE and not fs.prot & VM_PROT_WRITE:
        unlock_things(fs)
        return FaultPage(None, KERN_PROTECTION_FAILURE), shared
    return FaultPage(_held(fs, fault_type)), shared


def _held(fs: Faultstate, fault_type: int) -> VmPage:
    """Release everything but the page, and return that, held."""
    m = fs.m
    unlock_things(fs)
    vm_page_hold(m)
    vm_page_activate(m)
    if fault_type & VM_PROT_WRITE or fs.fault_flags & VM_FAULT_DIRTY:
        vm_page_dirty(m)
    if fs.fault_flags & VM_FAULT_UNSWAP:
        swap_pager_unswapped(m)
    vm_page_flag_set(m, PG_REFERENCED)
    count_fault(fs)
    vm_page_wakeup(m)
    return m
