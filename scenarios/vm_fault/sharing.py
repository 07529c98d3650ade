"""Memory with several users: pages that are copied, invalidated, limited, or held by others."""

from vmsmp import scenario
from vmsmp.scenarios._kit import end_of_file, file_object, forget_file, give_back, leave, sync
from vmsmp.scenarios.vm_fault._memory import Process, filled, object_at, page_out
from vmsmp.scenarios.vm_map._spaces import BASE, map_anon, map_private
from vmsmp.vm.pmap import pmap_resident_tlnw_count
from vmsmp.vm.vm_fault import vm_fault, vm_fault_page
from vmsmp.vm.vm_map import (
    KERN_SUCCESS,
    VM_FAULT_DIRTY,
    VM_PROT_READ,
    VM_PROT_RW,
    VM_PROT_WRITE,
    VM_SUBSYS_MMAP,
    Mapping,
    vm_map_clean,
    vm_map_find,
    vm_map_user_wiring,
)
from vmsmp.vm.vm_object import (
    vm_object_allocate,
    vm_object_deallocate,
    vm_object_page_remove,
    vm_object_reference_quick,
)
from vmsmp.vm.vm_page import (
    PAGE_SIZE,
    vm_page_busy_wait,
    vm_page_unhold,
    vm_page_unwire,
    vm_page_wakeup,
    vm_page_wire,
)

#: The bytes of a page that one store of a scenario covers.
PIECE = 512


def map_shared(m, process, obj, pages, prot=VM_PROT_RW):
    """Map an object for a process that shares it with others; take a reference to it."""
    vm_object_reference_quick(obj)
    what = Mapping(object=obj, prot=prot, max=VM_PROT_RW, id=VM_SUBSYS_MMAP)
    rv, _ = vm_map_find(process.map, BASE, pages * PAGE_SIZE, PAGE_SIZE, False, what)
    m.check(rv == KERN_SUCCESS, "a range that is free can be mapped")


@scenario(cpus=3, tags={"map", "fault", "cow"}, pages=12)
def copies_by_threads(m):
    """Threads of a process write to a shared page at once: it is copied once, and no store is lost."""
    vm = m.boot(pages=20, l2_size=1)
    vm.sysctl["vm.shared_fault"] = 0
    origin = vm_object_allocate(vm, 1)
    filled(vm, origin, (1,))
    process, relative = Process(vm), Process(vm)
    for one in (process, relative):
        map_private(m, one.map, origin, BASE, 1)

    def thread(n):
        process.enter()
        m.check(process.store(BASE + n * PIECE, n) is None, "a page of one's own can be written")
        m.check(process.load(BASE + n * PIECE) == n, "what was stored is loaded")

    def kin():
        relative.enter()
        m.check(relative.load(BASE) == 1, "memory that is shared is as it was")
        m.check(relative.store(BASE, 9) is None, "a page of one's own can be written")

    count = min(m.ncpus, PAGE_SIZE // PIECE - 1)  # a piece of the page each
    for n in range(count):
        m.spawn(*((thread, n + 1) if n != 1 else (kin,)))
    m.join()
    process.enter()
    written = [n + 1 for n in range(count) if n != 1]
    m.check([process.load(BASE + n * PIECE) for n in (0, *written)] == [1, *written], "a copy has it all")
    m.check(sum(gd.v_cow_faults for gd in vm.meter.cpus()) <= 2, "a page is copied once for each process")
    for one in (process, relative):
        give_back(one.vmspace)
    vm_object_deallocate(origin)


@scenario(cpus=3, tags={"map", "fault", "cow", "peek"}, pages=8)
def copy_beside_a_held_page(m):
    """A process copies a page that it shares while another CPU holds it: the page does not change."""
    vm = m.boot(pages=18, l2_size=1)
    origin = vm_object_allocate(vm, 1)
    filled(vm, origin, (1,))
    relatives = [Process(vm) for _ in range(2)]
    for process in relatives:
        map_private(m, process.map, origin, BASE, 1)

    def writer():
        relatives[0].enter()
        for turn in m.rounds(2):
            m.check(relatives[0].store(BASE, 10 + turn) is None, "a page of one's own can be written")
            m.check(relatives[0].load(BASE) == 10 + turn, "what was stored is loaded")

    def reader():
        for _ in m.rounds(2):
            found = vm_fault_page(relatives[1].map, BASE, VM_PROT_READ, 0, False)
            m.check(found.page is not None, "memory that is mapped has a page")
            values = [vm.memory.load(found.page.phys) for _ in range(2)]
            m.check(values == [1, 1], "a page that is held keeps what it has")
            vm_page_unhold(found.page)

    def pager():
        for _ in m.rounds(2):
            page_out(origin, 0)

    for n in range(m.ncpus):
        m.spawn((writer, reader, pager)[n % 3] if n < 3 else reader)
    m.join()
    for process in relatives:
        give_back(process.vmspace)
    vm_object_deallocate(origin)


@scenario(cpus=3, tags={"map", "fault", "vnode", "wire"}, pages=8)
def invalidation_of_locked_pages(m):
    """A file's page is locked by one process, used by another, and invalidated: mapped pages are valid."""
    vm = m.boot(pages=24, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 1, range(1))
    users = [Process(vm) for _ in range(2)]
    for user in users:
        map_shared(m, user, obj, 1)
        user.enter().load(BASE)
        vm_fault(user.map, BASE, VM_PROT_WRITE, VM_FAULT_DIRTY)

    def locker():
        users[0].enter()
        for _ in m.rounds(2):
            vm_map_user_wiring(users[0].map, BASE, BASE + PAGE_SIZE, False)
            m.check(users[0].load(BASE) is not None, "memory that is locked can be read")
            vm_map_user_wiring(users[0].map, BASE, BASE + PAGE_SIZE, True)

    def invalidator():
        for _ in m.rounds(2):
            vm_map_clean(users[1].map, BASE, BASE + PAGE_SIZE, True, True)

    def reader():
        users[1].enter()
        for _ in m.rounds(2):
            vm_fault(users[1].map, BASE, VM_PROT_READ, 0)
            m.check(users[1].load(BASE) is not None, "a mapped file can be read")

    for n in range(m.ncpus):
        m.spawn((locker, invalidator, reader)[n % 3] if n < 3 else reader)
    m.join()
    for user in users:
        give_back(user.vmspace)
    vm_object_deallocate(obj)
    end_of_file(vp)


@scenario(cpus=3, tags={"map", "fault", "vnode", "wire", "remove"}, pages=8)
def truncation_of_buffered_pages(m):
    """A wired page of a file is removed, and so invalid, while processes use it: it is read again."""
    vm = m.boot(pages=24, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 1, range(1))
    users = [Process(vm) for _ in range(2)]
    for user in users:
        map_shared(m, user, obj, 1, VM_PROT_READ)
        user.enter().load(BASE)
        vm_fault(user.map, BASE, VM_PROT_READ, 0)
    page = obj.raw_rb_memq[0]

    def buffer():
        vm_page_busy_wait(page, True)
        vm_page_wire(page)
        vm_page_wakeup(page)
        for _ in m.rounds(2):
            vm_object_page_remove(obj, 0, 1, False)
        vm_page_busy_wait(page, True)
        vm_page_unwire(page, True)
        vm_page_wakeup(page)

    def reader(n):
        users[n % 2].enter()
        for _ in m.rounds(2):
            m.check(users[n % 2].load(BASE) == 0, "a file has what is in it")

    for n in range(m.ncpus):
        m.spawn(*((reader, n) if n else (buffer,)))
    m.join()
    for user in users:
        give_back(user.vmspace)
    vm_object_deallocate(obj)
    end_of_file(vp)


@scenario(cpus=3, tags={"map", "fault", "limit"}, pages=None)
def resident_pages_are_limited(m):
    """A process exceeds its limit of resident pages: pages that were taken away come back."""
    count = min(m.ncpus, 4)  # each thread uses a page more, and takes it from all others
    vm = m.boot(pages=22 + count, l2_size=1)
    vm.pageout.memuse_spared = 0
    vm.pageout.memuse_mode = 1 + m.choose(2)
    threads = max(1, count - 1)
    process = Process(vm)
    map_anon(m, process.map, BASE, threads + 1)
    other = Process(vm)
    map_anon(m, other.map, BASE, 1)

    def thread(n):
        vm.mycpu().proc.rlim_rss = (4 + threads) * PAGE_SIZE  # four are tables
        process.enter()
        at = n % 8 * PIECE
        for turn in m.rounds(2):
            for page in range(threads + 1):
                value = 100 * (turn + 1) + 10 * page + n
                m.check(process.store(BASE + page * PAGE_SIZE + at, value) is None, "memory can be written")
                m.check(process.load(BASE + page * PAGE_SIZE + at) == value, "what was stored is loaded")

    def neighbour():
        other.enter()
        for turn in m.rounds(2):
            m.check(other.store(BASE, turn) is None, "memory can be written")
            m.check(other.load(BASE) == turn, "what was stored is loaded")

    for n in range(count):
        m.spawn(*((thread, n) if n != 1 else (neighbour,)))
    m.join()
    for one in (process, other):
        give_back(one.vmspace)


@scenario(cpus=1, tags={"map", "fault", "limit"}, pages=None)
def resident_pages_stay_within_the_limit(m):
    """A process uses more pages than it may have mapped at once: never has it more, and it loses none."""
    vm = m.boot(pages=16, l2_size=1)
    vm.sysctl["vm.prefault_pages"] = 0
    vm.pageout.memuse_spared = 1
    vm.pageout.memuse_mode = mode = m.choose(3)
    process, pages = Process(vm), range(3)
    map_anon(m, process.map, BASE, len(pages))
    limit = 4 + 2  # four are tables

    def user():
        vm.mycpu().proc.rlim_rss = limit * PAGE_SIZE
        process.enter()
        for page in pages:
            m.check(process.store(BASE + page * PAGE_SIZE, page) is None, "memory can be written")
            resident = pmap_resident_tlnw_count(process.map.pmap)
            m.check(not mode or resident <= limit, "what is over the limit is taken away")
        m.check(mode or resident == 4 + len(pages), "nothing is taken away before somebody asks for it")
        for page in pages:
            m.check(process.load(BASE + page * PAGE_SIZE) == page, "what was stored is loaded")

    m.spawn(user)
    m.join()
    give_back(process.vmspace)


@scenario(cpus=2, tags={"map", "fault", "wire", "vmspace"}, pages=8)
def locked_memory_ends(m):
    """A process ends with locked memory, while another CPU looks at its pages: none stays wired."""
    vm = m.boot(pages=20, l2_size=1)
    process = Process(vm)
    map_anon(m, process.map, BASE, 2)
    process.enter().store(BASE, 1)
    obj = object_at(process.map, BASE)
    vm_object_reference_quick(obj)
    vm_map_user_wiring(process.map, BASE, BASE + 2 * PAGE_SIZE, False)
    leave(vm)

    def owner():
        process.enter()
        m.check(process.load(BASE) == 1, "what was stored is loaded")
        give_back(process.vmspace)

    def pager():
        for _ in m.rounds(2):
            page_out(obj, m.choose(2))

    for n in range(m.ncpus):
        m.spawn(pager if n else owner)
    m.join()
    wired = [page for page in obj.raw_rb_memq.values() if page.peek("wire_count")]
    m.check(not wired, "no page stays wired when its process has ended")
    vm_object_deallocate(obj)


@scenario(cpus=1, tags={"map", "fault", "bypass", "clean", "vnode"}, pages=None)
def stores_behind_failed_writes(m):
    """Two processes store to a file that cannot be written for a while: what was stored last is on disk.

    A sync makes the page read-only and forgets that the object may be dirty, whether it could write it or
    not.  The next store has to tell the object again, also where its fault finds a page that is all dirty.
    """
    vm = m.boot(pages=20, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 1, range(1))
    processes = [Process(vm) for _ in range(2)]
    for process in processes:
        map_shared(m, process, obj, 1)

    def user():
        for turn in range(6):
            process = processes[m.choose(2)].enter()
            m.check(process.store(BASE, turn) is None, "a page that is resident needs no device")
            vm.pager.device.failing = turn not in (2, 5)
            sync(vp, obj)
        leave(vm)

    m.spawn(user)
    m.join()
    m.check(vp.contents[0][0] == 5, "what was stored last is on disk")
    for process in processes:
        give_back(process.vmspace)
    forget_file(vp, obj)
