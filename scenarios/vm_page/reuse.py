"""Pages that are freed, cached and reallocated while others hold, wire, move or map them."""

from vmsmp import scenario
from vmsmp.scenarios._kit import (
    Space,
    active_page,
    busied_page,
    give_pages,
    no_stale_holds,
    set_limits,
    take_pages,
)
from vmsmp.vm.vm_map import VM_PROT_READ
from vmsmp.vm.vm_object import (
    vm_object_allocate,
    vm_object_deallocate,
    vm_object_drop,
    vm_object_hold,
    vm_object_hold_shared,
)
from vmsmp.vm.vm_page import (
    VM_ALLOC_NORMAL,
    VM_ALLOC_SYSTEM,
    vm_page_activate,
    vm_page_alloc,
    vm_page_busy_try,
    vm_page_busy_wait,
    vm_page_cache,
    vm_page_deactivate,
    vm_page_dontneed,
    vm_page_free,
    vm_page_hold,
    vm_page_lookup_busy_wait,
    vm_page_lookup_sbusy_try,
    vm_page_protect,
    vm_page_sbusy_drop,
    vm_page_select_free,
    vm_page_test_dirty,
    vm_page_try_to_cache,
    vm_page_try_to_free,
    vm_page_undirty,
    vm_page_unhold,
    vm_page_unwire,
    vm_page_unwire_quick,
    vm_page_wakeup,
    vm_page_wire,
    vm_page_wire_quick,
    vm_page_zero_invalid,
)
from vmsmp.vm.vm_pageout import vm_pageout_free_hold, vm_pageout_scan_active, vm_pageout_scan_inactive


@scenario(cpus=3, tags={"page", "hold", "alloc"})
def hold_against_free(m):
    """A held page is freed, unheld and swept while another CPU allocates: it has at most one owner."""
    vm = m.boot(pages=1, l2_size=1)

    def owner():
        page = vm_page_select_free(vm, 0)
        if page is None:
            return
        vm_page_hold(page)
        vm_page_free(page)  # to the hold queue
        for n in range(1, m.ncpus):
            m.spawn(sweeper if n % 2 else allocator)
        vm_page_unhold(page)

    def sweeper():
        for _ in m.rounds(6):
            vm_pageout_free_hold(vm)

    def allocator():
        for _ in m.rounds(10):
            page = vm_page_select_free(vm, 0)
            if page is not None:
                m.check(not page.peek("hold_count"), "an allocated page is held by nobody")
                vm_page_free(page)

    m.spawn(owner)
    m.join()
    no_stale_holds(m, vm)


@scenario(cpus=3, tags={"page", "hold"})
def holds_and_frees(m):
    """Two holders and an owner: the last one moves the page to its free queue, exactly once."""
    vm = m.boot(pages=3, l2_size=1)
    obj = vm_object_allocate(vm, 2)
    page = active_page(vm, obj, 0)

    def holder():
        if vm_page_busy_try(page, False):
            return
        if page.object is not obj:
            vm_page_wakeup(page)
            return
        vm_page_hold(page)
        vm_page_wakeup(page)
        for _ in range(m.choose(32)):
            page.flags.load()  # reads it for a while
        vm_page_unhold(page)

    def owner():
        vm_object_hold(obj)
        found = vm_page_lookup_busy_wait(obj, 0, True)
        vm_object_drop(obj)
        vm_page_free(found)

    for n in range(m.ncpus):
        m.spawn(owner if n == 0 else holder)
    m.join()
    no_stale_holds(m, vm)


@scenario(cpus=3, tags={"page", "busy"})
def read_against_free(m):
    """Readers soft-busy a page while the pagedaemon tries to free it: its content stays."""
    vm = m.boot(pages=3, l2_size=1)
    obj = vm_object_allocate(vm, 2)
    page = active_page(vm, obj, 0)

    def reader():
        for _ in m.rounds(2):
            vm_object_hold_shared(obj)
            found = vm_page_lookup_sbusy_try(obj, 0)
            vm_object_drop(obj)
            if found is not None:
                for _ in range(32):  # read piece by piece
                    m.check(found.hint("valid") == 0xFF, "a page that is read stays what it is")
                m.check(found.object is obj, "a page that is read stays where it is")
                vm_page_sbusy_drop(found)

    def reclaimer():
        vm_page_try_to_free(page)

    for n in range(m.ncpus):
        m.spawn(reclaimer if n == 0 else reader)
    m.join()


@scenario(cpus=3, tags={"page", "wire"})
def wire_against_free(m):
    """A page is wired and unwired while the pagedaemon tries to free it."""
    vm = m.boot(pages=3, l2_size=1)
    obj = vm_object_allocate(vm, 2)
    page = active_page(vm, obj, 0)

    def wirer():
        vm_object_hold_shared(obj)
        found = vm_page_lookup_busy_wait(obj, 0, True)
        vm_object_drop(obj)
        if found is None:
            return
        vm_page_wire(found)
        vm_page_wakeup(found)
        vm_page_wire_quick(found)
        for _ in range(2):
            if vm_page_unwire_quick(found):
                vm_page_busy_wait(found, False)
                vm_page_unwire(found, True)
                vm_page_wakeup(found)

    def reclaimer():
        vm_page_try_to_free(page)

    for n in range(m.ncpus):
        m.spawn(reclaimer if n == 0 else wirer)
    m.join()


@scenario(cpus=3, tags={"page", "queue"})
def queues_against_sweeper(m):
    """Pages move between queues while the pageout scans them: every list stays well formed."""
    vm = m.boot(pages=6, l2_size=1, scan_yield=2)
    obj = vm_object_allocate(vm, 4)
    pages = [busied_page(vm, obj, n) for n in range(3)]
    for page in pages:
        vm_page_activate(page)
        page.act_count = 0
        vm_page_wakeup(page)
    vm.page.dnweight.store(126)  # the next pages not needed go to the head or the tail

    def mover(first):
        for n in m.rounds(2):
            page = pages[(first + n) % 3]
            deed = (vm_page_activate, vm_page_deactivate, vm_page_dontneed)[m.choose(3)]
            if vm_page_busy_try(page, True):
                continue
            if page.object is obj:
                deed(page)
            vm_page_wakeup(page)

    def sweeper():
        vm_pageout_scan_active(vm)
        vm_pageout_scan_inactive(vm, 1)

    for n in range(m.ncpus):
        if n == 0:
            m.spawn(sweeper)
        else:
            m.spawn(mover, n)
    m.join()


@scenario(cpus=2, tags={"page", "queue"})
def two_sweepers(m):
    """Two scans meet on one queue, each with its marker in the list."""
    vm = m.boot(pages=5, l2_size=1)
    obj = vm_object_allocate(vm, 4)
    for n in range(2):
        page = busied_page(vm, obj, n)
        vm_page_deactivate(page)
        vm_page_wakeup(page)
    for _ in range(m.ncpus):
        m.spawn(vm_pageout_scan_inactive, vm, 1)
    m.join()


@scenario(cpus=3, tags={"page", "cache", "map"})
def free_against_map(m):
    """A process maps, writes and unmaps a page that others try to cache or free: nothing written is lost."""
    vm = m.boot(pages=8, l2_size=1)
    obj = vm_object_allocate(vm, 2)
    page = active_page(vm, obj, 0)
    space = Space(vm, obj).with_tables()
    written = m.cell(False, name="written")

    def process():
        with space.locked():
            vm_object_hold_shared(obj)
            found = vm_page_lookup_busy_wait(obj, 0, True)
            if found is not None:
                vm_page_activate(found)  # a cached page is not mapped
                space.enter(found, 0)
                vm_page_wakeup(found)
            vm_object_drop(obj)
        if found is not None:
            if space.store(0):
                written.store(True)
            if m.choose(2):
                space.remove()

    def cacher():
        vm_object_hold_shared(obj)
        found = vm_page_lookup_busy_wait(obj, 0, True)
        vm_object_drop(obj)
        if found is not None:
            vm_page_try_to_cache(found)

    def reclaimer():
        if m.choose(2):
            cacher()
        else:
            vm_page_try_to_free(page)

    for n in range(m.ncpus):
        m.spawn(process if n == 0 else reclaimer)
    m.join()
    if written.load():
        m.check(page.object is obj, "a page that was written to is not thrown away")
        vm_page_test_dirty(page)
        m.check(page.dirty, "what was written is known")


@scenario(cpus=3, tags={"page", "cache"})
def cache_against_hold(m):
    """Clean pages go to the cache and are reused while others look them up, hold, wire or dirty them."""
    vm = m.boot(pages=8, l2_size=2, set_assoc_mask=0)  # allocators reach the cache
    set_limits(vm, v_free_reserved=1)
    obj = vm_object_allocate(vm, 4)
    space = Space(vm, obj).with_tables()
    for n in range(2):
        vm_page_cache(busied_page(vm, obj, n))
    filler = take_pages(vm, 2)

    def user():
        pindex = m.choose(2)
        vm_object_hold_shared(obj)
        page = vm_page_lookup_busy_wait(obj, pindex, True)
        vm_object_drop(obj)
        if page is None:
            return
        m.check(page.object is obj and page.pindex == pindex, "the page found is the object's")
        deed = m.choose(4)
        if deed == 0:
            vm_page_hold(page)
            vm_page_wakeup(page)
            vm_page_unhold(page)
        elif deed == 1:
            vm_page_wire(page)
            vm_page_wakeup(page)
            vm_page_busy_wait(page, False)
            vm_page_unwire(page, True)
            vm_page_wakeup(page)
        elif deed == 2:
            vm_page_activate(page)
            with space.locked():
                space.enter(page, pindex)
            space.store(pindex)
            vm_page_wakeup(page)
        else:
            vm_page_cache(page)

    def allocator():
        page = vm_page_alloc(vm, None, 9, VM_ALLOC_NORMAL)
        if page is not None:
            vm_page_free(page)

    for n in range(m.ncpus):
        m.spawn(allocator if n == 0 else user)
    m.join()
    give_pages(filler)
    no_stale_holds(m, vm)


@scenario(cpus=3, tags={"page", "cache", "object"})
def cached_page_of_held_object(m):
    """An allocator wants a cached page whose object is held, or is being terminated."""
    vm = m.boot(pages=3, l2_size=1)
    obj = vm_object_allocate(vm, 4)
    vm_page_cache(busied_page(vm, obj, 0))
    filler = take_pages(vm, 2, VM_ALLOC_NORMAL | VM_ALLOC_SYSTEM)

    def allocator():
        page = vm_page_alloc(vm, None, 9, VM_ALLOC_NORMAL | VM_ALLOC_SYSTEM)
        if page is not None:
            vm_page_free(page)

    def holder():
        vm_object_hold(obj)
        m.yield_()
        vm_object_drop(obj)
        vm_object_deallocate(obj)

    for n in range(m.ncpus):
        m.spawn(holder if n == 0 else allocator)
    m.join()
    m.check(obj.freed, "a dead object that nobody holds is freed")
    give_pages(filler)


@scenario(cpus=4, tags={"page", "storm"})
def page_storm(m):
    """Each CPU draws operations on the pages of an object, including sweeps and allocations."""
    vm = m.boot(pages=10, l2_size=2, set_assoc_mask=0, adj_limit=2)
    obj = vm_object_allocate(vm, 4)
    space = Space(vm, obj, 4).with_tables()
    for n in range(3):
        active_page(vm, obj, n)

    def busied(also):
        vm_object_hold_shared(obj)
        page = vm_page_lookup_busy_wait(obj, m.choose(3), also)
        vm_object_drop(obj)
        return page

    def hold():
        page = busied(False)
        if page is not None:
            vm_page_hold(page)
            vm_page_wakeup(page)
            vm_page_unhold(page)

    def wire():
        page = busied(True)
        if page is not None:
            vm_page_wire(page)
            vm_page_wakeup(page)
            vm_page_busy_wait(page, True)
            vm_page_unwire(page, bool(m.choose(2)))
            vm_page_wakeup(page)

    def free():
        page = busied(True)
        if page is None:
            return
        if page.wire_count.load():
            vm_page_wakeup(page)
        else:
            vm_page_protect(page, 0)
            vm_page_free(page)

    def cache():
        page = busied(True)
        if page is not None:
            vm_page_cache(page)

    def touch():
        pindex = None
        with space.locked():
            page = busied(True)
            if page is not None:
                vm_page_activate(page)
                pindex = page.pindex
                space.enter(page, pindex)
                vm_page_wakeup(page)
        if pindex is not None:
            space.store(pindex)

    def launder():
        page = busied(True)
        if page is not None:
            vm_page_protect(page, VM_PROT_READ)
            vm_page_undirty(page)
            vm_page_deactivate(page)
            vm_page_wakeup(page)

    def read():
        vm_object_hold_shared(obj)
        page = vm_page_lookup_sbusy_try(obj, m.choose(3))
        vm_object_drop(obj)
        if page is not None:
            vm_page_sbusy_drop(page)

    def take():
        page = vm_page_alloc(vm, None, m.choose(4), VM_ALLOC_NORMAL)
        if page is not None:
            vm_page_free(page)

    def fill():
        vm_object_hold(obj)
        page = vm_page_lookup_busy_wait(obj, 3, True)
        if page is None:
            page = vm_page_alloc(vm, obj, 3, VM_ALLOC_NORMAL)
            if page is not None:
                vm_page_zero_invalid(page)
        if page is not None:
            vm_page_activate(page)
            vm_page_wakeup(page)
        vm_object_drop(obj)

    def sweep():
        vm_pageout_free_hold(vm)
        vm_pageout_scan_active(vm)
        vm_pageout_scan_inactive(vm, 1)

    deeds = [hold, wire, free, cache, touch, launder, read, take, fill, sweep]

    def worker():
        for _ in m.rounds(2):
            deeds[m.choose(len(deeds))]()

    for _ in range(m.ncpus):
        m.spawn(worker)
    m.join()
    vm_object_deallocate(obj)
    space.end()
    no_stale_holds(m, vm)
