"""What tests of mapped pages start from and look at."""

from vmsmp.vm.page_entry import VM_PROT_READ, VM_PROT_WRITE, pmap_enter, pmap_store
from vmsmp.vm.vm_page import PG_MAPPED, PG_WRITEABLE, vm_page_busy_try

RW = VM_PROT_READ | VM_PROT_WRITE
BOTH = PG_MAPPED | PG_WRITEABLE


def busied(vm, page_on, kind="active"):
    """A page on a queue of that type, hard-busied."""
    m = page_on(vm, kind)
    vm_page_busy_try(m, False)
    return m


def mapped(vm, page_on, prot, stored=False):
    """A hard-busied page that a process maps."""
    m = busied(vm, page_on)
    pmap_enter(m, prot)
    if stored:
        pmap_store(m)
    return m


def seen(m):
    """The page's entry, its MAPPED and WRITEABLE flags, and whether it is dirty."""
    return m.md.peek(), m.flags.peek() & BOTH, m.dirty
