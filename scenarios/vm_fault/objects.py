"""Faults on files that shrink, with slow pagers, without memory, and on objects that end."""

from vmsmp import scenario
from vmsmp.mmu.entry import PG_RW
from vmsmp.scenarios._kit import (
    contents,
    end_of_file,
    file_object,
    give_back,
    give_pages,
    make_tables,
    mappings,
    set_limits,
    take_pages,
)
from vmsmp.scenarios.vm_fault._memory import Process, filled, object_at, page_out
from vmsmp.scenarios.vm_map._spaces import BASE, map_anon, map_private
from vmsmp.vm.vm_fault import vm_fault, vm_fault_object_page
from vmsmp.vm.vm_map import (
    VM_FAULT_DIRTY,
    VM_PROT_READ,
    VM_PROT_RW,
    VM_PROT_WRITE,
    VM_SUBSYS_MMAP,
    Mapping,
    vm_map_find,
    vm_map_remove,
)
from vmsmp.vm.vm_meter.counts import vmstats_rollup
from vmsmp.vm.vm_meter.meter import P_LOWMEMKILL
from vmsmp.vm.vm_object import (
    OBJ_MIGHTBEDIRTY,
    OBJ_NOSPLIT,
    OBJ_WRITEABLE,
    OBJPC_SYNC,
    vm_object_allocate,
    vm_object_deallocate,
    vm_object_drop,
    vm_object_hold,
    vm_object_page_clean,
    vm_object_page_remove,
    vm_object_reference_quick,
    vm_object_set_flag,
    vm_object_upgrade,
)
from vmsmp.vm.vm_page import PAGE_SIZE, vm_page_unhold
from vmsmp.vm.vm_pager import device_attach, device_detach


@scenario(cpus=3, tags={"map", "fault", "vnode"}, pages=4)
def file_that_shrinks(m):
    """A mapped file is read and written while it is truncated: behind its new end nothing is left."""
    vm = m.boot(pages=14, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 3, range(3))
    process = Process(vm)
    vm_object_reference_quick(obj)
    what = Mapping(object=obj, prot=VM_PROT_RW, max=VM_PROT_RW, id=VM_SUBSYS_MMAP)
    vm_map_find(process.map, BASE, 3 * PAGE_SIZE, PAGE_SIZE, False, what)

    def truncate():
        vm_object_hold(obj)
        obj.publish("size", 1)
        vm_object_page_remove(obj, 1, 3, False)
        vm_object_drop(obj)
        m.check(process.enter().load(BASE + PAGE_SIZE) is None, "there is nothing behind the end of a file")

    def user():
        process.enter()
        for _ in m.rounds(2):
            at = BASE + m.choose(3) * PAGE_SIZE
            if m.choose(2):
                process.store(at, 1)
            m.check(process.load(at) in (None, 0, 1), "a file has what was written to it")

    for n in range(m.ncpus):
        m.spawn(user if n else truncate)
    m.join()
    m.check(all(n < 1 for n in obj.peek("rb_memq")), "a file has no page behind its end")
    give_back(process.vmspace)
    vm_object_deallocate(obj)
    end_of_file(vp)


@scenario(cpus=3, tags={"map", "fault", "swap", "io"}, pages=4)
def reads_that_are_slow_or_fail(m):
    """Threads wait for the same page from swap, whose read is slow, or fails for a while."""
    vm = m.boot(pages=12, l2_size=1)
    process = Process(vm)
    map_anon(m, process.map, BASE, 1)
    process.enter().store(BASE, 7)
    page_out(object_at(process.map, BASE), 0)
    vm.pager.device.failing = bool(m.choose(2))
    left = m.atomic(max(1, m.ncpus - 1), name="users")

    def user():
        process.enter()
        for _ in m.rounds(2):
            m.check(process.load(BASE) in (None, 7), "what comes from swap is what went there")
            vm.pager.device.failing = False
        if left.fetchadd(-1) == 1:
            device_detach(vm)

    if m.ncpus > 1:
        device_attach(vm)
    for _ in range(max(1, m.ncpus - 1)):
        m.spawn(user)
    m.join()
    m.check(process.enter().load(BASE) == 7, "a page that could not be read can be read later")
    give_back(process.vmspace)


@scenario(cpus=3, tags={"map", "fault", "swap", "io"}, pages=8)
def pages_read_ahead(m):
    """Threads want pages from swap, some of which are read ahead; for a while all reads fail."""
    vm = m.boot(pages=20, l2_size=1)
    pages = 3
    process = Process(vm)
    map_anon(m, process.map, BASE, pages)
    for n in range(pages):
        process.enter().store(BASE + n * PAGE_SIZE, n)
    for n in range(pages):
        page_out(object_at(process.map, BASE), n)
    vm.sysctl["vm.swap_burst_read"] = 1 + m.choose(pages)
    vm.pager.device.failing = bool(m.choose(2))
    left = m.atomic(max(1, m.ncpus - 1), name="users")

    def user():
        process.enter()
        for _ in m.rounds(3):
            n = m.choose(pages)
            m.check(
                process.load(BASE + n * PAGE_SIZE) in (None, n), "what comes from swap is what went there"
            )
            vm.pager.device.failing = False
        if m.choose(2):
            page_out(object_at(process.map, BASE), m.choose(pages))
        if left.fetchadd(-1) == 1:
            device_detach(vm)

    if m.ncpus > 1:
        device_attach(vm)
    for _ in range(max(1, m.ncpus - 1)):
        m.spawn(user)
    m.join()
    vm.pager.device.attached = False  # no CPU runs it any more
    for n in range(pages):
        m.check(process.enter().load(BASE + n * PAGE_SIZE) == n, "a page that could not be read can be later")
    give_back(process.vmspace)


@scenario(cpus=2, tags={"map", "fault", "wait"}, pages=None)
def faults_without_memory(m):
    """Processes fault while there is no memory: one that is being killed goes on, the others wait."""
    vm = set_limits(m.boot(pages=12, l2_size=1), v_free_severe=3, v_free_min=3)
    process = Process(vm)
    map_anon(m, process.map, BASE, m.ncpus)
    make_tables(process.map.pmap, BASE)
    taken = take_pages(vm, 6)
    vmstats_rollup(vm)

    def victim(n):
        process.enter()
        vmstats_rollup(vm)
        vm.mycpu().proc.p_flags.setbits(P_LOWMEMKILL)
        m.check(
            process.store(BASE + n * PAGE_SIZE, 1) is not None, "there is no memory for a process that ends"
        )

    for n in range(m.ncpus):
        m.spawn(victim, n)
    m.join()
    give_pages(taken)
    m.check(process.enter().store(BASE, 1) is None, "there is memory again")
    give_back(process.vmspace)


@scenario(cpus=2, tags={"object", "fault", "terminate"}, pages=2)
def pages_of_an_object_that_ends(m):
    """An object is terminated while another CPU, which only holds it, faults on its pages: none is left."""
    vm = m.boot(pages=12, l2_size=1, object_hash=1)
    obj = vm_object_allocate(vm, 3)
    filled(vm, obj, (1, 2))
    holders = m.atomic(0, name="holders")

    def looker():
        vm_object_hold(obj)
        holders.fetchadd(1)
        for pindex in (0, 2):
            vm_object_upgrade(obj)  # loses the token
            found, _ = vm_fault_object_page(obj, pindex * PAGE_SIZE, VM_PROT_WRITE, 0, False)
            if found.page is not None:
                vm_page_unhold(found.page)
        vm_object_drop(obj)

    def ender():
        while holders.load() < m.ncpus - 1:
            m.yield_()
        vm_object_deallocate(obj)

    for n in range(m.ncpus):
        m.spawn(looker if n else ender)
    m.join()


@scenario(cpus=2, tags={"map", "fault", "prefault", "swap"}, pages=12)
def neighbours_below(m):
    """Threads write to a private mapping in bursts: neighbours keep their contents, also from swap."""
    vm = m.boot(pages=16, l2_size=1)
    vm.sysctl["vm.shared_fault"] = 0
    origin = vm_object_allocate(vm, 3)
    filled(vm, origin, (1, 2, 3))
    process = Process(vm)
    map_private(m, process.map, origin, BASE, 3)

    def pager():
        page_out(origin, 2)

    def user():
        process.enter().store(BASE + PAGE_SIZE, 20)
        values = [process.load(BASE + n * PAGE_SIZE) for n in range(3)]
        m.check(values in ([1, 20, 3], [1, 20, 30]), "a neighbour has what it had")
        process.store(BASE + 2 * PAGE_SIZE, 30)

    for n in range(m.ncpus):
        m.spawn(user if n else pager)
    m.join()
    kept = [contents(page) for page in origin.raw_rb_memq.values()]
    m.check(kept == [1, 2, 3][: len(kept)], "what others share is as it was")
    process.enter()
    m.check(process.load(BASE + 2 * PAGE_SIZE) == (30 if m.ncpus > 1 else 3), "what was stored is loaded")
    give_back(process.vmspace)
    vm_object_deallocate(origin)


@scenario(cpus=2, tags={"map", "fault", "prefault", "vnode"}, pages=7)
def file_that_is_read_in(m):
    """Threads read a file that is mapped writeable: its contents are whole, and it is marked as writeable."""
    vm = m.boot(pages=14, l2_size=1, object_hash=1)
    vm.sysctl["vm.shared_fault"] = m.choose(2)
    vp, obj = file_object(vm, 3)
    vp.contents.update({n: {0: n + 1} for n in range(3)})
    process = Process(vm)
    vm_object_reference_quick(obj)
    prot = (VM_PROT_READ, VM_PROT_RW)[m.choose(2)]
    what = Mapping(object=obj, prot=prot, max=VM_PROT_RW, id=VM_SUBSYS_MMAP)
    vm_map_find(process.map, BASE, 3 * PAGE_SIZE, PAGE_SIZE, False, what)

    def user():
        process.enter()
        for _ in m.rounds(3):
            page = m.choose(3)
            m.check(process.load(BASE + page * PAGE_SIZE) == page + 1, "a file has what is in it")

    for _ in range(m.ncpus):
        m.spawn(user)
    m.join()
    said = obj.flags.value & (OBJ_WRITEABLE | OBJ_MIGHTBEDIRTY)
    m.check(said or prot == VM_PROT_READ, "a file that is mapped writeable is said to be")
    give_back(process.vmspace)
    vm_object_deallocate(obj)
    end_of_file(vp)


@scenario(cpus=3, tags={"map", "fault", "vnode", "clean"}, pages=4)
def file_that_is_synced(m):
    """A mapped file is written back while threads store to it: at the end all stores are in the file."""
    vm = m.boot(pages=12, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 1, range(1))
    process = Process(vm)
    vm_object_reference_quick(obj)
    what = Mapping(object=obj, prot=VM_PROT_RW, max=VM_PROT_RW, id=VM_SUBSYS_MMAP)
    vm_map_find(process.map, BASE, PAGE_SIZE, PAGE_SIZE, False, what)
    for _ in range(2):  # a page that is mapped more than once is found without a lock
        process.enter().store(BASE, 1)
        vm_fault(process.map, BASE, VM_PROT_WRITE, VM_FAULT_DIRTY)

    def syncer():
        for _ in m.rounds(2):
            vm_object_hold(obj)
            vm_object_page_clean(obj, 0, 0, OBJPC_SYNC)
            vm_object_drop(obj)

    def user():
        process.enter()
        for turn in m.rounds(2):
            vm_fault(process.map, BASE, VM_PROT_WRITE, VM_FAULT_DIRTY)
            process.store(BASE, 2 + turn)

    for n in range(m.ncpus):
        m.spawn(user if n else syncer)
    m.join()
    page = obj.peek("rb_memq")[0]
    said = obj.flags.value & (OBJ_WRITEABLE | OBJ_MIGHTBEDIRTY)
    m.check(said or not mappings(page, PG_RW), "a file with a page that may be written to says so")
    give_back(process.vmspace)
    vm_object_hold(obj)
    vm_object_page_clean(obj, 0, 0, OBJPC_SYNC)
    vm_object_drop(obj)
    m.check(vp.contents[0][0] == contents(page), "what was stored is in the file in the end")
    vm_object_deallocate(obj)
    end_of_file(vp)


@scenario(cpus=1, tags={"map", "fault", "delete", "swap"}, pages=None)
def unmapped_pages_alone(m):
    """A thread unmaps parts of its memory, resident or in swap: pages that no other can have are freed."""
    vm = m.boot(pages=20, l2_size=1, object_hash=1)
    pager = vm.pager

    def thread():
        process = Process(vm).enter()
        map_anon(m, process.map, BASE, 5)
        for page in range(5):
            process.store(BASE + page * PAGE_SIZE, 10 + page)
        obj = object_at(process.map, BASE)
        for pindex in (0, 3):
            page_out(obj, pindex)

        def unmap(page, pages=1):
            vm_map_remove(process.map, BASE + page * PAGE_SIZE, BASE + (page + pages) * PAGE_SIZE)
            used = pager.vm_swap_max - pager.vm_swap_size
            return sorted(obj.raw_rb_memq), used, obj.raw_size

        m.check(unmap(3, 2) == ([1, 2], 1, 3), "the end of an object goes, with its swap and its size")
        m.check(unmap(0) == ([1, 2], 0, 3), "what is before the end goes, too")
        vm_object_set_flag(obj, OBJ_NOSPLIT)
        m.check(unmap(2) == ([1, 2], 0, 3), "an object that is not to be split stays whole")
        m.check(process.load(BASE + PAGE_SIZE) == 11, "what is mapped is there")
        give_back(process.vmspace)
        m.check(obj.freed, "in the end all goes")

    m.spawn(thread)
    m.join()
