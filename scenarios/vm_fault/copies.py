"""Memory that processes share until they write to it: parents, children, and their chains."""

from vmsmp import scenario
from vmsmp.scenarios._kit import contents, end_of_file, file_object, give_back, give_pages, take_pages
from vmsmp.scenarios.vm_fault._memory import Process, cut_chain, filled, page_out
from vmsmp.scenarios.vm_fault.sharing import map_shared
from vmsmp.scenarios.vm_map._spaces import BASE, map_private
from vmsmp.vm.vm_fault import vm_fault_object_page, vm_fault_page
from vmsmp.vm.vm_map import (
    VM_PROT_OVERRIDE_WRITE,
    VM_PROT_READ,
    VM_PROT_RW,
    vm_map_protect,
)
from vmsmp.vm.vm_object import (
    vm_object_allocate,
    vm_object_deallocate,
    vm_object_drop,
    vm_object_hold,
    vm_object_hold_shared,
)
from vmsmp.vm.vm_page import (
    PAGE_SIZE,
    vm_page_free,
    vm_page_lookup_busy_try,
    vm_page_protect,
    vm_page_unhold,
)


@scenario(cpus=3, tags={"map", "fault", "cow"}, pages=14)
def copies_of_one_memory(m):
    """A parent and a child, as after a fork, write to shared memory: each sees only its own writes."""
    vm = m.boot(pages=24, l2_size=1)
    vm.sysctl["vm.fault_bypass"] = m.choose(2)
    origin = vm_object_allocate(vm, 2)
    filled(vm, origin, (1, 2))
    relatives = [Process(vm) for _ in range(2)]
    for process in relatives:
        map_private(m, process.map, origin, BASE, 2)

    def relative(n):
        process = relatives[n].enter()
        seen = [1, 2]
        for turn in m.rounds(3):
            page = m.choose(2)
            at = BASE + page * PAGE_SIZE
            if m.choose(2):
                seen[page] = 100 * (n + 1) + turn
                process.store(at, seen[page])
            m.check(
                process.load(at) == seen[page], "a process sees what it wrote, or what it had from the start"
            )

    def pager():
        for _ in m.rounds(2):
            page_out(origin, m.choose(2), 1 + m.choose(2))

    for n in range(m.ncpus):
        m.spawn(*((relative, n) if n < 2 else (pager,)))
    m.join()
    for process in relatives:
        give_back(process.vmspace)
    vm_object_deallocate(origin)


@scenario(cpus=3, tags={"map", "fault", "cow", "collapse"}, pages=6)
def collapse_among_users(m):
    """A chain is cut off as by a fork, while threads of the process use the memory and it is paged out."""
    vm = m.boot(pages=18, l2_size=1)
    origin = vm_object_allocate(vm, 3)
    filled(vm, origin, (1, 2, 3))
    process = Process(vm)
    map_private(m, process.map, origin, BASE, 3)
    process.enter().store(BASE, 10)
    process.load(BASE + 2 * PAGE_SIZE)

    def forker():
        cut_chain(process.map, BASE)

    def user():
        process.enter()
        seen = [10, 2, 3]
        for turn in m.rounds(3):
            page = m.choose(3)
            if m.choose(2):
                seen[page] = 20 + turn
                process.store(BASE + page * PAGE_SIZE, seen[page])
            m.check(process.load(BASE + page * PAGE_SIZE) == seen[page], "no page is lost with its chain")

    def pager():
        for _ in m.rounds(2):
            page_out(origin, m.choose(3))

    for n in range(m.ncpus):
        m.spawn((user, forker, pager)[n % 3] if n < 3 else pager)
    m.join()
    give_back(process.vmspace)
    vm_object_deallocate(origin)


@scenario(cpus=2, tags={"map", "fault", "cow", "peek"}, pages=4)
def peeks_and_pokes(m):
    """A debugger writes to pages that a process may only read: the process sees the copy from then on."""
    vm = m.boot(pages=14, l2_size=1)
    origin = vm_object_allocate(vm, 1)
    filled(vm, origin, (1,))
    process = Process(vm)
    map_private(m, process.map, origin, BASE, 1)
    vm_map_protect(process.map, BASE, BASE + PAGE_SIZE, VM_PROT_READ, False)
    process.enter().load(BASE)
    written = m.atomic(1, name="written")

    def debugger():
        for _ in m.rounds(2):
            wanted = VM_PROT_RW | VM_PROT_OVERRIDE_WRITE
            found = vm_fault_page(process.map, BASE, wanted, 0, False)
            m.check(found.page is not None, "a debugger may write to what its process may not")
            value = vm.memory.load(found.page.phys) + 1
            vm.memory.store(found.page.phys, 0, value)
            written.store(value)
            vm_page_unhold(found.page)

    def user():
        process.enter()
        for _ in m.rounds(3):
            before = written.load()
            m.check(process.load(BASE) >= before, "a process sees what its debugger wrote")

    for n in range(m.ncpus):
        m.spawn(user if n else debugger)
    m.join()
    m.check(process.enter().load(BASE) == written.load(), "a process sees what its debugger wrote")
    m.check(contents(origin.raw_rb_memq[0]) == 1, "the page that others share is as it was")
    give_back(process.vmspace)
    vm_object_deallocate(origin)


@scenario(cpus=2, tags={"map", "fault", "peek", "vnode", "free"}, pages=4)
def peeks_against_reclaim(m):
    """A CPU looks at pages of a file that are freed and reused: a page that it holds stays."""
    vm = m.boot(pages=14, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 1)
    vp.contents[0] = {0: 5}
    process = Process(vm)
    map_shared(m, process, obj, 1, VM_PROT_READ)
    process.enter().load(BASE)

    def reader():
        for _ in m.rounds(3):
            if m.choose(2):
                found = vm_fault_page(process.map, BASE, VM_PROT_READ, 0, False)
            else:
                vm_object_hold_shared(obj)
                found, still = vm_fault_object_page(obj, 0, VM_PROT_READ, 0, True)
                m.check(obj.token.held_excl() != still, "an object is locked as it is said to be")
                vm_object_drop(obj)
            m.check(found.page is not None, "a file has its page")
            values = [vm.memory.load(found.page.phys) for _ in range(2)]
            m.check(values == [5, 5], "a page that is held keeps what it has")
            vm_page_unhold(found.page)

    def reclaimer():
        for _ in m.rounds(3):
            vm_object_hold(obj)
            page, busy = vm_page_lookup_busy_try(obj, 0, True)
            vm_object_drop(obj)
            if page is None or busy:
                continue
            vm_page_protect(page, 0)
            vm_page_free(page)
            for other in take_pages(vm, 2):
                if other is not None:
                    vm.memory.store(other.phys, 0, "mine")
                    give_pages([other])

    for n in range(m.ncpus):
        m.spawn(reclaimer if n == 1 else reader)
    m.join()
    give_back(process.vmspace)
    vm_object_deallocate(obj)
    end_of_file(vp)
