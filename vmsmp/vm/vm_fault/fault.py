"""Resolving a page fault: from an address to a page that is mapped there.

Models: vm_fault of sys/vm/vm_fault.c.
Locks: none on entry and none on return.  The map is locked shared from the lookup until the page is mapped,
the first object by its token, the vnode of a file shared, the page busied.  A fault that has to wait for a
page, for memory or for a token in another mode gives all of that up, and starts over with the lookup.
An entry of a device (VM_MAPTYPE_UKSMAP) has no object: the device's function fills in a fictitious page on
the fault's stack, and that is mapped.
Deviations:
  * `vm.debug_fault` prints and never stops a process.
  * a process has one limit of resident pages, not a soft and a hard one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.sync.thread import curthread
from vmsmp.vm.observer import FaultEnds
from vmsmp.vm.pmap.enter import pmap_enter
from vmsmp.vm.pmap.pmap import pmap_resident_tlnw_count
from vmsmp.vm.vm_fault.bypass import vm_fault_bypass
from vmsmp.vm.vm_fault.faultstate import LWP_PAGING, Faultstate, count_fault, unlock_things
from vmsmp.vm.vm_fault.object_fault import vm_fault_object
from vmsmp.vm.vm_fault.prefault import vm_prefault
from vmsmp.vm.vm_fault.prefault_quick import vm_prefault_quick
from vmsmp.vm.vm_map.flags import (
    FW_WIRED,
    KERN_FAILURE,
    KERN_FAILURE_NOFAULT,
    KERN_INVALID_ADDRESS,
    KERN_PROTECTION_FAILURE,
    KERN_SUCCESS,
    KERN_TRY_AGAIN,
    MAP_ENTRY_KSTACK,
    MAP_ENTRY_NOFAULT,
    PAGE_SHIFT,
    UKSMAPOP_FAULT,
    VM_FAULT_BURST,
    VM_FAULT_UNSWAP,
    VM_FAULT_USER_WIRE,
    VM_FAULT_USERMODE,
    VM_FAULT_WIRE_MASK,
    VM_MAP_BACK_EXCL_HEUR,
    VM_MAPTYPE_UKSMAP,
    VM_PROT_NOSYNC,
    VM_PROT_OVERRIDE_WRITE,
    VM_PROT_RW,
    VM_PROT_WRITE,
)
from vmsmp.vm.vm_map.lookup import TDF_NOFAULT, Lookup, vm_map_lookup
from vmsmp.vm.vm_map.stack import vm_map_growstack
from vmsmp.vm.vm_object.hold import vm_object_drop, vm_object_hold, vm_object_hold_shared
from vmsmp.vm.vm_object.object import OBJT_SWAP, OBJT_VNODE
from vmsmp.vm.vm_page.activity import vm_page_activate
from vmsmp.vm.vm_page.busy import vm_page_flag_set, vm_page_sbusy_drop, vm_page_wakeup
from vmsmp.vm.vm_page.fake import fake_of_fault, forget_fake
from vmsmp.vm.vm_page.flags import PAGE_SIZE, PG_REFERENCED
from vmsmp.vm.vm_page.holding import vm_page_unwire, vm_page_wire
from vmsmp.vm.vm_pageout.deactivate import vm_pageout_map_deactivate_pages
from vmsmp.vm.vm_pager.vnode_lock import vnode_pager_lock

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_fault.startup import Faults
    from vmsmp.vm.vm_map.map import VmMap


def vm_fault(map: VmMap, vaddr: int, fault_type: int, fault_flags: int) -> int:
    """Map the page of an address for that kind of access; return a KERN_* code.

    After a success the page was mapped at some moment; it may be unmapped by now.
    Locks: none.  Sleeps: yes.
    """
    vm: VmSystem = map.vm
    gd = vm.mycpu()
    held = len(gd.cpu.held)
    fault = _Fault(map, vaddr, fault_type, fault_flags)
    gd.lwp_flags |= LWP_PAGING
    result = fault.attempt()
    while result is None:
        result = fault.attempt()
    gd.lwp_flags &= ~LWP_PAGING
    if fault.fault_flags & VM_FAULT_USERMODE:
        _limit_resident(map)
    _tell(map, vaddr, fault_type, result)
    for hook in vm.hooks.event:
        hook(gd.cpu, FaultEnds(map, result, held))
    return result


def _limit_resident(map: VmMap) -> None:
    """Remove mappings of a process that exceeds its limit of resident pages.  Locks: none."""
    vm: VmSystem = map.vm
    gd = vm.mycpu()
    if gd.lwp.lwp_vmspace is None or vm.pageout.memuse_mode < 1 or map is vm.map.kernel_map:
        return
    limit: int = gd.proc.hint("rlim_rss") >> PAGE_SHIFT
    size = pmap_resident_tlnw_count(map.pmap) - vm.pageout.memuse_spared
    if size > 0 and size >= limit:
        vm_pageout_map_deactivate_pages(map, limit)


def _tell(map: VmMap, vaddr: int, fault_type: int, result: int) -> None:
    """Print the result of a fault if `vm.debug_fault` asks for it."""
    faults: Faults = map.vm.fault
    if result == KERN_SUCCESS and faults.debug_fault > 0:
        faults.debug_fault -= 1
    elif result == KERN_SUCCESS or faults.debug_fault >= 0:
        return
    map.vm.kprintf(f"vm_fault: {map.name} at {vaddr:#x} for {fault_type}: {result}")


def find_entry(fs: Faultstate, vaddr: int, found: Lookup) -> Lookup | int:
    """Look up again, less strictly, what failed while a user wires; return a lookup, or a KERN_* code.

    A range that may not be written to when a user wires it loses the right to become writeable.
    """
    if found.rv == KERN_SUCCESS:
        return found
    if found.rv != KERN_PROTECTION_FAILURE or fs.fault_flags & VM_FAULT_WIRE_MASK != VM_FAULT_USER_WIRE:
        return found.rv
    found = vm_map_lookup(fs.map, vaddr, VM_PROT_RW | VM_PROT_OVERRIDE_WRITE)
    if found.rv != KERN_SUCCESS or found.entry is None:
        return KERN_FAILURE
    if not found.entry.protection & VM_PROT_WRITE:
        found.entry.max_protection.clearbits(VM_PROT_WRITE)
    return found


def may_grow(map: VmMap, rv: int) -> bool:
    """Return whether a lookup has failed at an address where a stack may have to grow."""
    vm: VmSystem = map.vm
    runs = vm.mycpu().lwp.lwp_vmspace is not None
    return rv == KERN_INVALID_ADDRESS and map is not vm.map.kernel_map and runs


def refuses_to_wait(fs: Faultstate, retry: int) -> bool:
    """Return whether a thread that must not wait (TDF_NOFAULT) has to give up.  Locks: none."""
    if not curthread(fs.vm.machine).td_flags & TDF_NOFAULT:
        return False
    slow = fs.first_ba.object.hint("type") in (OBJT_VNODE, OBJT_SWAP)
    return bool(retry) or slow or fs.first_ba.backing_ba is not None


def hold_first(fs: Faultstate) -> None:
    """Lock the first object in the mode that the fault now needs, and the vnode behind the chain."""
    if fs.first_shared:
        vm_object_hold_shared(fs.first_ba.object)
    else:
        vm_object_hold(fs.first_ba.object)
    if fs.vp is None:
        fs.vp = vnode_pager_lock(fs.first_ba)
    fs.first_ba_held = 1


class _Fault:
    """A fault under way."""

    __slots__ = (
        "fault_flags",
        "fault_type",
        "first_count",
        "first_pindex",
        "fs",
        "growstack",
        "inherit_prot",
        "map",
        "retry",
        "vaddr",
        "vm",
    )

    def __init__(self, map: VmMap, vaddr: int, fault_type: int, fault_flags: int) -> None:
        self.vm: VmSystem = map.vm
        self.map = map
        self.vaddr = vaddr
        self.fault_type = fault_type
        self.inherit_prot = fault_type & VM_PROT_NOSYNC
        self.fault_flags = fault_flags
        self.growstack = True
        self.retry = 0
        self.first_pindex = 0
        self.first_count = 0
        self.fs = Faultstate(self.vm, fault_flags, self.vm.fault.vm_shared_fault)

    def attempt(self) -> int | None:
        """RetryFault: go through all steps; return a KERN_* code, or None if it must be tried again."""
        fs = self.fs
        fs.msoftonly = False
        fs.first_ba_held = 0
        fs.map = self.map
        result = self._lookup()
        if result is None:
            return None
        if result != KERN_SUCCESS:
            return self._done(result)
        entry = fs.entry
        if entry.eflags & MAP_ENTRY_NOFAULT:
            self.vm.panic(f"vm_fault: fault on nofault entry, addr: {self.vaddr:#x}")
        if entry.eflags & MAP_ENTRY_KSTACK and self.vaddr < entry.ba.start + PAGE_SIZE:
            self.vm.panic(f"vm_fault: fault on stack guard, addr: {self.vaddr:#x}")
        if entry.maptype == VM_MAPTYPE_UKSMAP:
            return self._device()
        if fs.first_ba is None or fs.first_ba.peek("object") is None:
            self.vm.panic("vm_fault: unrecoverable fault in a map entry without an object")
        if refuses_to_wait(fs, self.retry):
            unlock_things(fs)
            return KERN_FAILURE
        if fs.wflags & FW_WIRED:
            self.fault_type = fs.first_prot
        if fs.fault_flags & VM_FAULT_UNSWAP:
            fs.first_shared = 0
        if self.vm.fault.vm_fault_bypass_count and self._bypass():
            self.fault_flags &= ~VM_FAULT_BURST
        else:
            result = self._object()
            if result == KERN_TRY_AGAIN:
                self.retry += 1
                return None
            if result != KERN_SUCCESS:
                return self._done(result)
        self._success()
        return self._done_success()

    def _lookup(self) -> int | None:
        """Find the entry and lock its map shared; return a KERN_* code, or None after a stack has grown."""
        fs = self.fs
        found = vm_map_lookup(fs.map, self.vaddr, self.fault_type)
        fs.map, fs.entry, fs.first_ba = found.map, found.entry, found.ba
        if found.rv == KERN_FAILURE_NOFAULT:
            return KERN_FAILURE
        if self.growstack and may_grow(self.map, found.rv):
            if vm_map_growstack(self.map, self.vaddr) != KERN_SUCCESS:
                return KERN_FAILURE
            self.growstack = False
            self.retry += 1
            return None
        settled = find_entry(fs, self.vaddr, found)
        if isinstance(settled, int):
            return settled
        fs.map, fs.entry, fs.first_ba = settled.map, settled.entry, settled.ba
        fs.first_prot, fs.wflags = settled.prot, settled.wflags
        self.first_pindex, self.first_count = settled.pindex, settled.pcount
        fs.lookup_still_valid = 1
        fs.first_m = None
        fs.ba = fs.first_ba
        fs.prot = fs.first_prot
        return KERN_SUCCESS

    def _device(self) -> int:
        """Map the memory that a device's function gives for the address."""
        fs = self.fs
        entry = fs.entry
        fake = fake_of_fault(self.vm, self.first_pindex)
        refused = entry.ba.object(entry.ba, UKSMAPOP_FAULT, entry.aux, fake)
        if not refused:
            prot = fs.prot | self.inherit_prot
            pmap_enter(fs.map.pmap, self.vaddr, fake, prot, bool(fs.wflags & FW_WIRED), entry)
        forget_fake(fake)
        if refused:
            unlock_things(fs)
            return KERN_FAILURE
        return self._done_success()

    def _bypass(self) -> bool:
        """Find pages without a lock of their object; return whether there are any."""
        return vm_fault_bypass(self.fs, self.first_pindex, self.first_count) == KERN_SUCCESS

    def _object(self) -> int:
        """Find or make the page in the objects; return a KERN_* code."""
        fs = self.fs
        if fs.first_ba.hint("flags") & VM_MAP_BACK_EXCL_HEUR:
            fs.first_shared = 0
        hold_first(fs)
        return vm_fault_object(fs, self.first_pindex, self.fault_type, True)

    def _success(self) -> None:
        """Map the pages, drop their busies, and map neighbours."""
        fs = self.fs
        wiring = fs.fault_flags & VM_FAULT_WIRE_MASK
        wired = bool(fs.wflags & FW_WIRED)
        if not fs.lookup_still_valid:
            self.vm.panic("vm_fault: the map is not locked")
        vm_page_flag_set(fs.m, PG_REFERENCED)
        for n, m in enumerate(fs.mary):
            pmap_enter(
                fs.map.pmap, self.vaddr + n * PAGE_SIZE, m, fs.prot | self.inherit_prot, wired, fs.entry
            )
        for m in fs.mary:
            if fs.msoftonly:
                vm_page_sbusy_drop(m)
                continue
            if not wiring:
                vm_page_activate(m)
            elif wired:
                vm_page_wire(m)
            else:
                vm_page_unwire(m, True)
            vm_page_wakeup(m)
        if self.fault_flags & VM_FAULT_BURST and not wiring and not wired:
            exclusive = not fs.first_shared and not fs.shared
            prefault = vm_prefault if exclusive else vm_prefault_quick
            prefault(fs.map.pmap, self.vaddr, fs.entry, fs.prot, self.fault_flags)

    def _done_success(self) -> int:
        unlock_things(self.fs)
        self.vm.mycpu().v_vm_faults += 1
        count_fault(self.fs)
        return self._done(KERN_SUCCESS)

    def _done(self, result: int) -> int:
        """Release the first object if it is held; `first_ba` is read before that is tested."""
        first_ba = self.fs.first_ba
        if first_ba is not None and first_ba.hint("object") is not None and self.fs.first_ba_held == 1:
            vm_object_drop(first_ba.object)
            self.fs.first_ba_held = 0
        return result
