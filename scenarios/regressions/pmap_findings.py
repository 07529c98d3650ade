"""Findings in page tables and their invalidation: the model does what pmap.c and pmap_inval.c do."""

from vmsmp import scenario
from vmsmp.scenarios._kit import Space, at, enter_hash, give_back, idle_pages, leave, touch
from vmsmp.scenarios.vm_fault._memory import Process, object_at, page_out
from vmsmp.scenarios.vm_map._spaces import BASE, map_anon
from vmsmp.vm.pmap import (
    pmap_extract,
    pmap_is_modified,
    pmap_mincore,
    pmap_page_protect,
    pmap_protect,
    pmap_unwire,
)
from vmsmp.vm.vm_kern import kmem_alloc, kmem_free
from vmsmp.vm.vm_map import (
    MADV_FREE,
    VM_PROT_EXECUTE,
    VM_PROT_NONE,
    VM_PROT_READ,
    VM_PROT_RW,
    VM_SUBSYS_SYSMAP,
    vm_map_lock_read,
    vm_map_madvise,
    vm_map_protect,
    vm_map_unlock,
)
from vmsmp.vm.vm_object import vm_object_allocate, vm_object_deallocate, vm_object_page_remove
from vmsmp.vm.vm_page import (
    PAGE_SIZE,
    PG_MAPPEDMULTI,
    vm_page_busy_wait,
    vm_page_dirty,
    vm_page_hash_get,
    vm_page_sbusy_drop,
    vm_page_wakeup,
)


@scenario(
    cpus=2,
    tags={"finding", "pmap", "tlb"},
    fixed=True,
    schedule="v1:lone_cpu_misses_who_switches_in:b2c:1.26>2,2.10>1",
)
def lone_cpu_misses_who_switches_in(m):
    """A thread that runs alone replaces a page of its process as the process' second thread is switched in.

    A CPU that is the only one in pm_active changes an entry itself and flushes its own TLB.  With PMAP_MULTI
    it takes CPULOCK_EXCL for that, which holds off others; but it has read pm_active before.  A CPU that
    sets its bit and finds CPULOCK_EXCL clear in between loads the tables and the old entry, and is not
    interrupted for the change: it goes on with the old page, which may have another owner by then.
    Repair `several-threads-tell-each-other`: a pmap with PMAP_MULTI takes no shortcut.
    """
    vm = m.boot(pages=20, l2_size=1)
    obj = vm_object_allocate(vm, 2)
    old, new = idle_pages(vm, obj, range(2))
    space = Space(vm, obj)
    space.fault(old, 0)
    vm.memory.store(new.phys, 0, "new")
    replaced = m.atomic(0, name="replaced")

    def second():
        space.load(vm)
        m.curcpu.load(at(0))
        if replaced.load():
            m.check(m.curcpu.load(at(0)) == "new", "a thread that knows of the new page sees it")

    def first():
        space.load(vm)
        space.fault(new, 0)
        replaced.store(1)

    m.spawn(first, name="first")
    m.spawn(second, name="second")
    m.join()
    space.end()


@scenario(
    cpus=2,
    tags={"finding", "pmap"},
    fixed=True,
    schedule="v1:protection_tells_too_late:0:1.45>2,1.46>2",
)
def protection_tells_too_late(m):
    """A page that a process wrote to is protected by address, while another CPU finds it clean and frees it.

    The callback of `pmap_protect` takes PG_M out of the entry and then dirties the page; unlike those of
    `pmap_remove` and `pmap_enter` it does not count itself in interlock_count meanwhile.  A CPU that has the
    page busied tests for M, finds none, removes the entry, waits for no other CPU, and finds the dirty bits
    clear: it may free the page, or cache it.  Then the page is dirtied, which is too late, or a panic.
    Repair `protection-counts-itself`: it does as the others do.
    """
    vm = m.boot(pages=20, l2_size=1)
    obj = vm_object_allocate(vm, 1)
    (page,) = idle_pages(vm, obj, range(1))
    space = Space(vm, obj, 1)
    for prot in (VM_PROT_READ, VM_PROT_RW):  # so its flags stay until all entries have gone
        space.fault(page, 0, prot)
    m.check(space.store(0), "a page of one's own can be written")
    leave(vm)

    def reclaimer():
        vm_page_busy_wait(page, True)
        if pmap_is_modified(page):
            vm_page_dirty(page)
        pmap_page_protect(page, VM_PROT_NONE)
        m.check(page.dirty, "a page that was written to is known to be dirty once nobody maps it")
        vm_page_wakeup(page)

    m.spawn(pmap_protect, space.pmap, at(0), at(1), VM_PROT_READ, name="protector")
    m.spawn(reclaimer, name="reclaimer")
    m.join()
    space.end()


@scenario(
    cpus=2,
    tags={"finding", "pmap"},
    fixed=True,
    schedule="v1:unwiring_finds_nothing:0:1.6>2",
)
def unwiring_finds_nothing(m):
    """A wired mapping is unwired by address, while its page is unmapped, as when a file is truncated.

    `pmap_unwire` has the table's lock and not the entry's placemark, and scans from a page's side have
    neither.  It reads the entry, decrements wired_count, clears PG_W, and reads the entry again for the page.
    If the entry has been removed by then, the scan has counted the wiring, too, and the page is that of
    address 0.
    Repair `unwiring-is-one-step`: take the wiring and the page from the entry that clearing PG_W returns.
    """
    vm = m.boot(pages=20, l2_size=1)
    obj = vm_object_allocate(vm, 1)
    (page,) = idle_pages(vm, obj, range(1))
    space = Space(vm, obj, 1)
    space.fault(page, 0, wired=True)

    def unwirer():
        found = pmap_unwire(space.pmap, at(0))
        m.check(found in (None, page), "what is unwired is the page at the address, or nothing")

    def truncator():
        vm_page_busy_wait(page, True)
        pmap_page_protect(page, VM_PROT_NONE)
        vm_page_wakeup(page)

    m.spawn(unwirer, name="unwirer")
    m.spawn(truncator, name="truncator")
    m.join()
    space.end()


@scenario(
    cpus=1,
    tags={"finding", "pmap", "tlb", "fault", "madvise"},
    fixed=True,
    schedule="v1:store_after_advice_is_forgotten:0:",
)
def store_after_advice_is_forgotten(m):
    """A process discards memory with MADV_FREE, stores there again, and finds zeros later.

    MADV_FREE makes the pages clean and leaves them mapped: a store should make one dirty again.  For that
    `pmap_clear_modify` clears M in the entry, without an invalidation.  A CPU that has stored before has the
    entry in its TLB with M set, and stores again without setting M.  So the page counts as clean, and its
    memory is freed without being written out.
    Repair `clearing-tells-all-cpus`: a bit is cleared with a shootdown, like rights.
    """
    vm = m.boot(pages=16, l2_size=1)
    process = Process(vm)
    map_anon(m, process.map, BASE, 1)

    def user():
        process.enter()
        process.store(BASE, "old")
        vm_map_madvise(process.map, BASE, BASE + PAGE_SIZE, MADV_FREE)
        process.store(BASE, "new")
        page_out(object_at(process.map, BASE), 0)
        m.check(process.load(BASE) == "new", "what is stored after the advice stays")

    m.spawn(user, name="user")
    m.join()
    give_back(process.vmspace)


@scenario(
    cpus=2,
    tags={"finding", "pmap", "object", "fault"},
    fixed=True,
    schedule="v1:mincore_asks_a_freed_object:0:1.6>2,1.8>2,2.136>1,1.9>2",
)
def mincore_asks_a_freed_object(m):
    """A process calls mincore while the page at the address is freed, and a lock in freed memory is taken.

    `pmap_mincore` finds a page by its entry, and without busying it tests whether others have used it:
    through the list of backings of its object.  The lock of the process' map keeps the process' own object.
    But the pagedaemon may have freed the page meanwhile, and it may be in another object by then, which is
    freed between the read of the page's object and the request for that object's lock.
    Repair `mincore-busies-the-page`: the page is busied, as in `pmap_pgscan`, or not examined at all.
    """
    vm = m.boot(pages=8, l2_size=1)
    process = Process(vm)
    map_anon(m, process.map, BASE, 1)
    process.enter()
    process.load(BASE)
    leave(vm)
    obj = object_at(process.map, BASE)

    def asker():
        vm_map_lock_read(process.map)
        pmap_mincore(process.vmspace.vm_pmap, BASE)
        vm_map_unlock(process.map)

    def others():
        page_out(obj, 0)
        short = vm_object_allocate(vm, 1)
        idle_pages(vm, short, [0])
        vm_object_deallocate(short)

    m.spawn(asker, name="asker")
    m.spawn(others, name="others")
    m.join()
    give_back(process.vmspace)


@scenario(
    cpus=2,
    tags={"finding", "pmap", "page", "hash"},
    fixed=True,
    schedule="v1:guess_against_page_table:0:1.6>2,2.104>1,1.8>2",
)
def guess_against_page_table(m):
    """A lookup in the page hash meets the end of an address space, and the kernel panics.

    As in `guess_against_kernel_page`: a lookup through the hash soft-busies a page that is not its object's
    any more.  Here it has become a page of a page table.  Such a page is not busied while it is in use, and
    `pmap_release_pv` and `pmap_puninit` wait for a hard busy only before they free it.
    Repair `tables-wait-for-guesses`: both wait until the page is not soft-busied either.
    """
    vm = m.boot(pages=12, l2_size=1)
    space = Space(vm, vm_object_allocate(vm, 2), reference=False)
    obj = vm_object_allocate(vm, 1)
    (page,) = idle_pages(vm, obj, [0], PG_MAPPEDMULTI)
    enter_hash(page)

    def reader():
        found = vm_page_hash_get(vm, obj, 0)
        if found is not None:
            vm_page_sbusy_drop(found)

    def owner():
        vm_object_page_remove(obj, 0, 0, False)
        space.with_tables()
        space.end()

    m.spawn(reader, name="reader")
    m.spawn(owner, name="owner")
    m.join()
    vm_object_deallocate(obj)


@scenario(
    cpus=1,
    tags={"finding", "pmap", "map", "fault"},
    fixed=True,
    schedule="v1:protection_leaves_what_is_executable:0:",
)
def protection_leaves_what_is_executable(m):
    """A process makes its code read-only and not executable, and still can execute it.

    Memory that may be read and not executed is mapped with PG_NX.  `pmap_protect` clears the right to write
    in entries, but does not set PG_NX: pages that were mapped as code stay executable as long as they stay
    mapped.
    Repair `protection-forbids-execution`: an entry gets PG_NX if a new one with these rights would have it.
    """
    vm = m.boot(pages=16, l2_size=1)
    process = Process(vm)
    map_anon(m, process.map, BASE, 2, VM_PROT_READ | VM_PROT_EXECUTE)

    def user():
        process.enter()
        fetch = m.curcpu.mmu.fetch
        m.check(touch(fetch, BASE), "code can be executed")
        vm_map_protect(process.map, BASE, BASE + 2 * PAGE_SIZE, VM_PROT_READ, False)
        m.check(not touch(fetch, BASE + PAGE_SIZE), "what may only be read cannot be executed")
        m.check(not touch(fetch, BASE), "what was code cannot be executed any more")

    m.spawn(user, name="user")
    m.join()
    give_back(process.vmspace)


@scenario(cpus=1, tags={"pmap", "kmem", "finding"}, fixed=True, schedule="v1:unmapped_address_has_memory:0:")
def unmapped_address_has_memory(m):
    """The kernel asks for the memory behind an address of its own where nothing is mapped, and gets some.

    `pmap_extract` asks whether the entry of the table is valid, and then the same again where it means the
    entry of the page.  That one is zero, which is taken for the first page of memory.
    Repair `extract-asks-the-entry`: ask the page's entry.
    """
    vm = m.boot(pages=16, l2_size=1)
    map = vm.map.kernel_map

    def kernel():
        address = kmem_alloc(map, PAGE_SIZE, VM_SUBSYS_SYSMAP)
        kmem_free(map, address, PAGE_SIZE)
        physical, _ = pmap_extract(vm.pmap.kernel_pmap, address + 8)
        m.check(not physical, "where nothing is mapped there is no memory")

    m.spawn(kernel)
    m.join()
