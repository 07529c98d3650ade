"""Helpers for scenarios of one map: ranges by page numbers, and accesses to them."""

from vmsmp.scenarios._kit import run_in
from vmsmp.scenarios._kit import touch as _touch
from vmsmp.vm.pmap import pmap_enter, pmap_maybethreaded
from vmsmp.vm.vm_map import (
    KERN_SUCCESS,
    VM_PROT_ALL,
    VM_PROT_RW,
    VM_SUBSYS_MMAP,
    Mapping,
    vm_map_find,
    vm_map_lookup,
    vm_map_lookup_done,
    vm_map_remove,
    vmspace_alloc,
)
from vmsmp.vm.vm_object import vm_object_drop, vm_object_hold
from vmsmp.vm.vm_page import (
    PAGE_SIZE,
    VM_ALLOC_NORMAL,
    VM_ALLOC_RETRY,
    VM_ALLOC_ZERO,
    vm_page_activate,
    vm_page_grab,
    vm_page_wakeup,
)

#: Where maps begin.
BASE = 0x10000
ANON = Mapping(prot=VM_PROT_RW, max=VM_PROT_ALL, id=VM_SUBSYS_MMAP)


def new_map(vm, pages=64):
    """Return an empty map of that many pages, in which only `touch` resolves faults."""
    vm.mmu.trap = None
    vmspace = vmspace_alloc(vm, BASE, BASE + pages * PAGE_SIZE)
    pmap_maybethreaded(vmspace.vm_pmap)
    return vmspace.vm_map


def at(page):
    """Return the address of a page of a map."""
    return BASE + page * PAGE_SIZE


def anon_apart(n):
    """Return anonymous memory of subsystem `10 + n`: entries with different `n` are never joined."""
    return ANON._replace(id=10 + n)


def map_at(map, page, pages, what=ANON):
    """Map pages there; return the kernel's code."""
    return vm_map_find(map, at(page), pages * PAGE_SIZE, PAGE_SIZE, False, what)[0]


def map_somewhere(map, pages, what=ANON, align=PAGE_SIZE):
    """Map pages anywhere; return the kernel's code and the address."""
    return vm_map_find(map, map.min_addr, pages * PAGE_SIZE, align, True, what)


def over(call, map, page, pages, *rest):
    """Do `call` to a range of pages."""
    return call(map, at(page), at(page + pages), *rest)


def touch(map, page, prot):
    """Map a page as a fault does; return whether that was allowed."""
    found = vm_map_lookup(map, at(page), prot)
    if found.rv != KERN_SUCCESS:
        return False
    obj = found.ba.object
    vm_object_hold(obj)
    m = vm_page_grab(obj, found.pindex, VM_ALLOC_NORMAL | VM_ALLOC_RETRY | VM_ALLOC_ZERO)
    pmap_enter(found.map.pmap, at(page), m, found.prot, False, found.entry)
    vm_page_activate(m)
    vm_page_wakeup(m)
    vm_object_drop(obj)
    vm_map_lookup_done(found.map, found.entry, None)
    return True


def store(map, page):
    """Store to a page as a process that runs there; return whether that was allowed."""
    vm = map.vm
    run_in(vm, next(vmspace for vmspace in vm.map.vmspaces.pool if vmspace.vm_map is map))
    return _touch(vm.machine.curcpu.store, at(page), 1)


def unmap_all(m, map):
    """Remove everything; nothing may be left, neither entries nor mappings."""
    vm_map_remove(map, map.min_addr, map.max_addr)
    m.check(not map.peek("nentries") and not map.peek("size"), "an empty map has no entries and no size")
    tables = len(map.pmap.raw_pm_pvroot)
    m.check(map.pmap.peek("resident_count") == tables, "an empty map has no mappings")
