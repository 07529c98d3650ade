"""A process of a booted machine, what it has mapped, and its accesses, for tests of faults."""

from __future__ import annotations

from maps import ANON, at, put
from vmsmp.check.vm.pmap import mapped as entries
from vmsmp.mmu.entry import frame_of
from vmsmp.mmu.fault import PageFault
from vmsmp.patches.catalogue import REPAIR_BY_NAME
from vmsmp.scenarios._kit import run_in
from vmsmp.vm.pmap import pmap_maybethreaded
from vmsmp.vm.vm_fault import vm_fault
from vmsmp.vm.vm_map import (
    COWF_COPY_ON_WRITE,
    VM_FAULT_DIRTY,
    VM_FAULT_NORMAL,
    VM_PROT_READ,
    VM_PROT_WRITE,
    vmspace_alloc,
)
from vmsmp.vm.vm_object import (
    vm_object_allocate,
    vm_object_drop,
    vm_object_hold,
    vm_object_reference_quick,
)
from vmsmp.vm.vm_page import (
    PAGE_SIZE,
    VM_ALLOC_NORMAL,
    VM_PAGE_BITS_ALL,
    vm_page_activate,
    vm_page_alloc,
    vm_page_dirty,
    vm_page_wakeup,
)

#: Faults in chains show a finding of the map's.
REPAIRS = tuple(REPAIR_BY_NAME)


def new_process(vm, pages=0, what=ANON):
    """The map of an address space in which the running CPU runs, with so many pages from page 0 on."""
    vmspace = vmspace_alloc(vm, 0, 1 << 32)
    pmap_maybethreaded(vmspace.vm_pmap)
    run_in(vm, vmspace)
    if pages:
        put(vmspace.vm_map, 0, pages, what)
    return vmspace.vm_map


def read(map, page, flags=VM_FAULT_NORMAL):
    """The code of a read fault."""
    return vm_fault(map, at(page), VM_PROT_READ, flags)


def write(map, page, flags=VM_FAULT_DIRTY):
    """The code of a write fault."""
    return vm_fault(map, at(page), VM_PROT_WRITE, flags)


def store(map, page, value):
    """Store as a process does; whether that was allowed."""
    try:
        map.vm.machine.curcpu.store(at(page), value)
    except PageFault:
        return False
    return True


def load(map, page):
    """Load as a process does; None if that is refused."""
    try:
        return map.vm.machine.curcpu.load(at(page))
    except PageFault:
        return None


def filled(vm, *values, size=8):
    """An object with these values in its first pages."""
    obj = vm_object_allocate(vm, size)
    vm_object_hold(obj)
    for pindex, value in enumerate(values):
        m = vm_page_alloc(vm, obj, pindex, VM_ALLOC_NORMAL)
        vm.memory.store(m.phys, 0, value)
        m.valid = VM_PAGE_BITS_ALL
        vm_page_dirty(m)
        vm_page_activate(m)
        vm_page_wakeup(m)
    vm_object_drop(obj)
    return obj


def private(map, page, obj, pages=4):
    """Map an object so that writes go to a copy."""
    vm_object_reference_quick(obj)
    return put(map, page, pages, ANON._replace(object=obj, cow=COWF_COPY_ON_WRITE))


def shared(map, page, obj, pages=4):
    """Map an object so that all who map it see what is written."""
    vm_object_reference_quick(obj)
    return put(map, page, pages, ANON._replace(object=obj, id=2))


def page_of(map, page):
    """The page that is mapped at a page of the map, or None."""
    pte = dict(entries(map.pmap)).get(at(page))
    return None if pte is None else map.vm.page.vm_page_array[frame_of(pte)]


def held(m):
    """What a page holds at its beginning."""
    return m.vm.memory.peek(m.phys)


def mapped(map):
    """The pages of the map at which something is mapped."""
    return sorted((va - at(0)) // PAGE_SIZE for va, _ in entries(map.pmap))
