"""One CPU and page tables: after each change the entry, the page and the counts are right."""

from vmsmp import scenario
from vmsmp.mmu.entry import PG_A, PG_M, PG_NX, PG_RW, PG_U, PG_V, frame_of
from vmsmp.mmu.fault import Access
from vmsmp.scenarios._kit import busied, give_back, idle_pages, make_tables, run_in, touch
from vmsmp.scenarios.vm_map._spaces import new_space
from vmsmp.vm.pmap import (
    MINCORE_INCORE,
    MINCORE_MODIFIED,
    MINCORE_MODIFIED_OTHER,
    MINCORE_REFERENCED,
    MINCORE_REFERENCED_OTHER,
    NBPDP,
    NBPDR,
    PG_MANAGED,
    PG_W,
    PV_HOLD_LOCKED,
    PmapPgscanInfo,
    pmap_clear_modify,
    pmap_clear_reference,
    pmap_enter,
    pmap_extract,
    pmap_extract_done,
    pmap_fault_page_quick,
    pmap_is_modified,
    pmap_kenter,
    pmap_kenter_quick,
    pmap_kextract,
    pmap_kmodify_rw,
    pmap_kremove,
    pmap_kremove_quick,
    pmap_kvtom,
    pmap_mincore,
    pmap_page_protect,
    pmap_pgscan,
    pmap_prefault_ok,
    pmap_protect,
    pmap_pte,
    pmap_qenter,
    pmap_qremove,
    pmap_remove,
    pmap_remove_specific,
    pmap_ts_referenced,
    pmap_unwire,
)
from vmsmp.vm.vm_map import (
    KERN_FAILURE,
    KERN_SUCCESS,
    VM_MIN_KERNEL_ADDRESS,
    VM_PROT_ALL,
    VM_PROT_EXECUTE,
    VM_PROT_NONE,
    VM_PROT_READ,
    VM_PROT_RW,
    VM_PROT_WRITE,
    VM_SUBSYS_MMAP,
    Mapping,
    vm_map_find,
    vm_map_lock_read,
    vm_map_unlock,
)
from vmsmp.vm.vm_object import vm_object_allocate, vm_object_reference_quick
from vmsmp.vm.vm_page import (
    PAGE_SIZE,
    PG_MAPPED,
    PG_MAPPEDMULTI,
    PG_REFERENCED,
    PG_WRITEABLE,
    vm_page_busy_wait,
    vm_page_flag_clear,
    vm_page_flag_set,
    vm_page_wakeup,
)

KERNEL = Access(user=False)
KERNEL_STORE = Access(write=True, user=False)


class Tables:
    """An address space without a fault handler, and the contents of its page tables."""

    def __init__(self, vm):
        vm.mmu.trap = None
        self.vm = vm
        self.vmspace = new_space(vm)
        self.map = self.vmspace.vm_map
        self.pmap = self.vmspace.vm_pmap

    def cover(self, obj, at, pages, offset=0):
        """Map the object in the map; no page is entered."""
        vm_object_reference_quick(obj)
        what = Mapping(object=obj, offset=offset, prot=VM_PROT_ALL, max=VM_PROT_ALL, id=VM_SUBSYS_MMAP)
        rv, _ = vm_map_find(self.map, at, pages * PAGE_SIZE, PAGE_SIZE, False, what)
        assert rv == KERN_SUCCESS

    def enter(self, at, page, prot=VM_PROT_RW, wired=False):
        """Enter a page, as a fault does."""
        vm_map_lock_read(self.map)
        vm_page_busy_wait(page, True)
        pmap_enter(self.pmap, at, page, prot, wired, self.map.raw_rb_root.at_or_before(at))
        vm_page_wakeup(page)
        vm_map_unlock(self.map)

    def entry(self, at):
        """The entry of an address, 0 if there is none."""
        pte = pmap_pte(self.pmap, at)
        return 0 if pte is None else pte.peek()

    def counts(self):
        """How many entries and tables are counted, and how many wired entries."""
        return self.pmap.resident_count.load(), self.pmap.wired_count.load()


def restrict(page, prot):
    """Restrict the rights to a page."""
    vm_page_busy_wait(page, True)
    pmap_page_protect(page, prot)
    vm_page_wakeup(page)


def flags_of(page, *bits):
    """For each flag, whether the page has it, read invisibly."""
    return [bool(page.flags.peek() & bit) for bit in bits]


def used_alone(m, use, count=1):
    """Have a process make address spaces, run in the first one, use them and drop them.

    It wires mappings in the page tables alone, and not in the map.
    """
    m.vm.map.fault = lambda *_: KERN_FAILURE

    def worker():
        spaces = [Tables(m.vm) for _ in range(count)]
        run_in(m.vm, spaces[0].vmspace)
        use(*spaces)
        for tables in spaces:
            give_back(tables.vmspace)

    m.spawn(worker)
    m.join()


@scenario(cpus=1, tags={"pmap"}, pages=None)
def entries_alone(m):
    """A page is mapped, used, replaced and unmapped: each time entry, flags and counts are right."""
    vm = m.boot(pages=24, l2_size=1)
    obj = vm_object_allocate(vm, 2)
    old, new = idle_pages(vm, obj, range(2))
    va = 0x10000

    def use(tables):
        tables.cover(obj, va, 1)
        tables.enter(va, old, VM_PROT_READ)
        valid = PG_V | PG_U | PG_A | PG_MANAGED
        m.check(
            tables.entry(va) & ~PG_NX == old.phys << 12 | valid, "an entry names its page, and is a user's"
        )
        m.check(tables.entry(va) & PG_NX, "what may only be read may not be executed")
        mapped = flags_of(old, PG_MAPPED, PG_WRITEABLE, PG_MAPPEDMULTI)
        m.check(mapped == [True, False, False], "a page knows that it is mapped once, to be read")
        m.check(tables.counts() == (5, 0), "an entry is counted beside its four tables")
        m.check(not touch(m.curcpu.store, va, 1), "what is read-only is not written to")
        tables.enter(va, old, VM_PROT_RW, wired=True)
        m.check(tables.entry(va) & (PG_RW | PG_W) == PG_RW | PG_W, "an entry may get rights, and be wired")
        m.check(tables.counts() == (5, 1), "an entry that is replaced is counted once, and that it is wired")
        m.check(touch(m.curcpu.store, va, 1), "what was given can be used")
        m.check(tables.entry(va) & PG_M and not old.raw_dirty, "the entry knows of a store first")
        tables.enter(va, old, VM_PROT_RW, wired=True)
        m.check(tables.entry(va) & PG_M, "to enter the same once more changes nothing")
        m.check(pmap_unwire(tables.pmap, va) is old, "what is unwired is told")
        m.check(
            tables.entry(va) & (PG_W | PG_M) == PG_M and tables.counts() == (5, 0), "only the wiring is gone"
        )
        m.check(pmap_unwire(tables.pmap, va + PAGE_SIZE) is None, "what is not mapped cannot be unwired")
        vm_page_flag_clear(old, PG_REFERENCED)
        may_write = VM_PROT_WRITE * m.choose(2)
        tables.enter(va, new, VM_PROT_READ | VM_PROT_EXECUTE | may_write)
        m.check(frame_of(tables.entry(va)) == new.phys, "an entry names the page that was entered last")
        m.check(not tables.entry(va) & PG_NX, "what may be executed is not kept from that")
        m.check(
            (old.raw_dirty, *flags_of(old, PG_REFERENCED)) == (0xFF, True),
            "the page before is told of its use",
        )
        m.check(tables.counts() == (5, 0), "one entry is counted")
        m.check(touch(m.curcpu.store, va, 1) == bool(may_write), "rights are as they were given")
        tables.enter(va, old, VM_PROT_RW)
        m.check(bool(new.raw_dirty) == bool(may_write), "its page is told whether it was written to")
        gone = flags_of(new, PG_MAPPED, PG_WRITEABLE, PG_REFERENCED)
        m.check(
            gone == [False, False, True], "a page that was mapped once knows that it is not mapped any more"
        )
        pmap_remove(tables.pmap, va, va + PAGE_SIZE)
        m.check(not tables.entry(va) and tables.counts() == (4, 0), "an entry that is gone is not counted")
        m.check(not touch(m.curcpu.load, va), "what was unmapped is gone")

    used_alone(m, use)


@scenario(cpus=1, tags={"pmap"}, pages=None)
def ranges_alone(m):
    """Parts of a range across several tables are visited, protected or unmapped, and no other part."""
    vm = m.boot(pages=40, l2_size=1)
    where = [base + n * PAGE_SIZE for base in (NBPDR, NBPDP) for n in (-2, -1, 0, 1)]
    obj = vm_object_allocate(vm, len(where))
    pages = idle_pages(vm, obj, range(len(where)))
    first, last = sorted((m.choose(len(where)), m.choose(len(where))))
    inside = range(first, last + 1)

    def kept(say):
        """The pages for which `say` is true."""
        return [n for n in range(len(where)) if say(n)]

    def use(tables):
        tables.cover(obj, where[0], 4)
        tables.cover(obj, where[4], 4, 4 * PAGE_SIZE)
        for n, (va, page) in enumerate(zip(where, pages, strict=True)):
            tables.enter(va, page, wired=n == first)
            touch(m.curcpu.store, va, 1)
        most = tables.counts()[0]
        sva, eva = where[first], where[last] + PAGE_SIZE
        visited = []

        def visit(_info, va, page):
            visited.append(where.index(va))
            m.check(page is pages[visited[-1]], "a visit is told of the page that is there")
            vm_page_wakeup(page)
            return -1 if len(visited) == 2 else 0

        vm_page_busy_wait(pages[first], True)
        info = PmapPgscanInfo(tables.pmap, sva, eva, visit)
        pmap_pgscan(info)
        vm_page_wakeup(pages[first])
        m.check(
            visited == list(inside)[1:3], "a visit passes pages over that are busy, and ends where it is told"
        )
        m.check(info.busycount == 1, "and counts them")
        m.check((info.offset == eva) == (len(visited) < 2), "and says that it came to its end")
        pmap_protect(tables.pmap, sva, eva, VM_PROT_RW)
        m.check(
            kept(lambda n: tables.entry(where[n]) & PG_RW) == list(range(8)), "rights that are given stay"
        )
        pmap_protect(tables.pmap, sva, eva, (VM_PROT_READ, VM_PROT_EXECUTE)[m.choose(2)])
        read_only = kept(lambda n: not tables.entry(where[n]) & PG_RW)
        m.check(read_only == list(inside), "a range is made read-only, and no more")
        m.check(
            kept(lambda n: pages[n].raw_dirty) == list(inside), "pages are told that they were written to"
        )
        told = kept(lambda n: not tables.entry(where[n]) & (PG_A | PG_M))
        m.check(told == list(inside), "and entries tell that once")
        m.check(
            kept(lambda n: not touch(m.curcpu.store, where[n], 2)) == list(inside), "so it is for the CPU"
        )
        m.check(tables.counts() == (most, 1), "all entries are there, and one is wired")
        how = m.choose(2)
        if how:
            pmap_remove(tables.pmap, sva, eva)
        else:
            pmap_protect(tables.pmap, sva, eva, VM_PROT_NONE)
        m.check(
            kept(lambda n: not tables.entry(where[n])) == list(inside), "a range is unmapped, and no more"
        )
        m.check(kept(lambda n: not touch(m.curcpu.load, where[n])) == list(inside), "so it is for the CPU")
        m.check(tables.counts() == (most - len(inside), 0), "what is gone is not counted")

    used_alone(m, use)


@scenario(cpus=1, tags={"pmap"}, pages=None)
def mappings_of_a_page_alone(m):
    """A page that two processes map is tested, cleaned, and unmapped from one or both of them."""
    vm = m.boot(pages=32, l2_size=1)
    obj = vm_object_allocate(vm, 2)
    page, beside = idle_pages(vm, obj, range(2))
    va = 0x10000

    def use(*spaces):
        for n, tables in enumerate(spaces):
            tables.cover(obj, va, 2)
            make_tables(tables.pmap, va)
            if n < 2:
                tables.enter(va, page, wired=n == 1)
        here, there, nowhere = (tables.pmap for tables in spaces)
        multi = flags_of(page, PG_MAPPED, PG_WRITEABLE, PG_MAPPEDMULTI)
        m.check(multi == [True, True, True], "a page knows that it is mapped more than once")
        m.check(
            [pmap_prefault_ok(pmap, va) for pmap in (here, nowhere)] == [False, True], "what is mapped is so"
        )
        m.check(not pmap_is_modified(page), "a page that nobody has written to is not modified")
        known = MINCORE_INCORE | MINCORE_REFERENCED | MINCORE_REFERENCED_OTHER
        m.check(pmap_mincore(here, va) == known, "a page that is entered counts as referenced")
        m.check(pmap_mincore(nowhere, va) == 0, "nothing is known of what is not there")
        touch(m.curcpu.store, va, 1)
        m.check(
            pmap_is_modified(page) and not pmap_is_modified(beside), "a page that was written to is modified"
        )
        both = MINCORE_MODIFIED | MINCORE_MODIFIED_OTHER
        m.check(pmap_mincore(here, va) == known | both, "so says its entry")
        other = pmap_mincore(there, va) & both
        m.check(other == MINCORE_MODIFIED_OTHER, "and the other one, that somebody else has")
        m.check(
            pmap_ts_referenced(page) == 2 and pmap_ts_referenced(page) == 0, "references are counted once"
        )
        used = MINCORE_REFERENCED | MINCORE_REFERENCED_OTHER
        m.check(not pmap_mincore(here, va) & used, "what is counted is forgotten")
        busied(page, vm_page_flag_set, PG_REFERENCED)
        m.check(pmap_mincore(here, va) & used == MINCORE_REFERENCED_OTHER, "but for what the page says")
        busied(page, vm_page_flag_clear, PG_REFERENCED)
        pa, handle = pmap_extract(here, va + 5, keep=True)
        m.check(pa == (page.phys << 12) + 5, "an address has its byte of the page")
        m.check(handle is not None and handle.peek("pv_hold") & PV_HOLD_LOCKED, "which it keeps if need be")
        pmap_extract_done(handle)
        m.check(pmap_extract(nowhere, va) == (0, None), "what is not mapped has none")
        looks = [
            pmap_fault_page_quick(pmap, at, VM_PROT_RW) for pmap in (here, nowhere) for at in (va, NBPDP)
        ]
        m.check(looks == [None] * 4, "no page is found without its map")
        vm_page_busy_wait(page, True)
        pmap_clear_modify(page)
        pmap_clear_reference(page)
        vm_page_wakeup(page)
        bits = [tables.entry(va) & (PG_A | PG_M | PG_RW) for tables in spaces[:2]]
        m.check(bits == [PG_RW, PG_RW], "entries forget that a page was used")
        m.check(not pmap_is_modified(page), "so it is not modified")
        m.curcpu.mmu.invlpg(va)
        touch(m.curcpu.store, va, 2)
        restrict(page, VM_PROT_RW)
        m.check(pmap_is_modified(page), "to leave the right to write changes nothing")
        restrict(page, (VM_PROT_READ, VM_PROT_EXECUTE)[m.choose(2)])
        entries = [tables.entry(va) & (PG_V | PG_RW | PG_M | PG_W) for tables in spaces[:2]]
        m.check(entries == [PG_V, PG_V | PG_W], "nobody may write to the page any more")
        m.check(
            (page.raw_dirty, *flags_of(page, PG_WRITEABLE, PG_MAPPED)) == (0xFF, False, True), "it is told"
        )
        m.check(not touch(m.curcpu.store, va, 3), "so it is for the CPU")
        m.check(touch(m.curcpu.load, va), "who may read does")
        vm_page_busy_wait(page, True)
        pmap_clear_reference(page)
        vm_page_wakeup(page)
        m.check(not spaces[0].entry(va) & PG_A, "an entry forgets that it was used")
        spaces[0].enter(va, page)
        take = m.choose(2)
        vm_page_busy_wait(page, True)
        if take:
            pmap_remove_specific(there, page)
        else:
            pmap_page_protect(page, VM_PROT_NONE)
        vm_page_wakeup(page)
        m.check(
            [bool(tables.entry(va)) for tables in spaces] == [bool(take), False, False],
            "what is taken is gone",
        )
        m.check([tables.counts() for tables in spaces] == [(4 + take, 0), (4, 0), (4, 0)], "and not counted")
        m.check(touch(m.curcpu.load, va) == bool(take), "so it is for the CPU")
        if not take:
            gone = flags_of(page, PG_MAPPED, PG_WRITEABLE, PG_MAPPEDMULTI)
            m.check(gone == [False, False, False], "a page that nobody maps knows it")

    used_alone(m, use, count=3)


@scenario(cpus=1, tags={"pmap", "tlb"}, pages=None)
def kernel_mappings_alone(m):
    """The kernel maps pages for itself, uses and changes the mappings: the CPU drops stale translations."""
    vm = m.boot(pages=24, l2_size=1)
    obj = vm_object_allocate(vm, 2)
    pages = idle_pages(vm, obj, range(2))
    va, quick = VM_MIN_KERNEL_ADDRESS + 0x10_0000, m.choose(2)

    def seen(n=0):
        return m.curcpu.mmu.access(va + n * PAGE_SIZE, KERNEL)

    def writes(n=0):
        return touch(m.curcpu.mmu.access, va + n * PAGE_SIZE, KERNEL_STORE, 10 + n)

    def gone(n=0):
        return not touch(m.curcpu.mmu.access, va + n * PAGE_SIZE, KERNEL)

    def worker():
        vm.mmu.trap = None
        enter, remove = (pmap_kenter_quick, pmap_kremove_quick) if quick else (pmap_kenter, pmap_kremove)
        for n, page in enumerate(pages):
            vm.memory.store(page.phys, 0, 10 + n)
        for n in (0, 1, 0):
            enter(vm, va, pages[n].phys << 12)
            m.check(seen() == 10 + n, "the kernel sees the page that it mapped last")
            m.check(n or writes(), "and may write to it")
        m.check(pmap_kvtom(vm, va) is pages[0], "and may ask for it")
        m.check(pmap_kextract(vm, va + 5) == (pages[0].phys << 12) + 5, "and for its address")
        remove(vm, va)
        m.check(gone() and pmap_kextract(vm, va) == 0, "what the kernel has unmapped is gone")
        pmap_qenter(vm, va, pages)
        m.check(writes(0) and writes(1), "pages that are mapped together may be written to")
        m.check([seen(0), seen(1)] == [10, 11], "pages that are mapped together stand one after the other")
        pmap_qenter(vm, va, pages[::-1])
        m.check([seen(0), seen(1)] == [11, 10], "and may be others at once")
        pmap_pte(vm.pmap.kernel_pmap, va).clearbits(PG_RW)
        m.curcpu.mmu.invlpg(va)
        m.check(seen() == 11 and not writes(), "what is read-only is not written to")
        pmap_kmodify_rw(vm, va)
        m.check(writes(), "the kernel may let itself write")
        pmap_qremove(vm, va, 2)
        m.check([gone(0), gone(1)] == [True, True], "pages are unmapped together")

    m.spawn(worker)
    m.join()
