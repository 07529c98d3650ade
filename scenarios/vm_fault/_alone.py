"""Helpers for scenarios of one thread and its memory: what is mapped, and the state of its pages."""

from vmsmp.scenarios.vm_fault._memory import object_at
from vmsmp.scenarios.vm_map._spaces import at
from vmsmp.vm.pmap import pmap_remove
from vmsmp.vm.vm_map import (
    vm_map_entry_shadow,
    vm_map_lock,
    vm_map_unlock,
)
from vmsmp.vm.vm_object import (
    vm_object_reference_quick,
)


def seen(process, page):
    """The page table entry of a page of the process, None if it is not mapped; read invisibly."""
    return process.vm.mmu.peek(process.map.pmap.root, at(page))


def mapped(process):
    """Which of the first eight pages are mapped."""
    return [page for page in range(8) if seen(process, page)]


def writeable(process):
    """Which of them may be written to."""
    return [page for page in mapped(process) if seen(process, page).writeable]


def page_at(process, page):
    """The page that is mapped there."""
    return process.vm.page.vm_page_array[seen(process, page).frame]


def forget(process):
    """Unmap everything; A and M of the entries are passed on to the pages."""
    pmap_remove(process.map.pmap, at(0), at(8))


def shadow(process):
    """Unmap all, and put a new object in front of the process' own, as if that were shared; return both."""
    forget(process)
    hidden = object_at(process.map, at(0))
    vm_object_reference_quick(hidden)
    vm_map_lock(process.map)
    vm_map_entry_shadow(process.map.raw_rb_root.at_or_before(at(0)))
    vm_map_unlock(process.map)
    return object_at(process.map, at(0)), hidden


def faults(vm, step, *args):
    """Do `step(*args)`, and return how many faults it took."""
    before = vm.mycpu().v_vm_faults
    step(*args)
    return vm.mycpu().v_vm_faults - before
