"""Address spaces whose page tables are in memory, for tests."""

from __future__ import annotations

from vmsmp.vm.pmap import pmap_enter, pmap_pinit
from vmsmp.vm.vm_map import (
    VM_PROT_ALL,
    VM_PROT_RW,
    Mapping,
    vm_map_find,
    vm_map_init,
    vm_map_lock_read,
    vm_map_unlock,
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
    vm_page_alloc,
    vm_page_busy_wait,
    vm_page_wakeup,
    vm_page_zero_invalid,
)

#: The sizes of machines with room for page tables.
MEMORY = {"pages": 24, "l2_size": 1}
BASE = 0x10000


def at(page):
    """The address of a page of an address space."""
    return BASE + page * PAGE_SIZE


def new_pmap(vm, name="pmap"):
    """A pmap."""
    return pmap_pinit(vm.pmap.make(name))


def new_pages(vm, count=1):
    """An object of so many idle pages, and those."""
    obj = vm_object_allocate(vm, count)
    pages = []
    vm_object_hold(obj)
    for n in range(count):
        m = vm_page_alloc(vm, obj, n, VM_ALLOC_NORMAL)
        vm_page_zero_invalid(m)
        vm_page_wakeup(m)
        pages.append(m)
    vm_object_drop(obj)
    return obj, pages


class Space:
    """A map with a pmap in memory and one entry, of an object that begins at its first page."""

    def __init__(self, vm, count=1, name="pmap", obj=None):
        self.vm = vm
        self.pmap = new_pmap(vm, name)
        self.map = vm_map_init(vm, BASE, at(64), self.pmap, f"map of {name}")
        if obj is None:
            self.obj, self.pages = new_pages(vm, count)
        else:
            self.obj, self.pages = obj, [*obj.peek("rb_memq").values()]
            vm_object_reference_quick(obj)
        what = Mapping(object=self.obj, prot=VM_PROT_RW, max=VM_PROT_ALL, id=1)
        assert 0 == vm_map_find(self.map, BASE, count * PAGE_SIZE, PAGE_SIZE, False, what)[0]
        self.entry = self.map.peek("rb_root").first()

    def enter(self, n=0, prot=VM_PROT_RW, wired=False, at_page=None):
        """Map a page of the object, at its own place or another."""
        m = self.pages[n]
        vm_map_lock_read(self.map)
        vm_page_busy_wait(m, True)
        pmap_enter(self.pmap, at(n if at_page is None else at_page), m, prot, wired, self.entry)
        vm_page_wakeup(m)
        vm_map_unlock(self.map)
        return m

    def counts(self):
        """How many are resident and how many are wired."""
        return self.pmap.peek("resident_count"), self.pmap.peek("wired_count")


def busied(m):
    """The page, hard-busied by the running CPU."""
    vm_page_busy_wait(m, True)
    return m
