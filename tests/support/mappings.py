"""What tests of mapped pages start from and look at."""

from weakref import WeakKeyDictionary

from vmsmp.mmu.entry import PG_A, PG_M, PG_RW, PG_V, frame_of
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


#: By machine and object: the address space that maps it.
_SPACES = WeakKeyDictionary()


def space_of(m):
    """The address space that maps the page's object, with its page tables; made when first asked for."""
    spaces = _SPACES.setdefault(m.vm, {})
    obj = m.peek("object")
    if obj not in spaces:
        spaces[obj] = Space(m.vm, obj, obj.peek("size"), reference=False).with_tables()
    return spaces[obj]


def map_page(m, prot=RW):
    """Let a process map a page that is busied."""
    space = space_of(m)
    with space.locked():
        space.enter(m, m.peek("pindex"), prot)


def store(m):
    """Store to the page as a process does; whether that was allowed."""
    return space_of(m).store(m.peek("pindex"))


def unmap(m):
    """Unmap the page as a process does."""
    space_of(m).remove(m.peek("pindex"))


def mapped(vm, page_on, prot, stored=False):
    """A hard-busied page that a process maps."""
    m = busied(vm, page_on)
    map_page(m, prot)
    if stored:
        store(m)
    return m


def accessed(m):
    """Whether an entry of a page table that names the page says that it was used."""
    entries = [pte for _, _, pte in m.vm.memory.entries() if pte & PG_V and frame_of(pte) == m.phys]
    return any(pte & PG_A for pte in entries)


def entry(m):
    """What the first entry of a page table that names the page says: v, w and m, "" if there is none."""
    for _, _, pte in m.vm.memory.entries():
        if pte & PG_V and frame_of(pte) == m.phys:
            return "v" + "w" * bool(pte & PG_RW) + "m" * bool(pte & PG_M)
    return ""


def seen(m):
    """The page's entry, its MAPPED and WRITEABLE flags, and whether it is dirty."""
    return entry(m), m.flags.peek() & BOTH, m.dirty
