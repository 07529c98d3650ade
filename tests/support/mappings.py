"""What tests of mapped pages start from and look at."""

from vmsmp.mmu.entry import PG_M, PG_RW, PG_V, frame_of
from vmsmp.scenarios._kit import Space
from vmsmp.vm.vm_map import VM_PROT_READ, VM_PROT_WRITE
from vmsmp.vm.vm_page import PG_MAPPED, PG_WRITEABLE, vm_page_busy_try

RW = VM_PROT_READ | VM_PROT_WRITE
BOTH = PG_MAPPED | PG_WRITEABLE


def busied(vm, page_on, kind="active"):
    """A page on a queue of that type, hard-busied."""
    m = page_on(vm, kind)
    vm_page_busy_try(m, False)
    return m


def space_of(m):
    """An address space that maps the page's object, with its page tables."""
    return Space(m.vm, m.peek("object"), 8).with_tables()


def map_page(m, prot=RW, stored=False):
    """Let a process map a busied page, and perhaps store to it; its address space."""
    space = space_of(m)
    with space.locked():
        space.enter(m, m.peek("pindex"), prot)
    if stored:
        space.store(m.peek("pindex"))
    return space


def mapped(vm, page_on, prot, stored=False):
    """A hard-busied page that a process maps."""
    m = busied(vm, page_on)
    map_page(m, prot, stored)
    return m


def entry(m):
    """What the first entry of a page table that names the page says: v, w and m, "" if there is none."""
    for _, _, pte in m.vm.memory.entries():
        if pte & PG_V and frame_of(pte) == m.phys:
            return "v" + "w" * bool(pte & PG_RW) + "m" * bool(pte & PG_M)
    return ""


def seen(m):
    """The page's entry, its MAPPED and WRITEABLE flags, and whether it is dirty."""
    return entry(m), m.flags.peek() & BOTH, m.dirty
