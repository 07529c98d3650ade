"""Threads with adjacent pages in the same entries: each page is as its owner asked for."""

from typing import Any, NamedTuple

from vmsmp import scenario
from vmsmp.scenarios._kit import give_back, repaired
from vmsmp.scenarios.vm_fault._memory import Process
from vmsmp.scenarios.vm_map._ranges import ANON, at, map_at, new_map, over, unmap_all
from vmsmp.vm.vm_map import (
    KERN_INVALID_ADDRESS,
    KERN_INVALID_ARGUMENT,
    KERN_NO_SPACE,
    KERN_PROTECTION_FAILURE,
    KERN_SUCCESS,
    MADV_AUTOSYNC,
    MADV_CORE,
    MADV_NOCORE,
    MADV_NORMAL,
    MADV_NOSYNC,
    MADV_RANDOM,
    MADV_SEQUENTIAL,
    MAP_ENTRY_BEHAV_MASK,
    MAP_ENTRY_BEHAV_NORMAL,
    MAP_ENTRY_BEHAV_RANDOM,
    MAP_ENTRY_BEHAV_SEQUENTIAL,
    MAP_ENTRY_NOCOREDUMP,
    MAP_ENTRY_NOSYNC,
    MAP_ENTRY_USER_WIRED,
    VM_INHERIT_COPY,
    VM_INHERIT_NONE,
    VM_INHERIT_SHARE,
    VM_PROT_ALL,
    VM_PROT_READ,
    VM_PROT_RW,
    VM_PROT_WRITE,
    vm_map_check_protection,
    vm_map_inherit,
    vm_map_lock_read,
    vm_map_madvise,
    vm_map_protect,
    vm_map_remove,
    vm_map_unlock,
    vm_map_user_wiring,
)
from vmsmp.vm.vm_object import vm_object_allocate
from vmsmp.vm.vm_page import PAGE_SIZE

#: How many pages each thread has.
OWN = 4
#: For each advice: the flags of an entry that it keeps, and those that it sets.
ADVICE = {
    MADV_NORMAL: (~MAP_ENTRY_BEHAV_MASK, MAP_ENTRY_BEHAV_NORMAL),
    MADV_SEQUENTIAL: (~MAP_ENTRY_BEHAV_MASK, MAP_ENTRY_BEHAV_SEQUENTIAL),
    MADV_RANDOM: (~MAP_ENTRY_BEHAV_MASK, MAP_ENTRY_BEHAV_RANDOM),
    MADV_NOSYNC: (~0, MAP_ENTRY_NOSYNC),
    MADV_AUTOSYNC: (~MAP_ENTRY_NOSYNC, 0),
    MADV_NOCORE: (~0, MAP_ENTRY_NOCOREDUMP),
    MADV_CORE: (~MAP_ENTRY_NOCOREDUMP, 0),
}
FLAGS = MAP_ENTRY_BEHAV_MASK | MAP_ENTRY_NOSYNC | MAP_ENTRY_NOCOREDUMP


class Mapped(NamedTuple):
    """How a page is mapped: rights, maximum, inheritance, advice, whether it is locked; its contents."""

    prot: int = VM_PROT_RW
    max: int = VM_PROT_ALL
    inherit: int = VM_INHERIT_COPY
    flags: int = 0
    locked: bool = False
    value: Any = 0


class Part:
    """The pages of a thread, from `first` on: how it has mapped them (`pages`, by number; None: unmapped)."""

    def __init__(self, m, map, first, process=None):
        self.m = m
        self.map = map
        self.process = process
        self.first = first
        self.pages = dict.fromkeys(range(first, first + OWN))

    def somewhere(self):
        """Draw a range of them; return its first page and its length."""
        start = self.m.choose(OWN)
        return self.first + start, 1 + self.m.choose(OWN - start)

    def told(self):
        """The state of these pages in the map."""
        said = dict.fromkeys(self.pages)
        vm_map_lock_read(self.map)
        for entry in self.map.raw_rb_root:
            for page in self.pages:
                if entry.ba.raw_start <= at(page) < entry.ba.raw_end:
                    asked = self.pages[page]
                    said[page] = Mapped(
                        entry.raw_protection,
                        entry.peek("max_protection"),
                        entry.raw_inheritance,
                        entry.raw_eflags & FLAGS,
                        bool(entry.raw_eflags & MAP_ENTRY_USER_WIRED) and entry.raw_wired_count == 1,
                        asked and asked.value,
                    )
        vm_map_unlock(self.map)
        return said

    def put(self, first, count, **what):
        """Change those pages of a range that are mapped."""
        for page in range(first, first + count):
            if self.pages[page] is not None:
                self.pages[page] = self.pages[page]._replace(**what)

    def expect(self, code, expected):
        self.m.check(code == expected, "a call says whether it could do what it was asked to")

    # -- what a thread may do ---------------------------------------------------------------------

    def insert(self, first, count):
        taken = any(self.pages[page] for page in range(first, first + count))
        self.expect(map_at(self.map, first, count), KERN_NO_SPACE if taken else KERN_SUCCESS)
        if not taken:
            self.pages |= dict.fromkeys(range(first, first + count), Mapped())

    def remove(self, first, count):
        places = self._places(range(first, first + count)) if self.process else []
        over(vm_map_remove, self.map, first, count)
        self.pages |= dict.fromkeys(range(first, first + count))
        kept = [obj for obj, pindex in places if pindex in obj.peek("rb_memq")]
        self.m.check(not kept, "memory that nobody can reach any more is given back")

    def _places(self, pages):
        """The objects that pages of memory are in, and their indexes there."""
        vm_map_lock_read(self.map)
        heads = [(page, self.map.raw_rb_root.at_or_before(at(page)).ba) for page in pages if self.pages[page]]
        places = [
            (ba.raw_object, (ba.raw_offset + at(page) - ba.raw_start) // PAGE_SIZE)
            for page, ba in heads
            if ba.raw_object is not None
        ]
        vm_map_unlock(self.map)
        return places

    def protect(self, first, count):
        prot, limit = (VM_PROT_READ, VM_PROT_RW)[self.m.choose(2)], self.m.choose(4) == 0
        mapped = [self.pages[page] for page in range(first, first + count) if self.pages[page]]
        may = all(prot & page.max == prot for page in mapped)
        code = over(vm_map_protect, self.map, first, count, prot, limit)
        self.expect(code, KERN_SUCCESS if may else KERN_PROTECTION_FAILURE)
        for page in range(first, first + count) if may else ():
            old = self.pages[page]
            if limit and old:
                self.put(page, 1, prot=prot & old.prot, max=prot)
            else:
                self.put(page, 1, prot=prot)

    def inherit(self, first, count):
        value = (VM_INHERIT_SHARE, VM_INHERIT_COPY, VM_INHERIT_NONE, VM_INHERIT_NONE + 1)[self.m.choose(4)]
        code = over(vm_map_inherit, self.map, first, count, value)
        self.expect(code, KERN_SUCCESS if value <= VM_INHERIT_NONE else KERN_INVALID_ARGUMENT)
        if code == KERN_SUCCESS:
            self.put(first, count, inherit=value)

    def advise(self, first, count):
        behav = [*ADVICE][self.m.choose(len(ADVICE))]
        over(vm_map_madvise, self.map, first, count, behav)
        keep, put = ADVICE[behav]
        for page in range(first, first + count):
            if self.pages[page]:
                self.put(page, 1, flags=self.pages[page].flags & keep | put)

    def lock(self, first, count):
        self._wire(first, count, True)

    def unlock(self, first, count):
        self._wire(first, count, False)

    def _wire(self, first, count, locked):
        pages = [self.pages[page] for page in range(first, first + count)]
        code = KERN_SUCCESS
        if not all(pages):
            code = KERN_INVALID_ADDRESS
        elif not (locked or all(page.locked for page in pages) or repaired(self.m, "munlock-passes-over")):
            code = KERN_INVALID_ARGUMENT
        self.expect(over(vm_map_user_wiring, self.map, first, count, not locked), code)
        if code == KERN_SUCCESS:
            self.put(first, count, locked=locked)

    def ask(self, first, count):
        prot = (VM_PROT_READ, VM_PROT_RW)[self.m.choose(2)]
        pages = [self.pages[page] for page in range(first, first + count)]
        allowed = all(page and page.prot & prot == prot for page in pages)
        said = over(vm_map_check_protection, self.map, first, count, prot, False)
        self.m.check(said == allowed, "rights that are asked for are those that were given")

    # -- and with memory --------------------------------------------------------------------------

    def store(self, first, _count):
        page, value = self.pages[first], f"{first}.{self.m.choose(1000)}"
        may = page is not None and bool(page.prot & VM_PROT_WRITE)
        refused = self.process.enter().store(at(first), value)
        self.m.check((refused is None) == may, "those write who may")
        if may:
            self.put(first, 1, value=value)

    def load(self, first, _count):
        page = self.pages[first]
        found = self.process.enter().load(at(first))
        self.m.check(found == (page and page.value), "memory holds what was stored there, or zeros")


DEEDS = (
    *(Part.insert, Part.remove, Part.protect, Part.protect, Part.inherit),
    *(Part.advise, Part.lock, Part.unlock),
)
MEMORY = (
    *(Part.insert, Part.remove, Part.protect, Part.lock, Part.unlock),
    *(Part.store, Part.store, Part.load),
)


@scenario(cpus=2, tags={"map", "transition", "protect"})
def neighbours_in_a_map(m):
    """Threads map, cut and mark adjacent pages that share entries: none changes another's."""
    vm = m.boot(pages=8, l2_size=1)
    vm.map.fault = lambda *_: KERN_SUCCESS  # pages do not matter
    map = new_map(vm, OWN * m.ncpus + 2)
    map_at(map, 0, 1)
    parts = [Part(m, map, 2 + OWN * n) for n in range(m.ncpus)]
    map_at(map, 2, OWN * m.ncpus)
    for part in parts:
        part.pages = dict.fromkeys(part.pages, Mapped())

    def thread(part):
        for _ in m.rounds(4):
            DEEDS[m.choose(len(DEEDS))](part, *part.somewhere())
            part.ask(*part.somewhere())
            m.check(part.told() == part.pages, "each page is mapped as its owner asked for")

    for part in parts:
        m.spawn(thread, part)
    m.join()
    unmap_all(m, map)


@scenario(cpus=2, tags={"map", "fault", "wire", "protect"}, pages=None)
def memory_of_neighbours(m):
    """The same with memory that its owner stores to and locks: contents stay, and new memory is zero."""
    vm = m.boot(pages=40, l2_size=1)
    process = Process(vm)
    map = process.map
    map_at(map, 0, 1)
    parts = [Part(m, map, 2 + OWN * n, process) for n in range(m.ncpus)]
    for n, part in enumerate(parts):  # objects that would go on where the one before ends
        obj = vm_object_allocate(vm, OWN * m.ncpus)
        map_at(map, part.first, OWN, ANON._replace(object=obj, offset=n * OWN * PAGE_SIZE))
        part.pages = dict.fromkeys(part.pages, Mapped())

    def thread(part):
        for _ in m.rounds(2):
            first, count = part.somewhere()
            MEMORY[m.choose(len(MEMORY))](part, first, count)
            part.load(first, count)
        m.check(part.told() == part.pages, "each page is mapped as its owner asked for")

    for part in parts:
        m.spawn(thread, part)
    m.join()
    wired = [page for page in vm.page.vm_page_array if page.peek("wire_count") and page.peek("object")]
    give_back(process.vmspace)
    m.check(not any(page.peek("wire_count") for page in wired), "no page stays wired")
