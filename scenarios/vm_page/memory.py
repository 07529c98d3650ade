"""Allocation, shortage and the counts: which requests get a page, which wait, and whether counts agree."""

from vmsmp import scenario
from vmsmp.scenarios._kit import Space, busied_page, queue_of, set_limits, take_kernel_pages
from vmsmp.vm.vm_meter import vmstats_rollup
from vmsmp.vm.vm_object import vm_object_allocate, vm_object_deallocate
from vmsmp.vm.vm_page import (
    ACT_INIT,
    PG_REFERENCED,
    VM_ALLOC_INTERRUPT,
    VM_ALLOC_NORMAL,
    VM_ALLOC_RETRY,
    VM_ALLOC_SYSTEM,
    VM_ALLOC_ZERO,
    vm_page_activate,
    vm_page_alloc,
    vm_page_alloczwq,
    vm_page_busy_try,
    vm_page_busy_wait,
    vm_page_cache,
    vm_page_deactivate,
    vm_page_dirty,
    vm_page_dontneed,
    vm_page_flag_set,
    vm_page_free,
    vm_page_freezwq,
    vm_page_grab,
    vm_page_protect,
    vm_page_try_to_free,
    vm_page_unqueue,
    vm_page_wakeup,
    vm_page_wire,
    vm_wait,
    vm_wait_nominal,
    vm_wait_pfault,
)
from vmsmp.vm.vm_pageout import vm_pageout_scan_inactive, vm_pageout_shutdown, vm_pageout_thread


def _allocate_and_free(vm, rounds):
    """Allocate and free pages; return how many allocations failed."""
    mine = [vm_page_alloc(vm, None, n, VM_ALLOC_NORMAL) for n in rounds]
    for page in mine:
        if page is not None:
            vm_page_free(page)
    return mine.count(None)


@scenario(cpus=3, tags={"page", "alloc"}, pages=None)
def alloc_storm_one_colour(m):
    """All CPUs allocate and free through a single queue, which has enough for all of them."""
    vm = m.boot(pages=2 * m.ncpus + 1, l2_size=1, adj_limit=2)

    def worker():
        m.check(_allocate_and_free(vm, m.rounds(2)) == 0, "while there is memory an allocation succeeds")

    for _ in range(m.ncpus):
        m.spawn(worker)
    m.join()


@scenario(cpus=3, tags={"page", "alloc"})
def alloc_storm_many_colours(m):
    """Each CPU allocates from its own colours, and from its neighbours' when those are empty."""
    vm = m.boot(pages=6, l2_size=4, set_assoc_mask=1, adj_limit=2)
    for _ in range(m.ncpus):
        m.spawn(_allocate_and_free, vm, m.rounds(3))
    m.join()


@scenario(cpus=3, tags={"page", "alloc"})
def alloc_into_the_reserve(m):
    """Normal, system and interrupt requests compete for the last pages: each stops at its own limit."""
    vm = m.boot(pages=4, l2_size=1, adj_limit=1)
    set_limits(vm, v_free_reserved=3, v_interrupt_free_min=1)
    requests = [VM_ALLOC_NORMAL, VM_ALLOC_SYSTEM, VM_ALLOC_INTERRUPT]

    def worker(request):
        got = [
            page for page in (vm_page_alloc(vm, None, n, request) for n in m.rounds(2)) if page is not None
        ]
        for page in got:
            vm_page_free(page)

    for n in range(m.ncpus):
        m.spawn(worker, requests[n % 3])
    m.join()


@scenario(cpus=1, tags={"page", "alloc"}, pages=None)
def requests_alone(m):
    """A CPU takes all the memory that there is: a request of each kind stops at its own limit."""
    vm = m.boot(pages=7, l2_size=1, adj_limit=0, object_hash=1)
    obj = vm_object_allocate(vm, 1)
    cached = m.choose(2)

    def taken(request):
        """Make such requests until one is refused; return the pages."""
        pages = []
        while (page := vm_page_alloc(vm, None, len(pages), request)) is not None:
            pages.append(page)
        return pages

    def worker():
        kept = busied_page(vm, obj, 0)
        if cached:
            vm_page_cache(kept)
        else:
            vm_page_wakeup(kept)
        set_limits(vm, v_free_reserved=3, v_interrupt_free_min=1)
        mine = [taken(VM_ALLOC_SYSTEM | VM_ALLOC_INTERRUPT * n) for n in (0, 1)]
        m.check([*map(len, mine)] == ([4, 2] if cached else [5, 1]), "a request stops at its own limit")
        for page in [*mine[0], *mine[1]]:
            vm_page_free(page)
        pages = taken(VM_ALLOC_NORMAL)
        m.check(len(pages) == 4 + cached, "most leave what is reserved, and take what is cached")
        m.check((kept.peek("object") is obj) != cached, "which is not its object's any more")
        for page in pages:
            vm_page_free(page)

    m.spawn(worker)
    m.join()
    vm_object_deallocate(obj)


@scenario(cpus=3, tags={"page", "alloc", "object", "wait"}, pages=1)
def grab_the_same_page(m):
    """CPUs grab one page of an object and find it missing; one of them allocates it."""
    vm = m.boot(pages=4, l2_size=1)
    obj = vm_object_allocate(vm, 2)

    def worker():
        page = vm_page_grab(obj, 0, VM_ALLOC_NORMAL | VM_ALLOC_RETRY | VM_ALLOC_ZERO)
        m.check(page.object is obj and page.pindex == 0 and page.valid, "the page grabbed is the object's")
        vm_page_activate(page)
        vm_page_wakeup(page)

    for _ in range(m.ncpus):
        m.spawn(worker)
    m.join()
    vm_object_deallocate(obj)


@scenario(cpus=3, tags={"page", "alloc", "wire", "wait"}, pages=1)
def kernel_pages(m):
    """Kernel pages, wired and in no object, while other CPUs try to free the pages they see."""
    vm = m.boot(pages=8, l2_size=1)

    def kernel():
        page = vm_page_alloczwq(vm, 0, VM_ALLOC_NORMAL | VM_ALLOC_SYSTEM | VM_ALLOC_ZERO | VM_ALLOC_RETRY)
        m.check(page.peek("wire_count") == 1, "a kernel page is wired")
        vm_page_freezwq(page)

    def reclaimer():
        for page in vm.page.vm_page_array[-3:]:
            vm_page_try_to_free(page)

    for n in range(m.ncpus):
        m.spawn(reclaimer if n == 0 else kernel)
    m.join()


@scenario(cpus=3, tags={"page", "queue", "pageout"})
def pages_put_aside(m):
    """Allocators put free pages that others have busied out of their way, and sweeps make them free again."""
    vm = m.boot(pages=3, l2_size=1)
    set_limits(vm, v_paging_target2=100)

    def meddler():
        for page in vm.page.vm_page_array:
            if not vm_page_busy_try(page, True):
                vm_page_wakeup(page)

    def user():
        page = vm_page_alloc(vm, None, 0, VM_ALLOC_NORMAL | VM_ALLOC_SYSTEM)
        if page is not None:
            vm_page_free(page)

    def sweeper():
        vm_pageout_scan_inactive(vm)

    for n in range(m.ncpus):
        m.spawn((meddler, user, sweeper)[n % 3])
    m.join()
    vm_pageout_scan_inactive(vm)
    idle = [page for page in vm.page.vm_page_array if not page.peek("wire_count")]
    aside = [page for page in idle if vm.page.queue_type(page.queue) != "free"]
    m.check(not aside, "a sweep makes all pages free that nobody has")


@scenario(cpus=4, tags={"page", "wait", "pageout"}, fixed=True, pages=2)
def starvation_and_wakeup(m):
    """Processes fill memory and wait for more, while the pagedaemon makes clean pages free."""
    vm = m.boot(pages=12, l2_size=1, adj_limit=1)
    set_limits(vm, v_free_reserved=2, v_free_severe=3, v_free_min=4, v_paging_wait=5, v_paging_start=6)
    set_limits(vm, v_paging_target1=7, v_paging_target2=8, vm_page_free_hysteresis=1)
    obj = vm_object_allocate(vm, 32)
    left = m.atomic(2, name="left")

    def process(n):
        for k in range(3):
            page = vm_page_grab(obj, 8 * n + k, VM_ALLOC_NORMAL | VM_ALLOC_RETRY | VM_ALLOC_ZERO)
            vm_page_deactivate(page)
            vm_page_wakeup(page)
            vm_wait_pfault(vm)
        if left.fetchadd(-1) == 1:
            vm_pageout_shutdown(vm)

    def waiter():
        vm_wait(vm, 50)

    m.spawn(vm_pageout_thread, vm)
    m.spawn(process, 0)
    m.spawn(process, 1)
    m.spawn(waiter)
    m.join()


@scenario(cpus=4, tags={"page", "wait"})
def wait_for_a_free(m):
    """CPUs wait for memory that another CPU frees, and a fourth may take it first."""
    vm = m.boot(pages=4, l2_size=1)
    set_limits(vm, v_free_reserved=1, v_free_severe=1, v_free_min=2, v_paging_wait=2, v_paging_start=2)
    set_limits(vm, v_paging_target1=2, v_paging_target2=2, vm_page_free_hysteresis=0)
    hoard = take_kernel_pages(vm, 3)
    vmstats_rollup(vm)
    taken = []

    def waiter():
        vm_wait(vm, 100)

    def patient():
        vm_wait_nominal(vm)

    def giver():
        for page in hoard:
            vm_page_freezwq(page)

    def taker():
        page = vm_page_alloc(vm, None, 9, VM_ALLOC_NORMAL)
        if page is not None:
            vm_page_wire(page)
            vm_page_wakeup(page)
            taken.append(page)

    for n in range(m.ncpus):
        m.spawn((giver, waiter, taker)[n % 3] if n < 3 else patient)
    m.join()
    for page in taken:
        vm_page_freezwq(page)


@scenario(cpus=4, tags={"page", "stats"}, pages=None)
def stats_rollup(m):
    """CPUs count the pages they take and wire while others roll up: none is lost or counted twice."""
    each, turns = 136 // m.ncpus, 168 // m.ncpus  # the same total work for any number of CPUs
    vm = m.boot(pages=each * m.ncpus + 1, l2_size=1, adj_limit=1)
    wired = []

    def counter(n):
        for page in vm.page.vm_page_array[each * n : each * (n + 1)]:
            vm_page_unqueue(page)
            vm_page_busy_wait(page, False)
            vm_page_wire(page)
            vm_page_wakeup(page)
            wired.append(page)

    def roller():
        for _ in range(turns):
            vmstats_rollup(vm)

    for n in range(m.ncpus):
        if n % 2:
            m.spawn(roller)
        else:
            m.spawn(counter, n)
    m.join()
    for page in wired:
        vm_page_freezwq(page)


@scenario(cpus=3, tags={"page", "object", "wait"}, pages=2)
def object_comes_and_goes(m):
    """Pages are inserted into and removed from an object that others use, until it is terminated."""
    vm = m.boot(pages=5, l2_size=1, scan_yield=1)
    obj = vm_object_allocate(vm, 4)
    refs = m.atomic(m.ncpus, name="users")

    def user(n):
        page = vm_page_grab(obj, n % 2, VM_ALLOC_NORMAL | VM_ALLOC_RETRY | VM_ALLOC_ZERO)
        if m.choose(2):
            vm_page_free(page)
        else:
            vm_page_deactivate(page)
            vm_page_wakeup(page)
        if refs.fetchadd(-1) == 1:
            vm_object_deallocate(obj)

    for n in range(m.ncpus):
        m.spawn(user, n)
    m.join()
    m.check(obj.freed, "a dead object that nobody holds is freed")


@scenario(cpus=1, tags={"page", "queue", "wait"}, pages=None)
def queues_alone(m):
    """A CPU moves pages while memory is short: their places in queues, and when the pagedaemon is woken."""
    vm = m.boot(pages=16, l2_size=1, object_hash=1)
    obj = vm_object_allocate(vm, 16)
    needed = vm.pageout.vm_pages_needed

    def inactive():
        page = vm.page.vm_page_queues[vm.page.PQ_INACTIVE].peek("tqh_first")
        found = []
        while page is not None:
            found.append(page.raw_pindex)
            page = page.peek("tqe_next")
        return found

    def not_needed(pindex, weight, *, dirty=False):
        """Call vm_page_dontneed for an active page, with the counter at `weight`."""
        page = busied_page(vm, obj, pindex)
        vm_page_activate(page)
        vm_page_flag_set(page, PG_REFERENCED)
        if dirty:
            vm_page_dirty(page)
        vm.page.dnweight.store(weight - 1)
        vm_page_dontneed(page)
        vm_page_wakeup(page)
        m.check(vm.page.dnweight.peek() == weight, "each is counted")
        aged = weight & 0x1F0 == 0
        m.check(page.peek("act_count") == ACT_INIT - aged, "some only age")
        m.check(bool(page.peek("flags") & PG_REFERENCED) == aged, "and are used still")
        return queue_of(page)

    def places():
        m.check(
            not_needed(0, 0x10) == "inactive" and inactive() == [0], "a page that is not needed is inactive"
        )
        not_needed(1, 0x11)
        m.check(inactive() == [1, 0], "a clean one is mostly the first to go")
        not_needed(2, 0x80)
        m.check(inactive() == [1, 0, 2], "and now and then the last")
        not_needed(3, 0x12, dirty=True)
        m.check(inactive() == [1, 0, 2, 3], "as a dirty one is")
        space = Space(vm, obj, 8)
        page = busied_page(vm, obj, 7)
        vm_page_wakeup(page)
        space.fault(page, 7)
        space.store(7)
        vm_page_busy_wait(page, True)
        vm.page.dnweight.store(0x12)
        vm_page_dontneed(page)
        vm_page_wakeup(page)
        m.check(inactive() == [1, 0, 2, 3, 7], "also if only a mapping knows")
        space.end()
        m.check(not_needed(4, 0x200) == "active", "one that only ages stays")

    def asked(move, queue):
        """Whether a move of a page off that queue wakes the pagedaemon."""
        page = busied_page(vm, obj, 5)
        if queue == "cache":
            vm_page_cache(page)
            vm_page_busy_wait(page, True)
        elif queue != "none":
            (vm_page_activate if queue == "active" else vm_page_deactivate)(page)
        needed.store(0)
        move(page)
        vm_page_protect(page, 0)
        vm_page_free(page)
        return needed.load()

    def requests():
        set_limits(vm, v_paging_start=0)
        m.check(not asked(vm_page_unqueue, "cache"), "where there are enough pages nobody is asked")
        set_limits(vm, v_paging_start=1000)
        for move in (vm_page_unqueue, vm_page_activate):
            m.check(asked(move, "cache") == 1, "who takes a page that could be had asks for others")
            m.check(not asked(move, "inactive"), "no other does")
        needed.store(1)
        vm_page_free(busied_page(vm, obj, 6))
        m.check(needed.load() == 1, "once it is asked for one")
        needed.store(2)
        vm_page_free(busied_page(vm, obj, 6))
        m.check(needed.load() == 2, "or for more than one")
        vm.pageout.pagethread = m.curcpu
        m.check(not asked(vm_page_unqueue, "cache"), "it does not ask itself")
        vm.pageout.pagethread = None
        set_limits(vm, v_free_min=1000)
        needed.store(2)
        vm_page_free(busied_page(vm, obj, 6))
        m.check(needed.load() > 2, "who asks for more is counted where there are very few")

    def mover():
        places()
        requests()

    m.spawn(mover)
    m.join()
    vm_object_deallocate(obj)
