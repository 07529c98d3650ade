"""One CPU and contiguous memory: where runs are found, which pages make room for them, what is mapped."""

from vmsmp import scenario
from vmsmp.mmu.entry import PG_RW
from vmsmp.scenarios._kit import (
    Space,
    busied,
    busied_page,
    contents,
    idle_pages,
    is_dirty,
    mappings,
    queue_of,
)
from vmsmp.vm.pmap import pmap_kextract
from vmsmp.vm.vm_contig import (
    M_WAITOK,
    M_ZERO,
    NO_RUN,
    contigfree,
    contigmalloc,
    contigmalloc_map,
    kmem_alloc_contig,
    vm_contig_pg_alloc,
    vm_contig_pg_clean,
    vm_contig_pg_free,
)
from vmsmp.vm.vm_kern import kmem_alloc_pageable, kmem_suballoc
from vmsmp.vm.vm_map import VM_SUBSYS_CONTIG
from vmsmp.vm.vm_meter import vmstats_rollup
from vmsmp.vm.vm_object import vm_object_allocate, vm_object_deallocate, vm_object_page_remove
from vmsmp.vm.vm_page import (
    PAGE_SIZE,
    PG_NEED_COMMIT,
    PG_REFERENCED,
    VM_ALLOC_NORMAL,
    VM_PAGE_BITS_ALL,
    vm_contig_avail_pages,
    vm_page_activate,
    vm_page_alloc,
    vm_page_alloc_contig,
    vm_page_alloczwq,
    vm_page_busy_wait,
    vm_page_cache,
    vm_page_deactivate,
    vm_page_dirty,
    vm_page_flag_clear,
    vm_page_flag_set,
    vm_page_free,
    vm_page_free_contig,
    vm_page_hold,
    vm_page_sbusy_drop,
    vm_page_sbusy_try,
    vm_page_startup_finish,
    vm_page_unhold,
    vm_page_unwire,
    vm_page_wakeup,
    vm_page_wire,
)

PAGES = 4
TOP = 1 << 30


@scenario(cpus=1, tags={"contig", "alloc"}, pages=None)
def runs_alone(m):
    """A CPU asks for runs within limits, among free, cached and used pages: it gets the first that fits."""
    vm = m.boot(pages=PAGES, l2_size=1, object_hash=1)
    array = vm.page.vm_page_array

    def run(pages, low=0, high=TOP, alignment=PAGE_SIZE, boundary=0, flags=0):
        return vm_contig_pg_alloc(vm, pages * PAGE_SIZE, low, high, alignment, boundary, flags)

    def counted():
        return vm.meter.count("v_free_count"), vm.meter.count("v_wire_count")

    def limits():
        for pages, where, start in (
            (2, {"low": 1}, 1),
            (2, {"low": 1, "alignment": 2 * PAGE_SIZE}, 2),
            (2, {"low": 1, "boundary": 2 * PAGE_SIZE}, 2),
            (2, {"low": 1, "boundary": 4 * PAGE_SIZE}, 1),
            (2, {"low": PAGE_SIZE, "high": 2 * PAGE_SIZE}, NO_RUN),
            (PAGES, {}, 0),
        ):
            m.check(run(pages, **where) == start, "a run is the first within its limits")
            if start != NO_RUN:
                m.check(counted() == (PAGES - pages, pages), "its pages are wired and no longer free")
                states = {
                    (page.peek("queue"), page.peek("wire_count"), page.peek("busy_count"), page.peek("valid"))
                    for page in array[start : start + pages]
                }
                m.check(states == {(0, 1, 0, VM_PAGE_BITS_ALL)}, "they are valid and on no queue")
                vm_contig_pg_free(vm, start, pages * PAGE_SIZE - 5)
            m.check(counted() == (PAGES, 0), "what is given back is free")

    def among_others():
        obj = vm_object_allocate(vm, 8)
        m.check((run(1, low=PAGE_SIZE), run(2)) == (1, 2), "a run does not go on over who is used")
        vm_contig_pg_free(vm, 1, 3 * PAGE_SIZE)
        page = busied_page(vm, obj, 0)
        vm_page_flag_set(page, PG_REFERENCED)
        vm_page_cache(page)
        for keep, let_go in ((vm_page_hold, vm_page_unhold), (vm_page_sbusy_try, vm_page_sbusy_drop)):
            keep(page)
            m.check(run(PAGES) == NO_RUN and queue_of(page) == "cache", "a cached page that is used is kept")
            let_go(page)
        m.check(run(PAGES) == 0 and not obj.peek("rb_memq"), "a cached page is free for a run")
        m.check(not any(page.peek("flags") for page in array), "and nothing is known of it")
        vm_contig_pg_free(vm, 0, PAGES * PAGE_SIZE)
        m.check(counted() == (PAGES, 0), "what is given back is free")
        return obj

    def room(obj):
        """Return how many pages of the object's queues are cached to make room for a run, two at a time."""
        for move, flags, there in (
            (vm_page_deactivate, 0, True),
            (vm_page_activate, 0, False),
            (vm_page_activate, M_WAITOK, True),
        ):
            for page in idle_pages(vm, obj, range(1, 3)):
                move(page)
            vmstats_rollup(vm)
            m.check((run(PAGES, flags=flags) == 0) == there, "there is room if pages can be cached")
            if there:
                vm_contig_pg_free(vm, 0, PAGES * PAGE_SIZE)
            else:
                m.check(
                    {queue_of(page) for page in obj.raw_rb_memq.values()} == {"active"}, "active ones stay"
                )
                vm_object_page_remove(obj, 0, 0, False)
        vm_object_deallocate(obj)

    def user():
        limits()
        room(among_others())

    m.spawn(user)
    m.join()


@scenario(cpus=1, tags={"contig", "queue", "object"}, pages=None)
def cleaning_alone(m):
    """A CPU cleans a queue of pages in all states: idle ones are cached, dirty ones are written."""
    vm = m.boot(pages=20, l2_size=1, object_hash=1, low_pages=1)
    obj = vm_object_allocate(vm, 8)

    def user():
        m.check(vm_contig_pg_alloc(vm, PAGE_SIZE, 0, TOP, PAGE_SIZE, 0, 0) == 0, "low memory is asked first")
        vm_contig_pg_free(vm, 0, PAGE_SIZE)
        space = Space(vm, obj, 8)
        idle, other, held, wired, written, committing, read = pages = idle_pages(vm, obj, range(7))
        space.fault(written, 4)
        space.store(4)
        space.fault(committing, 5)
        for page in pages:
            vm_page_busy_wait(page, True)
            vm_page_deactivate(page)
            if page in (held, wired):
                vm_page_dirty(page)
            vm_page_wakeup(page)
        vm_page_hold(held)
        vm_page_busy_wait(wired, True)
        vm_page_wire(wired)
        vm_page_wakeup(wired)
        busied(committing, vm_page_flag_set, PG_NEED_COMMIT)
        vm_page_sbusy_try(read)
        nobody = vm_page_alloc(vm, None, 7, VM_ALLOC_NORMAL)
        vm_page_deactivate(nobody)
        vm_page_wakeup(nobody)
        vm_contig_pg_clean(vm, vm.page.PQ_INACTIVE, 1)
        m.check((queue_of(idle), queue_of(other)) == ("cache", "inactive"), "as many are cleaned as asked")
        vm_contig_pg_clean(vm, vm.page.PQ_INACTIVE, 100)
        m.check(queue_of(other) == "cache", "a page that is clean and idle is cached")
        left = (held, wired, written, committing, read, nobody)
        m.check({queue_of(page) for page in left} == {"inactive"}, "any other stays")
        m.check(
            [bool(page.peek("dirty")) for page in left] == [True, True, *[False] * 4],
            "who is kept is as he was",
        )
        m.check(
            [(mappings(page), mappings(page, PG_RW)) for page in (written, committing)] == [(1, 0)] * 2,
            "nobody writes to them unseen from then on",
        )
        m.check(not is_dirty(written), "who was written is clean")
        m.check(
            not any(page.peek("busy_count") for page in (*pages, nobody) if page is not read),
            "all are let go",
        )
        m.check(not obj.peek("hold_count"), "and the object")
        busied(committing, vm_page_flag_clear, PG_NEED_COMMIT)
        vm_page_unhold(held)
        vm_page_sbusy_drop(read)
        vm_page_busy_wait(wired, True)
        vm_page_unwire(wired, False)
        vm_page_wakeup(wired)
        space.remove(0, 8)
        for _ in range(2):
            vm_contig_pg_clean(vm, vm.page.PQ_INACTIVE, 100)
        m.check({queue_of(page) for page in pages} == {"cache"}, "in the end all are cached")
        vm_page_busy_wait(nobody, True)
        vm_page_free(nobody)
        space.end()

    m.spawn(user)
    m.join()
    vm_object_deallocate(obj)


@scenario(cpus=1, tags={"contig", "kmem", "map"}, pages=None)
def mapped_runs_alone(m):
    """A driver gets memory with and without addresses, as it asks for it, and gives everything back."""
    vm = m.boot(pages=PAGES, l2_size=1, object_hash=1)
    kernel_map = vm.map.kernel_map
    array = vm.page.vm_page_array

    def frames(addr, pages):
        return [pmap_kextract(vm, addr + n * PAGE_SIZE) // PAGE_SIZE for n in range(pages)]

    def free_again():
        m.check(not kernel_map.peek("nentries"), "what was freed has no addresses")
        m.check(vm.meter.count("v_free_count") == PAGES, "and its pages are free")

    def driver():
        for flags, found in ((M_WAITOK, "left"), (M_WAITOK | M_ZERO, 0)):
            for page in array:
                vm.memory.poke(page.phys, 0, "left")
            addr = contigmalloc(vm, 3 * PAGE_SIZE - 7, flags, PAGE_SIZE, TOP, PAGE_SIZE, 0)
            m.check(frames(addr, 3) == [1, 2, 3], "addresses that follow each other have such pages")
            m.check([contents(array[n]) for n in (1, 2, 3)] == [found] * 3, "they are zero if asked for")
            entry = kernel_map.raw_rb_root.at_or_before(addr)
            m.check(
                (entry.peek("id"), entry.ba.raw_end - addr) == (VM_SUBSYS_CONTIG, 3 * PAGE_SIZE),
                "they are its",
            )
            contigfree(vm, addr, 3 * PAGE_SIZE - 7)
            m.check(frames(addr, 3) == [0] * 3, "what was freed is not mapped")
            free_again()
        addr = kmem_alloc_contig(vm, PAGE_SIZE, 0, TOP, 4 * PAGE_SIZE)
        m.check(frames(addr, 1) == [0] and addr, "it may be aligned")
        contigfree(vm, addr, PAGE_SIZE)
        m.check(
            not contigmalloc(vm, (PAGES + 1) * PAGE_SIZE, M_WAITOK, 0, PAGES * PAGE_SIZE, PAGE_SIZE, 0),
            "without memory none",
        )
        free_again()
        small = kmem_suballoc(kernel_map, 2 * PAGE_SIZE)
        kmem_alloc_pageable(small, PAGE_SIZE, VM_SUBSYS_CONTIG)
        got = contigmalloc_map(vm, 2 * PAGE_SIZE, M_WAITOK | M_ZERO, 0, TOP, PAGE_SIZE, 0, small)
        m.check(not got and vm.meter.count("v_free_count") == PAGES, "memory without addresses is given back")

    m.spawn(driver)
    m.join()


@scenario(cpus=1, tags={"contig", "dma"}, pages=None)
def low_memory_alone(m):
    """The boot ends, and low memory is allocated below a limit, and given back with what is above it."""
    vm = m.boot(pages=16, l2_size=1, low_pages=11, dma_pages=3)

    def driver():
        m.check(vm_contig_avail_pages(vm) == 11, "all low memory is the drivers' at first")
        vm_page_startup_finish(vm)
        low = vm.page.reserve.vm_low_phys_reserved.load() // PAGE_SIZE
        m.check(vm_contig_avail_pages(vm) == 3, "what is not reserved is returned")
        m.check(vm.meter.count("v_free_count") == 16 - 3, "all of it is free")
        first = vm_page_alloc_contig(vm, 0, 0, 0, 0, 2 * PAGE_SIZE)
        end = (first.phys + 2) * PAGE_SIZE
        vm_page_free_contig(first, 2 * PAGE_SIZE)
        m.check(vm_page_alloc_contig(vm, 0, end - 1, 0, 0, 2 * PAGE_SIZE) is None, "a run ends below a limit")
        m.check(vm_page_alloc_contig(vm, 0, end, 0, 0, 2 * PAGE_SIZE) is first, "or there")
        m.check(vm_contig_avail_pages(vm) == 1, "it is nobody else's")
        vm_page_free_contig(first, 2 * PAGE_SIZE)
        m.check(vm_contig_avail_pages(vm) == 3, "until it is given back")
        taken = [vm_page_alloczwq(vm, n, VM_ALLOC_NORMAL) for n in range(13)]
        for page in sorted(taken, key=lambda page: page.phys):
            m.check((page.phys == low) == (page is min(taken, key=lambda one: one.phys)), "from the bound on")
            vm_page_free_contig(page, PAGE_SIZE)
        m.check(vm.meter.count("v_free_count") == 16 - 3, "what is above the bound is free again")

    m.spawn(driver)
    m.join()
