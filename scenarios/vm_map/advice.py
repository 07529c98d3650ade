"""Advice on ranges of a map, and interlocks of ranges, among lookups and others who change the map."""

from vmsmp import scenario
from vmsmp.scenarios._kit import busied, give_back
from vmsmp.scenarios.vm_fault._alone import at, mapped
from vmsmp.scenarios.vm_fault._memory import Process
from vmsmp.scenarios.vm_map._spaces import BASE, map_anon, map_device, new_space, write_page
from vmsmp.scenarios.vm_map.files import Upmap
from vmsmp.sync.errno import EINVAL
from vmsmp.vm.vm_map import (
    KERN_SUCCESS,
    MADV_CORE,
    MADV_DONTNEED,
    MADV_FREE,
    MADV_INVAL,
    MADV_NOCORE,
    MADV_NORMAL,
    MADV_NOSYNC,
    MADV_RANDOM,
    MADV_SETMAP,
    MADV_WILLNEED,
    MAP_ENTRY_NOSYNC,
    VM_PROT_READ,
    VM_PROT_RW,
    VM_PROT_WRITE,
    vm_map_deinterlock,
    vm_map_ilock,
    vm_map_interlock,
    vm_map_lookup,
    vm_map_lookup_done,
    vm_map_madvise,
    vm_map_remove,
)
from vmsmp.vm.vm_page import PAGE_SIZE, PG_NEED_COMMIT, vm_page_flag_clear, vm_page_flag_set


@scenario(cpus=4, tags={"map", "ilock"})
def interlocks_that_overlap(m):
    """Threads interlock ranges, some of which overlap: no two work on one page, and all get a turn."""
    vm = m.boot(pages=6, l2_size=1)
    vmspace = new_space(vm)
    owners = [m.atomic(0, name=f"page {n}") for n in range(4)]

    def thread():
        for _ in m.rounds(3):
            first = m.choose(4)
            last = first + 1 + m.choose(4 - first)
            ilock = vm_map_ilock(vm)
            vm_map_interlock(vmspace.vm_map, ilock, BASE + first * PAGE_SIZE, BASE + last * PAGE_SIZE)
            for page in owners[first:last]:
                m.check(page.fetchadd(1) == 0, "a page that is interlocked is nobody else's")
            for page in owners[first:last]:
                page.fetchadd(-1)
            vm_map_deinterlock(vmspace.vm_map, ilock)

    for _ in range(m.ncpus):
        m.spawn(thread)
    m.join()
    give_back(vmspace)


@scenario(cpus=3, tags={"map", "ilock", "madvise", "lookup"}, pages=2)
def invalidations_among_lookups(m):
    """Ranges are invalidated while other threads look their pages up, write to them and unmap others."""
    vm = m.boot(pages=16, l2_size=1)
    vmspace = new_space(vm)
    map = vmspace.vm_map
    map_anon(m, map, BASE, 4)

    def range_of():
        first = m.choose(4)
        return BASE + first * PAGE_SIZE, BASE + (first + 1 + m.choose(4 - first)) * PAGE_SIZE

    def invalidator():
        for _ in m.rounds(2):
            m.check(vm_map_madvise(map, *range_of(), MADV_INVAL) == 0, "a range can be invalidated")

    def user():
        for _ in m.rounds(2):
            start, end = range_of()
            deed = m.choose(4)
            if deed == 0:
                vm_map_remove(map, start, start + PAGE_SIZE)
            elif deed == 1:
                write_page(map, start, VM_PROT_WRITE)
            else:
                found = vm_map_lookup(map, end - 1, VM_PROT_READ)
                if found.rv == KERN_SUCCESS:
                    vm_map_lookup_done(found.map, found.entry, None)

    for n in range(m.ncpus):
        m.spawn(user if n == 1 else invalidator)
    m.join()
    give_back(vmspace)


@scenario(cpus=3, tags={"map", "madvise"}, pages=4)
def advice_of_all_kinds(m):
    """Threads give all kinds of advice on ranges that overlap, and touch and unmap pages of them."""
    vm = m.boot(pages=16, l2_size=1)
    vmspace = new_space(vm)
    map = vmspace.vm_map
    map_anon(m, map, BASE, 4)
    kinds = (
        *(MADV_NORMAL, MADV_RANDOM, MADV_NOSYNC, MADV_NOCORE, MADV_CORE, MADV_SETMAP),
        *(MADV_INVAL, MADV_WILLNEED, MADV_DONTNEED, MADV_FREE),
    )

    def thread():
        for _ in m.rounds(3):
            first = m.choose(4)
            start, end = BASE + first * PAGE_SIZE, BASE + (first + 1 + m.choose(4 - first)) * PAGE_SIZE
            deed = m.choose(4)
            if deed == 0:
                write_page(map, start, VM_PROT_WRITE)
            elif deed == 1:
                vm_map_remove(map, start, start + PAGE_SIZE)
            else:
                kind = kinds[m.choose(len(kinds))]
                error = vm_map_madvise(map, start, end, kind)
                m.check(error == 0 or (error == EINVAL and kind == MADV_SETMAP), "advice is taken")
            m.check(vm_map_madvise(map, start, end, 99) == EINVAL, "what is no advice is refused")

    for _ in range(m.ncpus):
        m.spawn(thread)
    m.join()
    give_back(vmspace)


@scenario(cpus=1, tags={"map", "madvise", "fault"}, pages=None)
def advice_alone(m):
    """A thread gives advice on parts of its memory, and of a device: it affects only those pages."""
    vm = m.boot(pages=24, l2_size=1)
    vm.sysctl["vm.prefault_pages"] = 0

    def thread():
        process = Process(vm)
        map = process.map
        map_anon(m, map, at(-2), 1, VM_PROT_READ)
        map_anon(m, map, at(0), 2)
        map_anon(m, map, at(2), 2, VM_PROT_RW, VM_PROT_RW)
        upmap = Upmap(m)
        map_device(m, map, upmap, upmap.uksmap, at(4), 1)
        process.enter()

        def advise(first, last, behav):
            return vm_map_madvise(map, at(first), at(last), behav)

        def pages():
            """The pages of memory, by number."""
            entries = [map.raw_rb_root.at_or_before(at(page)).ba for page in range(4)]
            places = [
                (ba.raw_offset + at(page) - ba.raw_start) // PAGE_SIZE for page, ba in enumerate(entries)
            ]
            return [ba.raw_object.raw_rb_memq[pindex] for ba, pindex in zip(entries, places, strict=True)]

        for page in range(4):
            process.store(at(page), page)
        m.check(advise(1, 3, MADV_INVAL) == 0 and mapped(process) == [0, 3], "mappings are forgotten")
        m.check([process.load(at(page)) for page in (1, 2)] == [1, 2], "and memory is not")
        m.check(advise(1, 5, MADV_FREE) == 0, "what a device shows is left alone")
        m.check([bool(page.raw_dirty) for page in pages()] == [True, False, False, False], "no value is kept")
        m.check(mapped(process) == [0, 1, 2, 3], "where it is not needed, but mappings are")
        busied(pages()[0], vm_page_flag_set, PG_NEED_COMMIT)
        m.check(advise(0, 1, MADV_FREE) == 0 and pages()[0].raw_dirty, "nor what is to be committed")
        busied(pages()[0], vm_page_flag_clear, PG_NEED_COMMIT)
        m.check(advise(1, 3, MADV_NOSYNC) == 0, "entries are cut, and marked")
        marks = [bool(entry.raw_eflags & MAP_ENTRY_NOSYNC) for entry in map.raw_rb_root]
        m.check(marks == [False, False, True, True, False, False], "in the range")
        m.check(advise(0, 1, MADV_SETMAP) == EINVAL, "there are no page tables of one's own")

        # -- interlocks of ranges that do not overlap
        locks = [vm_map_ilock(vm) for _ in range(3)]
        ranges = [(2, 4), (0, 2), (4, 6)]
        for ilock, (first, last) in zip(locks, ranges, strict=True):
            vm_map_interlock(map, ilock, at(first), at(last))
            m.check((ilock.raw_ran_beg, ilock.raw_ran_end) == (at(first), at(last)), "a range is what it is")
        vm_map_deinterlock(map, locks.pop(0))
        m.check([ilock.map for ilock in locks] == [map, map], "one is given back, and no other")
        for ilock in locks:
            vm_map_deinterlock(map, ilock)
        m.check(map.peek("ilock_base") is None, "all are given back")
        give_back(process.vmspace)

    m.spawn(thread)
    m.join()
