"""Finding or making the page of an address in the objects behind it: the core of all faults.

Models: vm_fault_object of sys/vm/vm_fault.c.
Locks: the token of the first object, shared at first if `first_shared` says so; at most one lower object's
beside it.  The page that is reserved in the first layer, and that of the current one, are hard-busied.
If a token has to be exclusive and is not, everything is released, and the fault starts over.
Deviations:
  * page tables without emulated accessed and modified bits; no object of managed devices has faults.
  * files are read a page at a time; what is read ahead from swap is marked (PG_RAM) as in the kernel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vmsmp.sync.thread import curthread
from vmsmp.vm.vm_fault.faultstate import (
    TRYPAGER,
    release_page,
    set_excl_heur,
    unlock_things,
    vm_set_nosync,
)
from vmsmp.vm.vm_map.flags import (
    KERN_FAILURE,
    KERN_PROTECTION_FAILURE,
    KERN_SUCCESS,
    KERN_TRY_AGAIN,
    MAP_ENTRY_BEHAV_MASK,
    MAP_ENTRY_BEHAV_RANDOM,
    PAGE_SHIFT,
    VM_FAULT_DIRTY,
    VM_MAP_BACK_EXCL_HEUR,
    VM_PROT_WRITE,
)
from vmsmp.vm.vm_map.lookup import TDF_NOFAULT
from vmsmp.vm.vm_meter.meter import P_LOWMEMKILL
from vmsmp.vm.vm_meter.paging import vm_paging_severe
from vmsmp.vm.vm_object.flags import vm_object_set_writeable_dirty
from vmsmp.vm.vm_object.hold import (
    ASSERT_OBJECT_HELD,
    vm_object_drop,
    vm_object_hold,
    vm_object_hold_shared,
    vm_object_lock_swap,
)
from vmsmp.vm.vm_object.object import OBJ_DEAD, OBJT_SWAP
from vmsmp.vm.vm_object.paging import vm_object_pip_add, vm_object_pip_wakeup
from vmsmp.vm.vm_page.activity import vm_page_activate, vm_page_deactivate, vm_page_unqueue_nowakeup
from vmsmp.vm.vm_page.alloc import vm_page_alloc
from vmsmp.vm.vm_page.busy import vm_page_flag_clear, vm_page_sleep_busy, vm_page_wakeup
from vmsmp.vm.vm_page.dirty import vm_page_dirty
from vmsmp.vm.vm_page.flags import (
    PBUSY_LOCKED,
    PG_RAM,
    PG_SWAPPED,
    VM_ALLOC_NORMAL,
    VM_ALLOC_NULL_OK,
    VM_ALLOC_USE_GD,
    VM_ALLOC_ZERO,
    VM_PAGE_BITS_ALL,
)
from vmsmp.vm.vm_page.free import vm_page_free
from vmsmp.vm.vm_page.lookup import vm_page_lookup, vm_page_lookup_busy_try
from vmsmp.vm.vm_page.validity import vm_page_copy, vm_page_zero_fill, vm_page_zero_invalid
from vmsmp.vm.vm_page.wait import vm_wait_pfault
from vmsmp.vm.vm_pager.result import VM_PAGER_ERROR, VM_PAGER_FAIL, VM_PAGER_OK
from vmsmp.vm.vm_pager.swap_meta import swap_pager_haspage_locked, swap_pager_unswapped
from vmsmp.vm.vm_pager.table import vm_pager_get_page
from vmsmp.vm.vm_pager.vnode_lock import vnode_pager_freepage

if TYPE_CHECKING:
    from vmsmp.vm.vm_fault.faultstate import Faultstate
    from vmsmp.vm.vm_map.entry import VmMapBacking
    from vmsmp.vm.vm_object.object import VmObject
    from vmsmp.vm.vm_page.page import VmPage

#: The next step of the walk; a KERN_* code ends it.
READREST: Final = -1
NEXT: Final = -2
FOUND: Final = -3
LOOK: Final = -4


def vm_fault_object(fs: Faultstate, first_pindex: int, fault_type: int, allow_nofault: bool) -> int:
    """Put the first object's page at that index into `fs.mary`, hard-busied and valid; return a KERN_* code.

    A page that is not to be written to may be a lower object's.  After KERN_TRY_AGAIN, as after any failure,
    nothing is held but what the caller held before.
    Locks: the first object's token, and whatever `fs` says.  Sleeps: yes.
    """
    ASSERT_OBJECT_HELD(fs.first_ba.object)
    if fs.ba is not fs.first_ba:
        fs.vm.panic("vm_fault_object: it does not begin at the first object")
    fs.prot = fs.first_prot
    vm_object_pip_add(fs.first_ba.object, 1)
    walk = _Walk(fs, first_pindex, fault_type, allow_nofault)
    step = LOOK
    while step < 0:
        step = walk.take(step)
    return step


class _Walk:
    """A walk down the layers: `m` is the page of the current layer, hard-busied, if it has one."""

    __slots__ = ("allow_nofault", "fault_type", "first_pindex", "fs", "m", "pindex", "vm")

    def __init__(self, fs: Faultstate, first_pindex: int, fault_type: int, allow_nofault: bool) -> None:
        self.fs = fs
        self.vm = fs.vm
        self.first_pindex = first_pindex
        self.pindex = first_pindex
        self.fault_type = fault_type
        self.allow_nofault = allow_nofault
        self.m: VmPage | None = None

    def take(self, step: int) -> int:
        """Take a step; return the next one, or the KERN_* code that ends the walk."""
        steps = {LOOK: self.look, READREST: self.readrest, NEXT: self.next, FOUND: self.found}
        return steps[step]()

    @property
    def at_first(self) -> bool:
        """Whether the current layer is the first one."""
        return self.fs.ba is self.fs.first_ba

    # -- a layer ------------------------------------------------------------------------------------

    def look(self) -> int:
        """Look for the page in the layer; if it is absent and the layer may get it, allocate it."""
        fs = self.fs
        if fs.ba.object.flags.bits(OBJ_DEAD):
            return self._leave(KERN_PROTECTION_FAILURE)
        m, error = vm_page_lookup_busy_try(fs.ba.object, self.pindex, True)
        if m is not None and error:
            return self._sleep_busy(m)
        self.m = m
        if m is not None:
            return self._resident(m)
        if TRYPAGER(fs) or self.at_first:
            return self._absent()
        return READREST

    def _sleep_busy(self, m: VmPage) -> int:
        """Wait for a page that another CPU has busied, with nothing held; the fault then starts over."""
        self._leave(KERN_TRY_AGAIN)
        vm_page_sleep_busy(m, True, "vmpfw")
        self.vm.mycpu().v_intrans += 1
        return KERN_TRY_AGAIN

    def _resident(self, m: VmPage) -> int:
        """Take a resident page off its queue, and test whether it is valid."""
        queue = m.queue_base()
        vm_page_unqueue_nowakeup(m)
        if queue == self.vm.page.PQ_CACHE and vm_paging_severe(self.vm):
            vm_page_activate(m)
            vm_page_wakeup(m)
            return self._wait_for_memory()
        if m.object is not self.vm.objects.kernel_object:
            if m.valid != VM_PAGE_BITS_ALL:
                return READREST
            if m.flags.load() & PG_RAM:
                if self.vm.fault.debug_cluster:
                    self.vm.kprintf("R")
                vm_page_flag_clear(m, PG_RAM)
                return READREST
        set_excl_heur(self.fs.first_ba, 0)
        return FOUND

    def _absent(self) -> int:
        """Allocate the page, which needs the tokens exclusively."""
        fs = self.fs
        obj: VmObject = fs.ba.object
        swap = not self.at_first and obj.hint("type") == OBJT_SWAP
        if swap and not swap_pager_haspage_locked(obj, self.pindex):
            return NEXT
        set_excl_heur(fs.first_ba, VM_MAP_BACK_EXCL_HEUR)
        if self._promote():
            return self._leave(KERN_TRY_AGAIN)
        if self.pindex >= obj.hint("size"):
            return self._leave(KERN_PROTECTION_FAILURE)
        if not vm_paging_severe(self.vm):
            flags = VM_ALLOC_NULL_OK | VM_ALLOC_NORMAL
            if fs.vp is None and fs.ba.backing_ba is None:
                flags |= VM_ALLOC_USE_GD | VM_ALLOC_ZERO
            self.m = vm_page_alloc(self.vm, obj, self.pindex, flags)
        if self.m is None:
            return self._wait_for_memory()
        return READREST

    def _promote(self) -> bool:
        """Ask for exclusive tokens where the layer's is shared; return whether it was."""
        fs = self.fs
        if not (fs.first_shared if self.at_first else fs.shared):
            return False
        fs.first_shared = 0
        if not self.at_first:
            fs.shared = 0
        return True

    # -- its pager ----------------------------------------------------------------------------------

    def readrest(self) -> int:
        """Have the pager read the page; after that the fault starts over, or fails."""
        fs = self.fs
        if not TRYPAGER(fs):
            return NEXT
        m = self.m
        if m is None:
            self.vm.panic("vm_fault_object: no page to read")
        if self._promote():
            vm_page_deactivate(m)
            vm_page_wakeup(m)
            return self._leave(KERN_TRY_AGAIN)
        obj: VmObject = fs.ba.object
        random = fs.entry.eflags & MAP_ENTRY_BEHAV_MASK == MAP_ENTRY_BEHAV_RANDOM
        rv = vm_pager_get_page(obj, m, 0 if random else -1)
        if rv == VM_PAGER_OK:
            fs.hardfault += 1
            m = vm_page_lookup(obj, self.pindex)
            if m is not None:
                vm_page_activate(m)
                vm_page_wakeup(m)
            return self._leave(KERN_TRY_AGAIN)
        if rv == VM_PAGER_FAIL:
            if not self.at_first:
                vm_page_free(m)
                self.m = None
            return NEXT
        if rv == VM_PAGER_ERROR:
            self.vm.kprintf(f"vm_fault: pager read error, {self.vm.mycpu().proc.name}")
        vnode_pager_freepage(m)
        vm_object_pip_wakeup(obj)
        unlock_things(fs)
        return KERN_FAILURE if rv == VM_PAGER_ERROR else KERN_PROTECTION_FAILURE

    # -- the next layer -----------------------------------------------------------------------------

    def next(self) -> int:
        """Go on to the next layer; behind the last one there is a page of zeros."""
        fs = self.fs
        if self.at_first:
            fs.first_m = self.m
        next_ba: VmMapBacking | None = fs.ba.backing_ba
        if next_ba is None:
            return self._zero()
        obj: VmObject = fs.ba.object
        below: VmObject = next_ba.object
        if fs.shared:
            vm_object_hold_shared(below)
        else:
            vm_object_hold(below)
        if next_ba is not fs.ba.backing_ba:
            self.vm.panic("vm_fault_object: the chain has changed")
        self.pindex += (next_ba.offset >> PAGE_SHIFT) - (fs.ba.offset >> PAGE_SHIFT)
        if not self.at_first:
            vm_object_pip_wakeup(obj)
            vm_object_lock_swap(self.vm)
            vm_object_drop(obj)
        fs.ba = next_ba
        vm_object_pip_add(below, 1)
        self.m = None
        return LOOK

    def _zero(self) -> int:
        fs = self.fs
        if not self.at_first:
            vm_object_pip_wakeup(fs.ba.object)
            vm_object_drop(fs.ba.object)
            fs.ba = fs.first_ba
            self.pindex = self.first_pindex
            self.m = fs.first_m
        fs.first_m = None
        m = self.m
        if m is None:
            self.vm.panic("vm_fault_object: no page to zero")
        vm_page_zero_fill(m)
        self.vm.mycpu().v_zfod += 1
        m.publish("valid", VM_PAGE_BITS_ALL)
        return FOUND

    # -- a page -------------------------------------------------------------------------------------

    def found(self) -> int:
        """Copy a lower layer's page for a write, and prepare the page to be mapped writeable if it may be."""
        fs = self.fs
        m = self.m
        if m is None or not m.busy_count.bits(PBUSY_LOCKED):
            self.vm.panic("vm_fault_object: page not busy")
        if not self.at_first:
            if self.fault_type & VM_PROT_WRITE:
                m = self._copy(m)
            else:
                fs.prot &= ~VM_PROT_WRITE
        if not fs.lookup_still_valid:
            self.vm.panic("vm_fault_object: the map is not locked")
        vm_page_activate(m)
        if fs.prot & VM_PROT_WRITE and not self._writeable(m):
            return KERN_TRY_AGAIN
        vm_object_pip_wakeup(fs.first_ba.object)
        if not m.busy_count.bits(PBUSY_LOCKED):
            self.vm.panic("vm_fault_object: page not busy")
        if m.valid != VM_PAGE_BITS_ALL:
            vm_page_zero_invalid(m, True)
            self.vm.kprintf(f"vm_fault: {m.name} is not valid as a whole")
        fs.mary = [m]
        return KERN_SUCCESS

    def _copy(self, m: VmPage) -> VmPage:
        """Copy the page to the one that is reserved in the first object; return the copy."""
        fs = self.fs
        first_m = fs.first_m
        if fs.first_shared or first_m is None:
            self.vm.panic("vm_fault_object: nothing is reserved for a copy")
        fs.mary = [m]
        vm_page_copy(m, first_m)
        release_page(fs)
        vm_object_pip_wakeup(fs.ba.object)
        vm_object_drop(fs.ba.object)
        fs.ba = fs.first_ba
        self.vm.mycpu().v_cow_faults += 1
        self.m = first_m
        self.pindex = self.first_pindex
        return first_m

    def _writeable(self, m: VmPage) -> bool:
        """Prepare a page that is to be mapped writeable; False if its swap needs the token exclusively."""
        fs = self.fs
        vm_object_set_writeable_dirty(m.object)
        vm_set_nosync(m, fs.entry)
        if not fs.fault_flags & VM_FAULT_DIRTY:
            return True
        vm_page_dirty(m)
        if not m.flags.bits(PG_SWAPPED):
            return True
        if fs.first_shared if self.at_first else fs.shared:
            vm_page_wakeup(m)
            if self.at_first:
                fs.first_shared = 0
            else:
                fs.shared = 0
            self._leave(KERN_TRY_AGAIN)
            return False
        swap_pager_unswapped(m)
        return True

    # -- the end ------------------------------------------------------------------------------------

    def _leave(self, result: int) -> int:
        """End the activity on the first object, and release everything; return `result`."""
        vm_object_pip_wakeup(self.fs.first_ba.object)
        unlock_things(self.fs)
        return result

    def _wait_for_memory(self) -> int:
        """Release everything and wait for memory; give up if the process is being killed for it."""
        self._leave(KERN_TRY_AGAIN)
        if self.allow_nofault and curthread(self.vm.machine).td_flags & TDF_NOFAULT:
            return KERN_TRY_AGAIN
        vm_wait_pfault(self.vm)
        if self.vm.mycpu().proc.p_flags.load() & P_LOWMEMKILL:
            return KERN_PROTECTION_FAILURE
        return KERN_TRY_AGAIN
