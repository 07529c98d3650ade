"""One thread and the system calls on its memory: what each says, and what the address space is afterwards."""

from vmsmp import scenario
from vmsmp.scenarios._kit import busied, file_object, forget_file, give_back, repaired, run_in
from vmsmp.scenarios.vm_fault._alone import at, page_at
from vmsmp.scenarios.vm_fault._memory import Process, share
from vmsmp.scenarios.vm_map._spaces import BASE, map_anon, map_device, new_space
from vmsmp.scenarios.vm_map.files import Upmap
from vmsmp.sync.errno import EAGAIN, EFAULT, EINVAL, ENOMEM, EOPNOTSUPP
from vmsmp.vm.pmap import pmap_remove
from vmsmp.vm.pmap.query import (
    MINCORE_INCORE,
    MINCORE_MODIFIED_OTHER,
    MINCORE_REFERENCED,
    MINCORE_REFERENCED_OTHER,
)
from vmsmp.vm.vm_map import (
    ADDRESS_MASK,
    KM_PAGEABLE,
    MAP_ANON,
    MAP_ENTRY_COW,
    MAP_ENTRY_NEEDS_COPY,
    MAP_ENTRY_NOCOREDUMP,
    MAP_ENTRY_NOSYNC,
    MAP_FIXED,
    MAP_INHERIT,
    MAP_NOCORE,
    MAP_NOSYNC,
    MAP_SHARED,
    MAP_SIZEALIGN,
    MAP_TRYFIXED,
    VM_INHERIT_COPY,
    VM_INHERIT_NONE,
    VM_INHERIT_SHARE,
    VM_MAX_USER_ADDRESS,
    VM_PROT_ALL,
    VM_PROT_READ,
    VM_PROT_RW,
    vm_map_kernel_wiring,
    vm_map_protect,
)
from vmsmp.vm.vm_meter.counts import vmstats_rollup
from vmsmp.vm.vm_mmap import (
    MCL_FUTURE,
    sys_mincore,
    sys_minherit,
    sys_mlock,
    sys_mlockall,
    sys_munlock,
    sys_munlockall,
    sys_munmap,
    vm_mmap,
)
from vmsmp.vm.vm_page import PAGE_SIZE as PAGE
from vmsmp.vm.vm_page import PG_REFERENCED, vm_page_flag_clear, vm_page_flag_set, vm_page_set_invalid
from vmsmp.vm.vm_unix import sys_obreak, sys_sbrk
from vmsmp.vm.vnode import getnewvnode, vrele

#: From which size on memory is aligned to large pages, and how large these are.
SEGMENT = 2 << 20


def _invalidate(page):
    vm_page_set_invalid(page, 0, PAGE)


def _entry(map, page):
    return map.raw_rb_root.at_or_before(at(page))


@scenario(cpus=1, tags={"map", "mmap", "limit"}, pages=None)
def mmaps_alone(m):
    """A thread maps memory of all kinds and sizes, as it likes: it gets what fits, where it asked for it."""
    vm = m.boot(pages=24, l2_size=1, object_hash=1)

    def mmap(map, page, size, flags, handle=None, foff=0):
        flags |= 0 if handle else MAP_ANON
        error, addr = vm_mmap(map, at(page), size, VM_PROT_RW, VM_PROT_ALL, flags, handle, foff)
        return error, (addr - BASE) / PAGE

    def places(map):
        for asked, said in (
            ((2, 0, 0), (0, 2)),
            ((2, 2 * PAGE, 0), (0, 2)),
            ((2, 2 * PAGE, 0), (0, 4)),
            ((2.5, PAGE, 0), (0, 6)),
            ((2, PAGE, MAP_TRYFIXED), (ENOMEM, 2)),
            ((8, 100, MAP_TRYFIXED), (0, 8)),
            ((8.5, PAGE, MAP_FIXED), (EINVAL, 8.5)),
            ((8.5, PAGE, MAP_TRYFIXED), (EINVAL, 8.5)),
            ((3, 2 * PAGE, MAP_FIXED), (0, 3)),
            ((9, PAGE, 0, None, 1), (EINVAL, 9)),
            ((9, 3 * PAGE, MAP_SIZEALIGN), (EINVAL, 9)),
            ((9, 4 * PAGE, MAP_SIZEALIGN), (0, 12)),
            ((17, 4 * PAGE, 0), (0, 17)),
            ((21, SEGMENT, 0), (0, 256)),
            ((2049, 16 * SEGMENT + PAGE, 0), (0, 2304)),
            ((10500, 16 * SEGMENT - PAGE, 0), (0, 10500)),
            ((20001, SEGMENT, MAP_FIXED), (0, 20001)),
        ):
            addr, size, flags, *rest = asked
            where = BASE + int(addr * PAGE)
            error, found = vm_mmap(map, where, size, VM_PROT_RW, VM_PROT_ALL, flags | MAP_ANON, *rest)
            m.check((error, (found - BASE) / PAGE) == said, "what is mapped lies where it was asked for")

    def files(map):
        vp, obj = file_object(vm, 4)
        private = MAP_ENTRY_COW | MAP_ENTRY_NEEDS_COPY
        for page, flags, eflags, inherit in (
            (40, 0, private, VM_INHERIT_COPY),
            (44, MAP_SHARED, 0, VM_INHERIT_SHARE),
            (48, MAP_INHERIT | MAP_NOSYNC, private | MAP_ENTRY_NOSYNC, VM_INHERIT_SHARE),
            (52, MAP_NOCORE, private | MAP_ENTRY_NOCOREDUMP, VM_INHERIT_COPY),
        ):
            m.check(mmap(map, page, 2 * PAGE, flags, vp, PAGE) == (0, page), "a file can be mapped")
            entry = _entry(map, page)
            m.check((entry.ba.raw_object, entry.ba.raw_offset) == (obj, PAGE), "from an offset on")
            told = entry.peek("eflags"), entry.peek("inheritance")
            m.check(told == (eflags, inherit), "it has the flags that were asked for")
        m.check(obj.peek("ref_count") == 5, "each mapping refers to it")
        m.check(mmap(map, 40, PAGE, MAP_TRYFIXED, vp)[0] == ENOMEM, "something else is there")
        m.check(obj.peek("ref_count") == 5, "who is refused refers to nothing")
        bare = getnewvnode(vm, "bare")
        m.check(mmap(map, 60, PAGE, 0, bare)[0] == EINVAL, "who has no object cannot be mapped")
        vrele(bare)
        m.check(vm_mmap(map, at(60), PAGE, 3, 7, 0)[0] == EINVAL, "nor can nothing")
        m.check(mmap(map, 60, PAGE, 0)[0] == 0, "memory of no file is none's")
        entry = _entry(map, 60)
        m.check((entry.peek("eflags"), entry.peek("inheritance")) == (0, VM_INHERIT_COPY), "it is one's own")
        return vp, obj

    def user():
        vmspace, other = new_space(vm), new_space(vm)
        map = vmspace.vm_map
        m.check(mmap(map, 0, PAGE, MAP_FIXED) == (0, 0), "a thread of the kernel may map memory for others")
        run_in(vm, vmspace)
        places(map)
        vp, obj = files(map)
        p = vm.mycpu().proc
        limit, p.rlim_vmem = p.peek("rlim_vmem"), map.peek("size") + PAGE
        m.check(mmap(map, 70, 2 * PAGE, 0)[0] == ENOMEM, "a process has a limit")
        m.check(mmap(other.vm_map, 70, p.rlim_vmem + PAGE, MAP_FIXED) == (0, 70), "another one has its own")
        m.check(mmap(map, 70, PAGE, 0) == (0, 70), "up to that it may map")
        before = _entry(map, 70)
        m.check(mmap(map, 70, 4 * PAGE, MAP_FIXED)[0] == ENOMEM, "and not more")
        m.check(_entry(map, 70) is before and not before.freed, "what would be replaced stays")
        p.rlim_vmem = limit
        sys_mlockall(map, MCL_FUTURE)
        m.check(mmap(map, 80, PAGE, 0) == (0, 80), "what comes is locked")
        m.check(_entry(map, 80).peek("wired_count") == 1, "if that was asked for")
        m.check(_entry(map, 70).peek("wired_count") == 0, "and nothing else")
        for one in (other, vmspace):
            give_back(one)
        forget_file(vp, obj)

    m.spawn(user)
    m.join()


@scenario(cpus=1, tags={"map", "mmap", "wire", "inherit"}, pages=None)
def ranges_told_alone(m):
    """A thread unmaps ranges, locks and unlocks them, and says what a child gets: all of it, or an error."""
    vm = m.boot(pages=24, l2_size=1, object_hash=1)
    top = VM_MAX_USER_ADDRESS
    huge, whole = ADDRESS_MASK, ADDRESS_MASK - PAGE

    def unmaps(map):
        for page, pages in ((0, 8), (10, 2)):
            map_anon(m, map, at(page), pages)
        map_anon(m, map, top - PAGE, 1)
        for start, size, error, left in (
            (at(0), 0, 0, 11),
            (at(20), 0, 0, 11),
            (at(6), 3 * PAGE, EINVAL, 11),
            (top - PAGE, 2 * PAGE, EINVAL, 11),
            (top - PAGE, PAGE, 0, 10),
            (at(11) - 1, 2, 0, 8),
            (at(7), 1, 0, 7),
        ):
            m.check(sys_munmap(map, start, size) == error, "what is mapped throughout is unmapped")
            m.check(map.peek("size") == (1 + left) * PAGE, "whole pages, and nothing else")

    def inherits(map):
        for start, size, inherit, error, told in (
            (at(0), PAGE, VM_INHERIT_NONE, 0, [VM_INHERIT_NONE]),
            (at(2) - 1, 2, VM_INHERIT_SHARE, 0, [VM_INHERIT_SHARE] * 2),
            (at(0), PAGE, 3, EINVAL, [VM_INHERIT_NONE]),
            (at(0), huge, VM_INHERIT_COPY, EINVAL, [VM_INHERIT_NONE]),
            (at(0), whole, VM_INHERIT_COPY, EINVAL, [VM_INHERIT_NONE]),
            (at(0), 3 * PAGE, VM_INHERIT_COPY, 0, [VM_INHERIT_COPY] * 3),
        ):
            m.check(sys_minherit(map, start, size, inherit) == error, "it is said of what is mapped")
            page = (start - BASE) // PAGE
            found = [_entry(map, page + n).peek("inheritance") for n in range(len(told))]
            m.check(found == told, "a child gets what was said last")

    def locks(map):
        def wired():
            return [page for page in range(7) if _entry(map, page).peek("wired_count")]

        vmstats_rollup(vm)
        vm.pageout.vm_page_max_wired = vm.meter.count("v_wire_count") + 2
        m.check(sys_mlock(map, at(0), 3 * PAGE) == EAGAIN and not wired(), "no more is locked than may be")
        m.check(not sys_mlock(map, at(0), 2 * PAGE) and wired() == [0, 1], "that much is")
        m.check(not sys_munlock(map, at(0), 2 * PAGE), "and unlocked")
        vm.pageout.vm_page_max_wired = None
        for call, start, size, error, left in (
            (sys_mlock, at(1), 0, 0, []),
            (sys_mlock, at(2), 1, 0, [2]),
            (sys_mlock, at(5) - 1, 2, 0, [2, 4, 5]),
            (sys_mlock, at(6), 2 * PAGE, ENOMEM, [2, 4, 5]),
            (sys_mlock, at(0), huge, EINVAL, [2, 4, 5]),
            (sys_mlock, at(0), whole, EINVAL, [2, 4, 5]),
            (sys_mlock, at(20), 0, 0, [2, 4, 5]),
            (sys_munlock, at(2), 0, 0, [2, 4, 5]),
            (sys_munlock, at(20), 0, 0, [2, 4, 5]),
            (sys_munlock, at(2), whole, EINVAL, [2, 4, 5]),
            (sys_munlock, at(5) - 1, 2, 0, [2]),
            (sys_munlock, at(7), PAGE, ENOMEM, [2]),
            (sys_mlock, at(4), PAGE, 0, [2, 4]),
        ):
            m.check(call(map, start, size) == error, "all of a range can be locked, or nothing is")
            m.check(wired() == left, "whole pages are locked, and no others")
        m.check(not vm_map_kernel_wiring(map, at(4), at(5), 0), "the kernel needs a page, too")
        pages = {n: vm.page.vm_page_array[vm.mmu.peek(map.pmap.root, at(n)).frame] for n in (2, 4)}
        m.check(not sys_munlockall(map) and wired() == [4], "the user's wirings end all at once")
        m.check([page.peek("wire_count") for page in pages.values()] == [0, 1], "the kernel's does not")
        vm_map_kernel_wiring(map, at(4), at(5), KM_PAGEABLE)
        m.check(not wired() and not map.pmap.peek("wired_count"), "nothing is locked any more")

    def user():
        vmspace = new_space(vm, top)
        run_in(vm, vmspace)
        map_anon(m, vmspace.vm_map, at(-4), 1, VM_PROT_READ)
        unmaps(vmspace.vm_map)
        inherits(vmspace.vm_map)
        locks(vmspace.vm_map)
        give_back(vmspace)

    m.spawn(user)
    m.join()


@scenario(cpus=1, tags={"map", "mmap", "fault"}, pages=None)
def mincore_alone(m):
    """A thread asks which of its pages are in memory, while its map changes, or is told in vain."""
    vm = m.boot(pages=32, l2_size=1, object_hash=1)
    vm.sysctl["vm.prefault_pages"] = 0
    counts = repaired(m, "mincore-counts-first")
    knows = repaired(m, "mincore-knows-where-it-was")
    there = MINCORE_INCORE
    written, used_then = there | MINCORE_MODIFIED_OTHER, there | MINCORE_REFERENCED_OTHER
    mine = used_then | MINCORE_REFERENCED

    def passed(*pages):
        """What is stored for pages that are passed over: without the repair one byte too early."""
        return [(page - (not counts), 0) for page in pages]

    def ask(map, first, pages, changes=(), fails_at=None):
        """Return what is said, and which bytes were stored; the map changes before those in `changes`."""
        stored = []

        def subyte(index, byte):
            if len(stored) in changes:
                for right in (VM_PROT_READ, VM_PROT_RW):
                    vm_map_protect(map, at(30), at(31), right, False)
            stored.append((index, byte))
            return EFAULT if len(stored) - 1 == fails_at else 0

        return sys_mincore(map, at(first), pages * PAGE, subyte), stored

    def unmapped(process, other):
        """Unmap pages that stay in memory, in all states; return what there is to be told of each."""
        share(process.map, other.map, at(0))
        other.enter().store(at(4), 4)
        used_by_other = page_at(other, 4)
        process.enter()
        pages = [*(page_at(process, n) for n in range(4)), used_by_other]
        pmap_remove(process.map.pmap, at(0), at(5))
        for page, dirty, used in zip(pages, (0, 1, 0, 1, 0), (0, 0, 1, 1, 0), strict=True):
            busied(page, lambda one, dirty=dirty: one.publish("dirty", dirty))
            busied(page, vm_page_flag_set if used else vm_page_flag_clear, PG_REFERENCED)
        return [there, written, used_then, written | used_then, written | used_then]

    def changing(map, told):
        """Ask while the map changes: who has lost its place looks for it again."""
        again = [] if knows else passed(0)
        for changes, stored in (
            ({0}, [told[0], told[0], told[1]]),
            ({0, 1}, [told[0], told[0], told[0], told[1]]),
            ({1}, [*told[:2], *again, told[1]]),
            ({1, 2 + len(again)}, [*told[:2], *again, told[1], *again, told[1]]),
        ):
            m.check(ask(map, 0, 2, changes) == (0, stored), "what may have changed is asked again")
        last = [*told, (5, 0), *passed(6)]
        again = passed(6) if knows else passed(*range(7))
        m.check(ask(map, 0, 7, {6}) == (0, last + again), "also at the end")

    def failing(map, told):
        """Ask with a vector that cannot be stored to, and for addresses that no process has."""
        whole = [*told, (5, 0), *passed(6)]
        for n in (0, 3, 5, 6):
            m.check(ask(map, 0, 7, fails_at=n) == (EFAULT, whole[: n + 1]), "a fault ends it")
        for first, size, error in (
            (VM_MAX_USER_ADDRESS - PAGE, PAGE, 0),
            (VM_MAX_USER_ADDRESS - PAGE, PAGE + 1, EINVAL),
            (VM_MAX_USER_ADDRESS, 1, EINVAL),
            (at(1), ADDRESS_MASK + 1 - PAGE, EINVAL),
        ):
            stored = []
            said = sys_mincore(map, first, size, lambda *told, stored=stored: stored.append(told) or 0)
            m.check((said, stored) == (error, [] if error else passed(0)), "processes have no more addresses")

    def user():
        process, other = Process(vm).enter(), Process(vm)
        map = process.map
        map_anon(m, map, at(0), 6)
        vp, obj = file_object(vm, 3, range(3))
        vm_mmap(map, at(7), PAGE, VM_PROT_READ, VM_PROT_RW, MAP_SHARED | MAP_FIXED, vp, 2 * PAGE)
        upmap = Upmap(m)
        map_device(m, map, upmap, upmap.uksmap, at(8), 1)
        map_anon(m, map, at(10), 1)
        map_anon(m, map, at(30), 1)
        for n in range(4):
            process.store(at(n), n)
        process.load(at(7))
        told = [*enumerate(unmapped(process, other))]
        for _ in range(2):
            m.check(ask(map, 0, 5) == (0, told), "what is in memory is said to be, however often one asks")
        gaps = [(5, 0), *passed(6), (7, mine), *passed(8, 9, 10, 11)]
        m.check(ask(map, 0, 12) == (0, told + gaps), "what is not is said not to be")
        m.check(ask(map, 8, 3) == (0, passed(0, 1, 2)), "nothing is there at all")
        m.check(ask(map, 0, 0) == (0, []), "nothing was asked")
        changing(map, told)
        failing(map, told)
        busied(_entry(map, 0).ba.raw_object.peek("rb_memq")[3], _invalidate)
        m.check(ask(map, 3, 1) == (0, [(0, 0)]), "a page without contents is not there")
        m.check((process.load(at(0)), ask(map, 0, 1)[1]) == (0, [(0, mine)]), "what it uses it is told of")
        for one in (process, other):
            give_back(one.vmspace)
        forget_file(vp, obj)

    m.spawn(user)
    m.join()


@scenario(cpus=1, tags={"map", "heap", "limit"}, pages=None)
def heaps_alone(m):
    """A thread extends its heap in both ways, up to each limit and beyond: it gets what is counted."""
    vm = m.boot(pages=16, l2_size=1, object_hash=1)
    top = VM_MAX_USER_ADDRESS

    def heap(begin):
        """Begin a process whose heap begins there."""
        vmspace = new_space(vm, top)
        run_in(vm, vmspace)
        map_anon(m, vmspace.vm_map, at(0), 1)
        vmspace.vm_daddr = begin
        return vmspace

    def pages(vmspace):
        return vmspace.vm_map.peek("size") // PAGE - 1

    def extended():
        vmspace, p = heap(at(8)), vm.mycpu().proc
        p.rlim_data = 4 * PAGE
        for incr, start, mapped in (
            (0, at(8), 0),
            (100, at(8), 1),
            (0, at(8) + 100, 1),
            (50, at(8) + 100, 1),
            (PAGE - 150, at(8) + 150, 1),
            (1, at(9), 2),
            (PAGE, at(10), 3),
            (PAGE + 1, None, 3),
            (-1, None, 3),
            (PAGE, at(11), 4),
            (1, None, 4),
        ):
            error, got = sys_sbrk(vmspace, incr)
            m.check((bool(error), got) == (start is None, start or 0), "new bytes are behind the old ones")
            m.check(pages(vmspace) == mapped, "what the last page has room for needs no other")
        m.check(vmspace.vm_dsize == 4 * PAGE, "the size of the heap is what was given")
        give_back(vmspace)

    def broken():
        vmspace, p = heap(at(8)), vm.mycpu().proc
        limit, p.rlim_data, p.rlim_vmem = p.peek("rlim_vmem"), 6 * PAGE, 5 * PAGE
        for end, error, mapped in (
            (at(7), EINVAL, 0),
            (at(8), 0, 0),
            (at(9) + 1, 0, 2),
            (at(10), 0, 2),
            (at(9), EOPNOTSUPP, 2),
            (at(13), ENOMEM, 2),
            (at(12), 0, 4),
        ):
            m.check(sys_obreak(vmspace, end) == error, "a heap grows up to where it may")
            m.check((pages(vmspace), vmspace.vm_dsize) == (mapped, mapped * PAGE), "and never shrinks")
        p.rlim_vmem = limit
        m.check(sys_obreak(vmspace, at(14) + 1) == ENOMEM, "its data has a limit of its own")
        m.check(not sys_obreak(vmspace, at(14)), "which may be reached")
        p.rlim_data = PAGE
        m.check(not sys_obreak(vmspace, at(14)), "who is there already asks for nothing")
        p.rlim_data = top
        give_back(vmspace)

    def at_the_top():
        for call, refused, last in (
            (lambda vmspace, more: sys_sbrk(vmspace, more)[0], 4 * PAGE, 3 * PAGE),
            (lambda vmspace, more: sys_obreak(vmspace, top - 4 * PAGE + more), 4 * PAGE, 3 * PAGE),
        ):
            vmspace = heap(top - 4 * PAGE)
            m.check(call(vmspace, refused) == ENOMEM and not pages(vmspace), "the last page is nobody's")
            m.check(not call(vmspace, last) and pages(vmspace) == 3, "the one before may be had")
            give_back(vmspace)

    def locked():
        for lock in (False, True):
            vmspace = heap(at(8))
            if lock:
                sys_mlockall(vmspace.vm_map, MCL_FUTURE)
            m.check(sys_sbrk(vmspace, PAGE) == (0, at(8)) and not sys_obreak(vmspace, at(10)), "a heap grows")
            found = [_entry(vmspace.vm_map, page).peek("wired_count") for page in (8, 9)]
            m.check(found == [lock] * 2, "what comes is locked if that was asked for")
            give_back(vmspace)

    def user():
        extended()
        broken()
        locked()
        at_the_top()

    m.spawn(user)
    m.join()
