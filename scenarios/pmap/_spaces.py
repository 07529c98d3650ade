"""Helpers for scenarios of page tables: address spaces that map an object, and what CPUs do in them."""

from vmsmp.mmu.fault import PageFault
from vmsmp.scenarios._kit import idle_pages
from vmsmp.vm.pmap import (
    pmap_enter,
    pmap_maybethreaded,
    pmap_pinit,
    pmap_puninit,
    pmap_release,
    pmap_remove,
    pmap_setlwpvm,
)
from vmsmp.vm.vm_map import (
    KERN_SUCCESS,
    VM_PROT_ALL,
    VM_PROT_RW,
    VM_SUBSYS_MMAP,
    Mapping,
    vm_map_entry_shadow,
    vm_map_find,
    vm_map_lock,
    vm_map_unlock,
    vmspace_alloc,
)
from vmsmp.vm.vm_object import vm_object_reference_quick
from vmsmp.vm.vm_page import PAGE_SIZE, vm_page_busy_wait, vm_page_wakeup

#: Where address spaces begin: a table's first entries, so that ranges are short.
BASE = 0x10000


def at(page):
    """The address of a page of an address space."""
    return BASE + page * PAGE_SIZE


class Space:
    """An address space whose page tables are in memory, with an object mapped from its first page on.

    Several threads may run in it.
    """

    def __init__(self, vm, obj, pages=2, number=0):
        self.pages = pages
        self.pmap = pmap_pinit(vm.pmap.make(f"pmap[{number}]"))
        pmap_maybethreaded(self.pmap)
        self.vmspace = vmspace_alloc(vm, BASE, at(64))
        self.vmspace.vm_pmap = self.vmspace.vm_map.pmap = self.pmap
        self.entry = self.map(obj, 0, pages)

    def map(self, obj, page, pages, offset=0):
        """Map pages of an object there, and return the entry."""
        vm_object_reference_quick(obj)
        what = Mapping(
            object=obj, offset=offset * PAGE_SIZE, prot=VM_PROT_RW, max=VM_PROT_ALL, id=VM_SUBSYS_MMAP
        )
        rv, _ = vm_map_find(self.vmspace.vm_map, at(page), pages * PAGE_SIZE, PAGE_SIZE, False, what)
        assert rv == KERN_SUCCESS
        return self.vmspace.vm_map.raw_rb_root.at_or_before(at(page))

    def shadow(self, vm):
        """Put an object of its own before the mapped one, and return a page in it, idle."""
        map = self.vmspace.vm_map
        vm_map_lock(map)
        vm_map_entry_shadow(self.entry)
        vm_map_unlock(map)
        return idle_pages(vm, self.entry.ba.raw_object, [0])[0]

    def load(self, vm):
        """Let the running CPU run in it."""
        pmap_setlwpvm(vm.switch.curlwp, self.vmspace)

    def enter(self, m, page, prot=VM_PROT_RW, wired=False):
        """Map a page that the caller has busied."""
        pmap_enter(self.pmap, at(page), m, prot, wired, self.entry)

    def fault(self, m, page, prot=VM_PROT_RW, wired=False):
        """Map a page as a fault does, which busies it; return whether it was still its object's."""
        vm_page_busy_wait(m, True)
        there = m.object is not None
        if there:
            self.enter(m, page, prot, wired)
        vm_page_wakeup(m)
        return there

    def remove(self, page=0, pages=1):
        """Unmap pages."""
        pmap_remove(self.pmap, at(page), at(page + pages))

    def end(self):
        """Unmap everything, and give the page tables back.  No CPU runs in it."""
        self.remove(0, self.pages)
        pmap_release(self.pmap)
        pmap_puninit(self.pmap)


def touch(access, *args):
    """Access memory; return whether that was allowed."""
    try:
        access(*args)
    except PageFault:
        return False
    return True
