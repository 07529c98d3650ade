"""A map of a booted machine, and what is mapped there, for tests."""

from __future__ import annotations

from vmsmp.check.vm.pmap import mapped as entries
from vmsmp.scenarios._kit import touch as touches
from vmsmp.vm.pmap import pmap_enter, pmap_pinit
from vmsmp.vm.vm_map import (
    FW_WIRED,
    VM_PROT_ALL,
    VM_PROT_RW,
    Mapping,
    vm_map_find,
    vm_map_init,
    vm_map_lookup,
    vm_map_lookup_done,
)
from vmsmp.vm.vm_object import vm_object_drop, vm_object_hold
from vmsmp.vm.vm_page import (
    PAGE_SIZE,
    VM_ALLOC_NORMAL,
    VM_ALLOC_RETRY,
    VM_ALLOC_ZERO,
    vm_page_grab,
    vm_page_wakeup,
)

BASE = 0x10000
ANON = Mapping(prot=VM_PROT_RW, max=VM_PROT_ALL, id=1)
#: Below what is tested, so that a map's first entry is not joined with another.
FLOOR = ANON._replace(id=99)


def at(page):
    """The address of a page of a map."""
    return BASE + page * PAGE_SIZE


def new_map(vm, pages=32):
    """An empty map."""
    return vm_map_init(vm, BASE, at(pages), pmap_pinit(vm.pmap.make("pmap")), "map")


def put(map, page, pages, what=ANON):
    """Map pages there; the kernel's code."""
    return vm_map_find(map, at(page), pages * PAGE_SIZE, PAGE_SIZE, False, what)[0]


def floored(vm, pages=32):
    """A map whose page 0 is taken."""
    map = new_map(vm, pages)
    put(map, 0, 1, FLOOR)
    return map


def mapped(map):
    """The addresses at which something is mapped."""
    return [va for va, _ in entries(map.pmap)]


def store(map, page):
    """Store to a page as a process does in whose faults nobody helps; whether that was allowed."""
    vm = map.vm
    cpu = vm.machine.curcpu
    before, trap = cpu.mmu.cr3, vm.mmu.trap
    map.pmap.pm_active.setbits(1 << cpu.index)
    cpu.mmu.load_cr3(map.pmap.cr3)
    vm.mmu.trap = None
    try:
        return touches(cpu.store, at(page), 1)
    finally:
        vm.mmu.trap = trap
        cpu.mmu.load_cr3(before)
        map.pmap.pm_active.clearbits(1 << cpu.index)


def over(call, map, page, pages, *rest):
    """What `call` returns for a range of pages."""
    return call(map, at(page), at(page + pages), *rest)


def layout(map):
    """(first page, pages, protection, whether there is an object) of each entry but the floor."""
    return [
        (
            (entry.ba.peek("start") - BASE) // PAGE_SIZE,
            (entry.ba.peek("end") - entry.ba.peek("start")) // PAGE_SIZE,
            entry.peek("protection"),
            entry.ba.peek("object") is not None,
        )
        for entry in map.peek("rb_root")
        if entry.peek("id") != FLOOR.id
    ]


def entry_at(map, page):
    """The entry that maps a page."""
    return map.peek("rb_root").at_or_before(at(page))


def touch(map, page, prot=VM_PROT_RW):
    """Have a page mapped as a fault does; it, or None."""
    found = vm_map_lookup(map, at(page), prot)
    if found.rv:
        return None
    obj = found.ba.object
    vm_object_hold(obj)
    m = vm_page_grab(obj, found.pindex, VM_ALLOC_NORMAL | VM_ALLOC_RETRY | VM_ALLOC_ZERO)
    pmap_enter(map.pmap, at(page), m, found.prot, bool(found.wflags & FW_WIRED), found.entry)
    vm_page_wakeup(m)
    vm_object_drop(obj)
    vm_map_lookup_done(found.map, found.entry, None)
    return m
