"""Helpers for scenarios of faults: processes that load and store, and what becomes of their pages."""

from vmsmp.mmu.fault import PageFault
from vmsmp.scenarios._kit import give_back, run_in
from vmsmp.scenarios.vm_map._spaces import new_space
from vmsmp.vm.vm_fault import vm_fault_collapse, vm_fault_copy_entry
from vmsmp.vm.vm_map import (
    KERN_SUCCESS,
    copy_entry,
    vm_map_backing_replicated,
    vm_map_entry_create,
    vm_map_entry_dispose_ba,
    vm_map_entry_link,
    vm_map_entry_release,
    vm_map_entry_reserve,
    vm_map_lock,
    vm_map_unlock,
)
from vmsmp.vm.vm_object import (
    OBJPC_SYNC,
    OBJPC_TRY_TO_CACHE,
    vm_object_drop,
    vm_object_hold,
)
from vmsmp.vm.vm_page import (
    VM_ALLOC_NORMAL,
    VM_PAGE_BITS_ALL,
    vm_page_activate,
    vm_page_alloc,
    vm_page_dirty,
    vm_page_free,
    vm_page_lookup_busy_try,
    vm_page_protect,
    vm_page_wakeup,
)
from vmsmp.vm.vm_pageout import vm_pageout_flush


class Process:
    """An address space, and accesses by the threads that run in it."""

    def __init__(self, vm):
        self.vm = vm
        self.vmspace = new_space(vm)
        self.map = self.vmspace.vm_map

    def enter(self):
        """Make the running CPU a thread of the process."""
        run_in(self.vm, self.vmspace)
        return self

    def store(self, va, value):
        """Store a value; return None, or the signal and the code with which that was refused."""
        try:
            self.vm.machine.curcpu.store(va, value)
        except PageFault as refused:
            return refused.signal
        return None

    def load(self, va):
        """Return the value at an address, or None if the access is refused."""
        try:
            return self.vm.machine.curcpu.load(va)
        except PageFault:
            return None


def alone(m, use):
    """Have a thread of a new process run `use`, and then drop its address space."""

    def thread():
        process = Process(m.vm).enter()
        use(process)
        give_back(process.vmspace)

    m.spawn(thread)
    m.join()


def filled(vm, obj, values):
    """Give an object pages with these values."""
    vm_object_hold(obj)
    for pindex, value in enumerate(values):
        page = vm_page_alloc(vm, obj, pindex, VM_ALLOC_NORMAL)
        vm.memory.store(page.phys, 0, value)
        page.valid = VM_PAGE_BITS_ALL
        vm_page_dirty(page)
        vm_page_activate(page)
        vm_page_wakeup(page)
    vm_object_drop(obj)


def page_out(obj, pindex, turns=2):
    """Unmap a page and free its memory, as the pagedaemon does: to swap, if it was written to.

    In one turn a page that is written out is cached; it is clean then, and another turn frees it.
    """
    for _ in range(turns):
        vm_object_hold(obj)
        page, busy = vm_page_lookup_busy_try(obj, pindex, True)
        vm_object_drop(obj)
        if page is None or busy:
            return
        if page.wire_count.load():
            vm_page_wakeup(page)
            return
        vm_page_protect(page, 0)
        if not page.hint("dirty"):
            vm_page_free(page)
            return
        vm_pageout_flush([page], OBJPC_SYNC | OBJPC_TRY_TO_CACHE)


def object_at(map, va):
    """Return the first object at an address, read invisibly."""
    return map.raw_rb_root.at_or_before(va).ba.raw_object


def share(source, target, va):
    """Have another map share an entry and its chain, as a fork does for shared inheritance."""
    reserved = vm_map_entry_reserve(source.vm, 4)
    vm_map_lock(source)
    vm_map_lock(target)
    entry = source.raw_rb_root.at_or_before(va)
    copy = vm_map_entry_create(target, reserved)
    copy_entry(copy, entry)
    vm_map_backing_replicated(target, copy, 0)
    vm_map_entry_link(target, copy)
    target.size += copy.ba.end - copy.ba.start
    vm_map_unlock(target)
    vm_map_unlock(source)
    vm_map_entry_release(source.vm, reserved)


def cut_chain(map, va):
    """Bring all pages of an entry into its first object, and cut off the chain behind, as a fork does."""
    vm_map_lock(map)
    entry = map.raw_rb_root.at_or_before(va)
    if vm_fault_collapse(map, entry) == KERN_SUCCESS:
        behind = entry.ba.backing_ba
        entry.ba.backing_ba = None
        entry.ba.backing_count = 0
        vm_map_entry_dispose_ba(entry, behind)
    vm_map_unlock(map)


def copy_wired(source, target, va):
    """Give another map copies of the pages of a wired entry, as a fork does."""
    vm_map_lock(source)
    vm_map_lock(target)
    entries = [map.raw_rb_root.at_or_before(va) for map in (target, source)]
    vm_fault_copy_entry(target, source, *entries)
    vm_map_unlock(target)
    vm_map_unlock(source)
