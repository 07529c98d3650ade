"""Helpers for scenarios of address spaces: making them, and mapping and finding pages in them."""

from vmsmp.vm.pmap import pmap_maybethreaded
from vmsmp.vm.vm_map import (
    COWF_COPY_ON_WRITE,
    KERN_SUCCESS,
    VM_MAPTYPE_UKSMAP,
    VM_PROT_ALL,
    VM_PROT_RW,
    VM_SUBSYS_MMAP,
    Mapping,
    vm_map_find,
    vm_map_lookup,
    vm_map_lookup_done,
    vmspace_alloc,
)
from vmsmp.vm.vm_object import vm_object_allocate, vm_object_drop, vm_object_hold, vm_object_reference_quick
from vmsmp.vm.vm_page import PAGE_SIZE, VM_ALLOC_NORMAL, VM_ALLOC_RETRY, vm_page_grab, vm_page_wakeup

#: Where scenarios begin to map.
BASE = 0x100000


def at(page):
    """The address of a page from there on."""
    return BASE + page * PAGE_SIZE


def new_space(vm, top=1 << 32):
    """Return an empty address space with one reference, the caller's; several threads may run in it."""
    vmspace = vmspace_alloc(vm, 0, top)
    pmap_maybethreaded(vmspace.vm_pmap)
    return vmspace


def map_anon(m, map, at, pages, prot=VM_PROT_RW, maximum=VM_PROT_ALL):
    """Map anonymous memory at that address; it has no object yet."""
    what = Mapping(prot=prot, max=maximum, id=VM_SUBSYS_MMAP)
    rv, _ = vm_map_find(map, at, pages * PAGE_SIZE, PAGE_SIZE, False, what)
    m.check(rv == KERN_SUCCESS, "a range that is free can be mapped")


def map_private(m, map, obj, at, pages, prot=VM_PROT_RW):
    """Map an object there, so that writes go to a copy; take a reference to it."""
    vm_object_reference_quick(obj)
    what = Mapping(object=obj, prot=prot, max=VM_PROT_ALL, id=VM_SUBSYS_MMAP, cow=COWF_COPY_ON_WRITE)
    rv, _ = vm_map_find(map, at, pages * PAGE_SIZE, PAGE_SIZE, False, what)
    m.check(rv == KERN_SUCCESS, "a range that is free can be mapped")


def shared_file(vm, pages):
    """Return an object that another owner uses, so that a private mapping of it must be copied."""
    return vm_object_allocate(vm, pages)


def map_device(m, map, device, uksmap, at, pages):
    """Map memory that a device's function gives."""
    what = Mapping(object=uksmap, aux=device, maptype=VM_MAPTYPE_UKSMAP, prot=VM_PROT_RW, max=VM_PROT_ALL)
    rv, _ = vm_map_find(map, at, pages * PAGE_SIZE, PAGE_SIZE, False, what)
    m.check(rv == KERN_SUCCESS, "a range that is free can be mapped")


def write_page(map, address, prot):
    """Look a page up and insert it, as a write fault does; return its object and index, or a KERN_* code."""
    found = vm_map_lookup(map, address, prot)
    if found.rv != KERN_SUCCESS:
        return found.rv
    obj = found.ba.object
    vm_object_hold(obj)
    page = vm_page_grab(obj, found.pindex, VM_ALLOC_NORMAL | VM_ALLOC_RETRY)
    vm_page_wakeup(page)
    vm_object_drop(obj)
    vm_map_lookup_done(found.map, found.entry, None)
    return obj, found.pindex


def is_resident(map, address):
    """Return whether the first object at the address has a page there, read invisibly."""
    entry = map.raw_rb_root.at_or_before(address)
    if entry is None or not entry.ba.raw_start <= address < entry.ba.raw_end:
        return False
    ba = entry.ba
    pindex = (ba.raw_offset + address - ba.raw_start) // PAGE_SIZE
    return ba.raw_object is not None and pindex in ba.raw_object.raw_rb_memq
