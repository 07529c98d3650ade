"""Threads of one process fault its memory in, while it is unmapped, protected, paged out or given up."""

from vmsmp import scenario
from vmsmp.scenarios._kit import give_back
from vmsmp.scenarios.vm_fault._memory import Process, object_at, page_out
from vmsmp.scenarios.vm_map._spaces import BASE, map_anon
from vmsmp.vm.vm_map import (
    MADV_FREE,
    MADV_INVAL,
    VM_PROT_READ,
    VM_PROT_RW,
    vm_map_madvise,
    vm_map_protect,
    vm_map_remove,
)
from vmsmp.vm.vm_page import PAGE_SIZE


@scenario(cpus=3, tags={"map", "fault"}, pages=5)
def faults_of_one_page(m):
    """Threads touch one page for the first time at once: it becomes one page of zeros, which all write to."""
    vm = m.boot(pages=12, l2_size=1)
    process = Process(vm)
    map_anon(m, process.map, BASE, 1)

    def thread(n):
        process.enter()
        for turn in m.rounds(2):
            if m.choose(2):
                m.check(process.store(BASE, 100 * n + turn) is None, "a page of one's own can be written")
            value = process.load(BASE)
            m.check(value == 0 or value >= 100, "a page has what was written to it, or zeros")

    for n in range(m.ncpus):
        m.spawn(thread, n + 1)
    m.join()
    m.check(sum(gd.v_zfod for gd in vm.meter.cpus()) <= 1, "a page is filled with zeros once")
    give_back(process.vmspace)


@scenario(cpus=3, tags={"map", "fault", "prefault"}, pages=4)
def neighbours_that_are_busy(m):
    """Threads store to pages of one range, and prefault others, which the pagedaemon also wants."""
    vm = m.boot(pages=16, l2_size=1)
    vm.sysctl["vm.shared_fault"] = m.choose(2)
    vm.sysctl["vm.fault_bypass"] = m.choose(3)
    process = Process(vm)
    map_anon(m, process.map, BASE, 4)
    process.enter().load(BASE)
    obj = object_at(process.map, BASE)

    def thread(n):
        process.enter()
        at = BASE + n % 4 * PAGE_SIZE
        for turn in m.rounds(2):
            value = 10 * n + turn + 1
            m.check(process.store(at, value) is None, "a page of one's own can be written")
            found = process.load(at)
            m.check(found == value or n >= 4 or m.ncpus > 4, "what was stored is loaded")
            process.load(BASE + m.choose(4) * PAGE_SIZE)

    def pager():
        for _ in m.rounds(3):
            page_out(obj, m.choose(4))

    for n in range(m.ncpus):
        m.spawn(*((thread, n) if n != 1 else (pager,)))
    m.join()
    give_back(process.vmspace)


@scenario(cpus=3, tags={"map", "fault", "delete"}, pages=6)
def faults_against_munmap(m):
    """Threads load and store while one unmaps the range and maps it again: old stores are gone then."""
    vm = m.boot(pages=12, l2_size=1)
    process = Process(vm)
    map_anon(m, process.map, BASE, 2)

    def mapper():
        process.enter()
        for turn in m.rounds(2):
            process.store(BASE, turn + 1)
            vm_map_remove(process.map, BASE, BASE + 2 * PAGE_SIZE)
            m.check(process.load(BASE) is None, "what is not mapped cannot be loaded")
            map_anon(m, process.map, BASE, 2)
            m.check(process.load(BASE) == 0, "memory that was unmapped does not come back")

    def thread():
        process.enter()
        for _ in m.rounds(2):
            process.load(BASE)
            process.store(BASE + PAGE_SIZE, 1)
            m.check(process.load(BASE + PAGE_SIZE) in (None, 0, 1), "a page has what was stored, or zeros")

    for n in range(m.ncpus):
        m.spawn(thread if n else mapper)
    m.join()
    give_back(process.vmspace)


@scenario(cpus=3, tags={"map", "fault", "protect"}, pages=5)
def faults_against_mprotect(m):
    """A range is made read-only and writeable again: nothing is stored between the two."""
    vm = m.boot(pages=12, l2_size=1)
    process = Process(vm)
    map_anon(m, process.map, BASE, 1)

    def protector():
        process.enter()
        for _ in m.rounds(2):
            vm_map_protect(process.map, BASE, BASE + PAGE_SIZE, VM_PROT_READ, False)
            before = process.load(BASE)
            m.yield_()
            m.check(process.load(BASE) == before, "what is read-only does not change")
            vm_map_protect(process.map, BASE, BASE + PAGE_SIZE, VM_PROT_RW, False)

    def thread(n):
        process.enter()
        for turn in m.rounds(3):
            process.store(BASE, 10 * n + turn)

    for n in range(m.ncpus):
        m.spawn(*((thread, n) if n else (protector,)))
    m.join()
    give_back(process.vmspace)


@scenario(cpus=3, tags={"map", "fault", "pageout"}, pages=2)
def faults_against_pageout(m):
    """A page is written to swap and freed while its process keeps using it: nothing is lost."""
    vm = m.boot(pages=12, l2_size=1)
    process = Process(vm)
    map_anon(m, process.map, BASE, 2)
    process.enter().store(BASE, 1)
    obj = object_at(process.map, BASE)
    page_out(obj, 0)
    process.load(BASE)  # it has a page now, and swap

    def pager():
        for _ in m.rounds(2):
            if m.choose(2):
                page_out(obj, m.choose(2))
            else:
                vm_map_madvise(process.map, BASE, BASE + PAGE_SIZE, MADV_INVAL)

    def user():
        process.enter()
        last = process.load(BASE)
        m.check(last == 1, "what was stored is loaded")
        for turn in m.rounds(3):
            if m.choose(2):
                last = 2 + turn
                process.store(BASE, last)
            m.check(process.load(BASE) == last, "what was stored is loaded")

    for n in range(m.ncpus):
        m.spawn(pager if n else user)
    m.join()
    give_back(process.vmspace)


@scenario(cpus=2, tags={"map", "fault", "madvise"}, pages=2)
def free_against_store(m):
    """Memory is given up with MADV_FREE while it is stored to: it has an old value, a new one or zeros."""
    vm = m.boot(pages=12, l2_size=1)
    process = Process(vm)
    map_anon(m, process.map, BASE, 1)
    process.enter().store(BASE, 1)
    obj = object_at(process.map, BASE)

    def adviser():
        process.enter()
        for _ in m.rounds(2):
            vm_map_madvise(process.map, BASE, BASE + PAGE_SIZE, MADV_FREE)
            page_out(obj, 0)

    def thread():
        process.enter()
        for _ in m.rounds(2):
            before = process.load(BASE)
            process.store(BASE, before + 1)
            value = process.load(BASE)
            m.check(m.ncpus > 2 or value in (0, before, before + 1), "memory is not changed by giving it up")

    for n in range(m.ncpus):
        m.spawn(thread if n else adviser)
    m.join()
    give_back(process.vmspace)
