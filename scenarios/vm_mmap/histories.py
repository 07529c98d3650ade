"""One thread, several processes and a file: calls on memory in any order, beside a plain table of pages."""

from copy import copy
from typing import Any

from vmsmp import scenario
from vmsmp.scenarios._kit import contents, file_object, forget_file, give_back, sync
from vmsmp.scenarios.vm_fault._memory import Process, page_out
from vmsmp.scenarios.vm_map._spaces import BASE
from vmsmp.sync.errno import EINVAL, ENOMEM
from vmsmp.vm.pmap import NBPDP, NBPDR
from vmsmp.vm.vm_fault import vm_fault_page
from vmsmp.vm.vm_map import (
    KERN_INVALID_ADDRESS,
    KERN_SUCCESS,
    KM_PAGEABLE,
    MADV_DONTNEED,
    MADV_FREE,
    MADV_INVAL,
    MADV_RANDOM,
    MAP_ANON,
    MAP_ENTRY_USER_WIRED,
    MAP_FIXED,
    MAP_SHARED,
    MAP_TRYFIXED,
    VM_INHERIT_COPY,
    VM_INHERIT_NONE,
    VM_INHERIT_SHARE,
    VM_PROT_ALL,
    VM_PROT_NONE,
    VM_PROT_READ,
    VM_PROT_RW,
    VM_PROT_WRITE,
    vm_map_check_protection,
    vm_map_clean,
    vm_map_kernel_wiring,
    vm_map_madvise,
    vm_map_protect,
    vmspace_fork,
)
from vmsmp.vm.vm_mmap import (
    MCL_FUTURE,
    sys_minherit,
    sys_mlock,
    sys_mlockall,
    sys_munlock,
    sys_munlockall,
    sys_munmap,
    vm_mmap,
)
from vmsmp.vm.vm_page import PAGE_SIZE, vm_page_unhold
from vmsmp.vm.vm_pageout import (
    PageStats,
    vm_pageout_free_hold,
    vm_pageout_page_stats,
    vm_pageout_scan_active,
    vm_pageout_scan_cache,
    vm_pageout_scan_inactive,
)

#: How many pages a process uses, and a file has.
PAGES, FILE = 4, 3
#: How many processes there are at most.
MOST = 3
#: Where memory may begin: within the part of a page table, or so that two of them have two pages each.
PLACES = (BASE, *(size - 2 * PAGE_SIZE for size in (NBPDR, NBPDP)))


class Memory:
    """What a page shows: a value of its own or, as long as it has none, what its page of the file has."""

    def __init__(self, behind=None):
        self.behind = behind
        self.own: Any = None if behind else 0

    @property
    def value(self):
        return self.behind.value if self.own is None else self.own


class Mapped:
    """How a page is mapped: the memory that it shows, rights, what a child gets, whether it is locked."""

    def __init__(self, memory, inherit):
        self.memory = memory
        self.prot = VM_PROT_RW
        self.inherit = inherit
        self.locked = False

    def told(self):
        return self.prot, self.inherit, self.locked

    def inherited(self):
        """The page of a child."""
        child = copy(self)
        child.locked = False
        if self.inherit == VM_INHERIT_COPY:
            child.memory = copy(self.memory)
        return child


class Owner(Process):
    """A process and its table of pages: a page that is not mapped is not in it."""

    def __init__(self, vm, base):
        super().__init__(vm)
        self.base = base
        self.pages: dict[int, Mapped] = {}
        self.locks = False  # whether what it maps is locked

    def at(self, page):
        """The address of a page."""
        return self.base + page * PAGE_SIZE

    def span(self, pages):
        """Where a range of pages begins and ends."""
        return self.at(pages[0]), self.at(pages[-1] + 1)

    def fork(self):
        child = copy(self)
        child.vmspace = vmspace_fork(self.vmspace, None, None)
        child.map = child.vmspace.vm_map
        child.locks = False
        child.pages = {n: p.inherited() for n, p in self.pages.items() if p.inherit != VM_INHERIT_NONE}
        return child

    def told(self):
        """How pages are mapped, as the map says it; read invisibly."""
        said = {}
        for entry in self.map.raw_rb_root:
            for page in range(PAGES):
                if entry.ba.raw_start <= self.at(page) < entry.ba.raw_end:
                    locked = bool(entry.raw_eflags & MAP_ENTRY_USER_WIRED)
                    said[page] = entry.raw_protection, entry.raw_inheritance, locked
        return said


class Histories:
    """Calls that one thread makes for processes that it runs in turn, with what each must come to."""

    def __init__(self, m, vm):
        self.m = m
        self.vm = vm
        self.vp, self.obj = file_object(vm, FILE)
        self.file = [Memory() for _ in range(FILE)]
        self.owners = [Owner(vm, PLACES[m.choose(len(PLACES))])]
        self.stored = 0
        for first, count in ((0, FILE), (FILE, PAGES - FILE)):
            self.insert(self.owners[0], range(first, first + count))

    def turn(self):
        """Draw a process and a range, and do something to it."""
        owner = self.owners[self.m.choose(len(self.owners))].enter()
        first = self.m.choose(PAGES)
        pages = range(first, first + 1 + self.m.choose(PAGES - first))
        DEEDS[self.m.choose(len(DEEDS))](self, owner, pages)
        if owner in self.owners:
            self.judge(owner)

    def judge(self, owner):
        """Compare a process with its table."""
        self.m.check(
            owner.told() == {n: page.told() for n, page in owner.pages.items()},
            "memory is mapped as asked for",
        )

    def says(self, said, expected):
        self.m.check(said == expected, "a call says whether it has done what it was asked to")

    # -- what is mapped ---------------------------------------------------------------------------

    def insert(self, owner, pages):
        flags = (MAP_ANON, MAP_ANON | MAP_SHARED, 0, MAP_SHARED)[self.m.choose(4)]
        inherit = VM_INHERIT_SHARE if flags & MAP_SHARED else VM_INHERIT_COPY
        vp, index = None, 0
        if not flags & MAP_ANON:
            pages, vp = pages[:FILE], self.vp
            index = self.m.choose(FILE - len(pages) + 1)
        free = not any(page in owner.pages for page in pages)
        flags |= (MAP_FIXED, MAP_TRYFIXED)[self.m.choose(2)]
        size = len(pages) * PAGE_SIZE
        error, _ = vm_mmap(
            owner.map, owner.at(pages[0]), size, VM_PROT_RW, VM_PROT_ALL, flags, vp, index * PAGE_SIZE
        )
        self.says(error, 0 if free or flags & MAP_FIXED else ENOMEM)
        for n, page in enumerate(pages if not error else ()):
            part = self.file[index + n] if vp else None
            owner.pages[page] = Mapped(part if part and flags & MAP_SHARED else Memory(part), inherit)
            owner.pages[page].locked = owner.locks

    def remove(self, owner, pages):
        whole = all(page in owner.pages for page in pages)
        self.says(sys_munmap(owner.map, owner.at(pages[0]), len(pages) * PAGE_SIZE), 0 if whole else EINVAL)
        for page in pages if whole else ():
            del owner.pages[page]

    def protect(self, owner, pages):
        prot = (VM_PROT_READ, VM_PROT_RW, VM_PROT_NONE)[self.m.choose(3)]
        if any(page in owner.pages and owner.pages[page].locked for page in pages):
            prot |= VM_PROT_READ
        rv = vm_map_protect(owner.map, *owner.span(pages), prot, False)
        self.says(rv, KERN_SUCCESS)
        for page in pages:
            if page in owner.pages:
                owner.pages[page].prot = prot

    def inherit(self, owner, pages):
        """Keep from a child what it would get."""
        self.says(sys_minherit(owner.map, owner.at(pages[0]), len(pages) * PAGE_SIZE, VM_INHERIT_NONE), 0)
        for page in pages:
            if page in owner.pages:
                owner.pages[page].inherit = VM_INHERIT_NONE

    def lock(self, owner, pages):
        self._lock(owner, pages, sys_mlock, locked=True)

    def unlock(self, owner, pages):
        self._lock(owner, pages, sys_munlock, locked=False)

    def unlock_all(self, owner, _pages):
        self.says(sys_munlockall(owner.map), 0)
        owner.locks = False
        for page in owner.pages.values():
            page.locked = False

    def lock_future(self, owner, _pages):
        self.says(sys_mlockall(owner.map, MCL_FUTURE), 0)
        owner.locks = True

    def pin(self, owner, pages):
        """Keep pages in memory for the kernel, for a moment."""
        if self._writeable(owner, pages):
            for kmflags in (0, KM_PAGEABLE):
                rv = vm_map_kernel_wiring(owner.map, *owner.span(pages), kmflags)
                self.says(rv, KERN_SUCCESS)

    def _writeable(self, owner, pages):
        return all(page in owner.pages and owner.pages[page].prot == VM_PROT_RW for page in pages)

    def _lock(self, owner, pages, call, *, locked):
        if self._writeable(owner, pages) and all(owner.pages[page].locked != locked for page in pages):
            self.says(call(owner.map, owner.at(pages[0]), len(pages) * PAGE_SIZE), 0)
            for page in pages:
                owner.pages[page].locked = locked

    def ask(self, owner, pages):
        prot = (VM_PROT_NONE, VM_PROT_READ, VM_PROT_RW)[self.m.choose(3)]
        mapped = [owner.pages.get(page) for page in pages]
        may = vm_map_check_protection(owner.map, *owner.span(pages), prot, False)
        self.says(may, all(page and page.prot & prot == prot for page in mapped))

    # -- what is in it ----------------------------------------------------------------------------

    def store(self, owner, pages):
        page = owner.pages.get(pages[0])
        if page and self.is_behind(page.memory):
            return
        self.stored += 1
        done = owner.store(owner.at(pages[0]), self.stored) is None
        self.m.check(done == bool(page and page.prot & VM_PROT_WRITE), "those store who may")
        if done:
            page.memory.own = self.stored

    def is_behind(self, memory):
        """Whether a private page shows it still; it is open what that would show after a store."""
        shown = [page.memory for owner in self.owners for page in owner.pages.values()]
        return any(one.behind is memory and one.own is None for one in shown)

    def load(self, owner, pages):
        page = owner.pages.get(pages[0])
        found = owner.load(owner.at(pages[0]))
        may = bool(page and page.prot & VM_PROT_READ)
        self.m.check((found is not None) == may, "those load who may")
        self.m.check(not may or found == page.memory.value, "memory holds what was stored there last")

    def peek(self, owner, pages):
        page = owner.pages.get(pages[0])
        if page and page.prot & VM_PROT_READ and not page.locked:
            found = vm_fault_page(owner.map, owner.at(pages[0]), VM_PROT_READ, 0, False)
            self.m.check(contents(found.page) == page.memory.value, "a debugger sees what there is")
            vm_page_unhold(found.page)

    def clean(self, owner, pages):
        """Write a range back, and perhaps forget what is in memory of it."""
        invalidate = bool(self.m.choose(2)) and not any(page.locked for page in owner.pages.values())
        whole = all(page in owner.pages for page in pages)
        rv = vm_map_clean(owner.map, *owner.span(pages), True, invalidate)
        self.says(rv, KERN_SUCCESS if whole else KERN_INVALID_ADDRESS)

    def advise(self, owner, pages):
        behav = (MADV_DONTNEED, MADV_INVAL, MADV_RANDOM)[self.m.choose(3)]
        self.says(vm_map_madvise(owner.map, *owner.span(pages), behav), KERN_SUCCESS)

    def give_up(self, owner, pages):
        """Say that memory is not needed, and store to it all the same."""
        private = [page for page in pages if page in owner.pages and owner.pages[page].memory.behind is None]
        if self._writeable(owner, pages) and private == [*pages]:
            self.says(
                vm_map_madvise(owner.map, *owner.span(pages), MADV_FREE),
                KERN_SUCCESS,
            )
            for page in pages:
                self.store(owner, range(page, page + 1))

    def page_out(self, owner, pages):
        """Take the memory from pages of one of the objects at their addresses."""
        self.sync()
        depth = self.m.choose(2)
        for page in pages:
            entry = owner.map.raw_rb_root.at_or_before(owner.at(page)) if page in owner.pages else None
            chain = [ba for ba in entry.chain() if ba.raw_object is not None] if entry else []
            for ba in chain[depth : depth + 1]:
                page_out(ba.raw_object, (ba.raw_offset + owner.at(page) - ba.raw_start) // PAGE_SIZE)

    # -- processes and the file -------------------------------------------------------------------

    def fork(self, owner, _pages):
        if len(self.owners) < MOST:
            self.owners.append(owner.fork())
            self.judge(self.owners[-1])

    def exit(self, owner, _pages):
        """End a process, if it is not the first one, at which others may look."""
        if owner is not self.owners[0]:
            self.owners.remove(owner)
            give_back(owner.vmspace)

    def sync(self, *_):
        """Write the whole file back."""
        sync(self.vp, self.obj)
        kept = {n: self.vp.contents.get(n, {}).get(0, 0) for n in range(FILE)}
        self.m.check(
            kept == {n: memory.value for n, memory in enumerate(self.file)}, "a file has what was stored"
        )

    def end(self):
        """Let every process read all that it may, and end."""
        for owner in self.owners:
            owner.enter()
            for page in range(PAGES):
                self.load(owner, range(page, page + 1))
        for owner in self.owners:
            give_back(owner.vmspace)
        self.sync()
        forget_file(self.vp, self.obj)


DEEDS = (
    *(Histories.insert, Histories.insert, Histories.remove, Histories.protect, Histories.inherit),
    *(Histories.lock, Histories.unlock, Histories.unlock_all, Histories.lock_future, Histories.pin),
    *(Histories.store, Histories.store, Histories.store, Histories.load, Histories.peek, Histories.ask),
    *(Histories.clean, Histories.advise, Histories.give_up, Histories.page_out, Histories.sync),
    *(Histories.fork, Histories.exit),
)


def begin(m):
    """Boot a machine for histories, whose faults and forks are of all kinds; return them."""
    vm = m.boot(pages=80, l2_size=1, object_hash=1)
    vm.sysctl["vm.fault_bypass"] = m.choose(3)
    vm.sysctl["vm.shared_fault"] = m.choose(2)
    vm.map.map_backing_limit = 1 + m.choose(3)
    return Histories(m, vm)


@scenario(cpus=1, tags={"map", "mmap", "fault", "fork"}, pages=None)
def histories_of_memory(m):
    """Processes map, fork, protect, lock, store and page out, in any order: all is as a plain table says."""
    histories = begin(m)

    def thread():
        for _ in m.rounds(16):
            histories.turn()
        histories.end()

    m.spawn(thread)
    m.join()


@scenario(cpus=2, tags={"map", "mmap", "fault", "fork", "pageout"}, pages=None)
def histories_beside_a_pageout(m):
    """The same while others scan, write back and look at all that is in memory: nobody notices that."""
    histories = begin(m)
    vm, first = m.vm, histories.owners[0]
    stats = PageStats(interval=20)

    def thread():
        for _ in m.rounds(8):
            histories.turn()

    def look():
        page = vm_fault_page(first.map, first.at(m.choose(PAGES)), VM_PROT_READ, 0, False).page
        if page is not None:
            vm_page_unhold(page)

    deeds = (
        lambda: vm_pageout_scan_active(vm),
        lambda: vm_pageout_scan_inactive(vm),
        lambda: vm_pageout_scan_cache(vm),
        lambda: vm_pageout_page_stats(vm, stats, 0),
        lambda: vm_pageout_free_hold(vm),
        lambda: sync(histories.vp, histories.obj),
        look,
    )

    def pager():
        for _ in m.rounds(6):
            deeds[m.choose(len(deeds))]()

    for n in range(m.ncpus):
        m.spawn(pager if n else thread)
    m.join()
    histories.end()
