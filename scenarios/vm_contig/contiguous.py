"""Contiguous memory: runs of pages from low memory and from anywhere, among CPUs that use pages singly."""

from vmsmp import scenario
from vmsmp.scenarios._kit import (
    Space,
    busied_page,
    enter_hash,
    give_pages,
    idle_pages,
    take_kernel_pages,
    take_pages,
)
from vmsmp.vm.vm_contig import M_WAITOK, NO_RUN, vm_contig_pg_alloc, vm_contig_pg_clean, vm_contig_pg_free
from vmsmp.vm.vm_meter import vmstats_rollup
from vmsmp.vm.vm_object import vm_object_allocate, vm_object_deallocate, vm_object_drop, vm_object_hold
from vmsmp.vm.vm_page import (
    PAGE_SIZE,
    PG_FICTITIOUS,
    PG_MAPPEDMULTI,
    VM_ALLOC_INTERRUPT,
    VM_ALLOC_NORMAL,
    vm_contig_avail_pages,
    vm_page_activate,
    vm_page_alloc,
    vm_page_alloc_contig,
    vm_page_busy_try,
    vm_page_cache,
    vm_page_deactivate,
    vm_page_free,
    vm_page_free_contig,
    vm_page_freezwq,
    vm_page_hash_get,
    vm_page_hold,
    vm_page_lookup_busy_try,
    vm_page_lookup_busy_wait,
    vm_page_lookup_sbusy_try,
    vm_page_sbusy_drop,
    vm_page_startup_finish,
    vm_page_try_to_free,
    vm_page_unhold,
    vm_page_wakeup,
    vm_page_wire,
)


def _run(vm, pages, flags=0):
    """Ask for a run of pages anywhere; return the index of its first one."""
    top = len(vm.page.vm_page_array) * PAGE_SIZE
    return vm_contig_pg_alloc(vm, pages * PAGE_SIZE, 0, top, PAGE_SIZE, 0, flags)


def _lowest_first(vm):
    """Make allocations begin with the pages with which a search begins."""
    pages = take_pages(vm, len(vm.page.vm_page_array), VM_ALLOC_INTERRUPT)
    give_pages(sorted((page for page in pages if page is not None), key=lambda page: -page.phys))


def _use(m, vm, start, pages):
    """Check that the run is this CPU's, and give it back."""
    for page in vm.page.vm_page_array[start : start + pages]:
        m.check(page.peek("wire_count") == 1 and not page.peek("queue"), "a run is wired and on no queue")
        m.check(page.peek("object") is None, "a run is in no object")
    vm_contig_pg_free(vm, start, pages * PAGE_SIZE)


def _use_pages(m, vm):
    """Allocate pages and free them, busied or wired meanwhile."""
    for n in m.rounds(2):
        page = vm_page_alloc(vm, None, n, VM_ALLOC_NORMAL)
        if page is None:
            continue
        if m.choose(2):
            vm_page_wire(page)
            vm_page_wakeup(page)
            vm_page_freezwq(page)
        else:
            vm_page_free(page)


@scenario(cpus=3, tags={"contig", "alloc"})
def contig_against_storm(m):
    """One CPU looks for runs of pages, while others allocate and free single pages of them."""
    vm = m.boot(pages=1 + m.ncpus, l2_size=1, adj_limit=2)
    _lowest_first(vm)

    def searcher():
        for _ in m.rounds(2):
            start = _run(vm, 2)
            if start != NO_RUN:
                _use(m, vm, start, 2)

    for n in range(m.ncpus):
        m.spawn(_use_pages if n else searcher, *([m, vm] if n else []))
    m.join()


@scenario(cpus=3, tags={"contig", "alloc", "wire"})
def contig_against_kernel_pages(m):
    """A CPU looks for a run of pages, while the kernel allocates some of them permanently."""
    vm = m.boot(pages=1 + m.ncpus, l2_size=1)
    _lowest_first(vm)
    taken = []

    def searcher():
        start = _run(vm, 2)
        if start != NO_RUN:
            _use(m, vm, start, 2)

    def kernel():
        page = vm_page_alloc(vm, None, 0, VM_ALLOC_NORMAL)
        if page is not None:
            vm_page_wire(page)
            vm_page_wakeup(page)
            taken.append(page)

    for n in range(m.ncpus):
        m.spawn(kernel if n else searcher)
    m.join()
    for page in taken:
        m.check(page.peek("wire_count") == 1, "a kernel page is wired once")
        vm_page_freezwq(page)


@scenario(cpus=3, tags={"contig"})
def contig_against_free(m):
    """Memory is full of kernel pages that their users free, while a CPU waits for a run to appear."""
    vm = m.boot(pages=2 * m.ncpus, l2_size=1)
    pages = sorted(take_kernel_pages(vm, 2 * m.ncpus - 1), key=lambda page: page.phys)

    def searcher():
        for _ in m.rounds(3):
            start = _run(vm, 2)
            if start != NO_RUN:
                _use(m, vm, start, 2)

    def owner(mine):
        for page in mine:
            vm_page_freezwq(page)

    if m.ncpus > 1:
        m.spawn(searcher)
    others = max(1, m.ncpus - 1)
    for n in range(others):
        m.spawn(owner, pages[n::others])
    m.join()
    start = _run(vm, m.ncpus)
    m.check(start != NO_RUN, "a run is found once all pages are free")
    _use(m, vm, start, m.ncpus)


@scenario(cpus=3, tags={"contig"})
def contig_against_contig(m):
    """All CPUs look for runs in the same few pages; no page is in two runs."""
    vm = m.boot(pages=2 + m.ncpus, l2_size=1)

    def searcher(pages):
        for _ in m.rounds(2):
            start = _run(vm, pages)
            if start != NO_RUN:
                _use(m, vm, start, pages)

    for n in range(m.ncpus):
        m.spawn(searcher, 1 + n % 2)
    m.join()


@scenario(cpus=3, tags={"contig", "object"})
def contig_of_cached_pages(m):
    """A run needs a file's cached pages, which others look up, hold, write to and free."""
    vm = m.boot(pages=7, l2_size=1)
    obj = vm_object_allocate(vm, 4)
    space = Space(vm, obj).with_tables()
    _lowest_first(vm)
    pages = [busied_page(vm, obj, n) for n in range(2)]
    for page in pages:
        vm_page_cache(page)

    def searcher():
        start = _run(vm, 2)
        if start != NO_RUN:
            _use(m, vm, start, 2)

    def reader():
        vm_object_hold(obj)
        soft = vm_page_lookup_sbusy_try(obj, m.choose(2))
        page, failed = vm_page_lookup_busy_try(obj, m.choose(2), True)
        if page is not None and not failed:
            deed = m.choose(3)
            if deed == 0:
                vm_page_hold(page)
            if deed == 1:
                pindex = page.pindex
                with space.locked():
                    space.enter(page, pindex)
            vm_page_activate(page)
            vm_page_wakeup(page)
            if deed == 0:
                vm_page_unhold(page)
            if deed == 1:
                space.store(pindex)
                space.remove(pindex)
        vm_object_drop(obj)
        if soft is not None:
            m.check(soft.object is obj, "a page that is read stays what it is")
            vm_page_sbusy_drop(soft)

    def reclaimer():
        for page in pages:
            vm_page_try_to_free(page)
        _use_pages(m, vm)

    for n in range(m.ncpus):
        m.spawn((searcher, reader, reclaimer)[n % 3])
    m.join()
    space.end()
    vm_object_deallocate(obj)


@scenario(cpus=3, tags={"contig", "object", "hash"})
def contig_against_guesses(m):
    """A file's pages become a run, while others guess at them through the page hash, without the token."""
    vm = m.boot(pages=2, l2_size=1)
    obj = vm_object_allocate(vm, 2)
    for page in idle_pages(vm, obj, range(2), PG_MAPPEDMULTI):
        enter_hash(page)

    def truncater():
        vm_object_hold(obj)
        for n in range(2):
            vm_page_free(vm_page_lookup_busy_wait(obj, n, True))
        vm_object_drop(obj)
        start = _run(vm, 2)
        if start != NO_RUN:
            _use(m, vm, start, 2)

    def reader():
        for n in m.rounds(2):
            page = vm_page_hash_get(vm, obj, n % 2)
            if page is not None:
                m.check(page.object is obj, "a page that is read stays what it is")
                vm_page_sbusy_drop(page)

    for n in range(m.ncpus):
        m.spawn(reader if n else truncater)
    m.join()
    vm_object_deallocate(obj)


@scenario(cpus=3, tags={"contig", "object", "queue"})
def contig_cleans_queues(m):
    """Two CPUs clean one queue, while others take its pages off it, hold, move and free them."""
    vm = m.boot(pages=6, l2_size=1)
    obj = vm_object_allocate(vm, 4)
    pages = idle_pages(vm, obj, range(3))
    for page in pages:
        vm_page_deactivate(page)

    def cleaner():
        vm_contig_pg_clean(vm, vm.page.PQ_INACTIVE, 4)

    def user():
        for page in pages:
            if vm_page_busy_try(page, True):
                continue
            deed = m.choose(3) if page.object is obj else 3
            if deed == 0:
                vm_page_activate(page)
            if deed == 1:
                vm_page_free(page)
                continue
            if deed == 2:
                vm_page_hold(page)
            vm_page_wakeup(page)
            if deed == 2:
                vm_page_unhold(page)

    for n in range(m.ncpus):
        m.spawn((cleaner, user, cleaner)[n % 3])
    m.join()
    vm_object_deallocate(obj)


@scenario(cpus=3, tags={"contig", "object", "write"})
def contig_cleans_written_pages(m):
    """A CPU makes room for a run and launders pages, while processes write to them through their mappings."""
    vm = m.boot(pages=8, l2_size=1)
    obj = vm_object_allocate(vm, 4)
    space = Space(vm, obj, 3)
    pages = [busied_page(vm, obj, n) for n in range(3)]
    for page in pages:
        with space.locked():
            space.enter(page, page.pindex)
        vm_page_deactivate(page)
        vm_page_wakeup(page)
    vmstats_rollup(vm)

    def searcher():
        start = _run(vm, 2, M_WAITOK)
        if start != NO_RUN:
            _use(m, vm, start, 2)

    def writer(pindex):
        space.store(pindex)
        space.remove(pindex)

    m.spawn(searcher)
    for n in range(1, m.ncpus):
        m.spawn(writer, n % 3)
    m.join()
    space.end()
    vm_object_deallocate(obj)


@scenario(cpus=3, tags={"contig", "dma"})
def low_memory_storm(m):
    """Drivers allocate and free runs of low memory, of several sizes and in parts; no page is in two."""
    vm = m.boot(pages=12, l2_size=1, low_pages=8)

    def driver(pages):
        for _ in m.rounds(3):
            first = vm_page_alloc_contig(vm, 0, 0, 0, 0, pages * PAGE_SIZE)
            if first is None:
                continue
            half = max(1, pages // 2)
            vm_page_free_contig(first, half * PAGE_SIZE)
            if half < pages:
                vm_page_free_contig(vm.page.vm_page_array[first.phys + half], (pages - half) * PAGE_SIZE)

    for n in range(m.ncpus):
        m.spawn(driver, (4, 3, 2)[n % 3])
    m.join()
    m.check(vm_contig_avail_pages(vm) == 8, "what drivers give back is there again")


@scenario(cpus=3, tags={"contig", "dma", "alloc"}, pages=None)
def low_memory_is_returned(m):
    """The end of the boot frees low pages, while CPUs allocate pages and drivers allocate runs."""
    vm = m.boot(pages=10, l2_size=1, low_pages=6, dma_pages=1)

    def finisher():
        vm_page_startup_finish(vm)

    def user():
        _use_pages(m, vm)

    def driver():
        for _ in m.rounds(2):
            first = vm_page_alloc_contig(vm, 0, 3 * PAGE_SIZE, 0, 0, 2 * PAGE_SIZE)
            m.check(first is None or first.phys == 0, "a run ends below its limit")

    for n in range(m.ncpus):
        m.spawn((finisher, user, driver)[n] if n < 3 else user)
    m.join()
    ordinary = [page for page in vm.page.vm_page_array if not page.peek("flags") & PG_FICTITIOUS]
    m.check(all(page.peek("queue") for page in ordinary), "pages that are returned are free")


@scenario(cpus=2, tags={"contig", "dma"})
def low_memory_between_drivers(m):
    """Drivers use low memory from the boot on, and give it back while the boot ends."""
    vm = m.boot(pages=12, l2_size=1, low_pages=8, dma_pages=2)

    def finisher():
        vm_page_startup_finish(vm)

    def driver():
        runs = [vm_page_alloc_contig(vm, 0, 0, 0, 0, 2 * PAGE_SIZE) for _ in range(2)]
        for first in runs:
            if first is not None:
                vm_page_free_contig(first, 2 * PAGE_SIZE)

    for n in range(m.ncpus):
        m.spawn(driver if n else finisher)
    m.join()
