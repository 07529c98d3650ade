"""The pageout and pages in all states: where scans leave them, what passes gain, and whom they wake."""

from vmsmp import scenario
from vmsmp.engine.clock import HZ
from vmsmp.scenarios._kit import (
    Space,
    busied,
    busied_page,
    end_of_file,
    file_object,
    is_dirty,
    mappings,
    queue_of,
    repaired,
    set_limits,
)
from vmsmp.sync.errno import PINTERLOCKED
from vmsmp.vm.pmap import pmap_clear_reference
from vmsmp.vm.vm_meter import P_LOWMEMKILL
from vmsmp.vm.vm_object import (
    OBJ_DEAD,
    OBJ_MIGHTBEDIRTY,
    vm_object_allocate,
    vm_object_deallocate,
    vm_object_drop,
    vm_object_hold,
)
from vmsmp.vm.vm_page import (
    ACT_MAX,
    PAGE_SIZE,
    PG_NEED_COMMIT,
    PG_REFERENCED,
    V_FREE_COUNT,
    VM_ALLOC_NORMAL,
    VM_PAGES_NEEDED,
    vm_page_activate,
    vm_page_alloc,
    vm_page_busy_wait,
    vm_page_cache,
    vm_page_deactivate,
    vm_page_dirty,
    vm_page_flag_clear,
    vm_page_flag_set,
    vm_page_free,
    vm_page_hold,
    vm_page_sbusy_drop,
    vm_page_sbusy_try,
    vm_page_set_invalid,
    vm_page_undirty,
    vm_page_unhold,
    vm_page_unwire,
    vm_page_wakeup,
    vm_page_wire,
)
from vmsmp.vm.vm_page.page import HOLD
from vmsmp.vm.vm_pageout import (
    PAGING_IDLE,
    PAGING_TARGET1,
    PAGING_TARGET2,
    PageStats,
    _Pagedaemon,
    vm_page_requeue,
    vm_pageout_free_hold,
    vm_pageout_page_stats,
    vm_pageout_pass,
    vm_pageout_scan_active,
    vm_pageout_scan_cache,
    vm_pageout_scan_inactive,
)


def _page(obj, pindex, move=vm_page_activate, act=0, flags=0):
    """Return a page of the object that `move` has put on its queue, with that act_count and these flags."""
    page = busied_page(obj.vm, obj, pindex)
    move(page)
    page.act_count = act
    vm_page_flag_set(page, flags)
    vm_page_wakeup(page)
    return page


def _cached(obj, pindex):
    page = busied_page(obj.vm, obj, pindex)
    vm_page_cache(page)
    return page


def _in_order(vm, base, colour):
    """The indexes of the pages on a queue, read invisibly."""
    page = vm.page.vm_page_queues[base + colour].peek("tqh_first")
    found = []
    while page is not None:
        found.append(page.raw_pindex)
        page = page.peek("tqe_next")
    return found


def _free(vm):
    return vm.meter.count("v_free_count")


def _there(vm):
    """How many pages are free or cached."""
    return _free(vm) + vm.meter.count("v_cache_count")


@scenario(cpus=1, tags={"page", "queue", "pageout"}, pages=None)
def scans_alone(m):
    """A CPU scans used, wired and unused pages: each goes where it belongs, and gains are counted."""
    vm = m.boot(pages=24, l2_size=2, object_hash=1, topology=(1, 1, 1))
    obj = vm_object_allocate(vm, 16)
    vp, unused = file_object(vm, 3)
    vm_object_deallocate(unused)

    def active():
        pages = [
            _page(obj, 0, act=10, flags=PG_REFERENCED),
            _page(obj, 1, act=ACT_MAX - 1, flags=PG_REFERENCED),
            _page(obj, 2, act=3),
            _page(obj, 3, act=1),
            _page(obj, 4),
            _page(unused, 0, act=9, flags=PG_REFERENCED),
            _page(obj, 6, act=3),
            _page(obj, 8, act=3),
        ]
        *_, wired, read = pages
        busied(wired, vm_page_wire)
        vm_page_sbusy_try(read)
        m.check(vm_pageout_scan_active(vm) == 3, "pages that are deactivated are counted")
        after = [(queue_of(page), page.peek("act_count")) for page in pages]
        m.check(
            after
            == [
                *(("active", 14), ("active", ACT_MAX), ("active", 2)),
                *(("inactive", 0), ("inactive", 0), ("inactive", 7)),
                *(("none", 3), ("active", 3)),
            ],
            "what is used gains credit, and what is not loses some, and its place with it",
        )
        m.check(not any(page.peek("flags") & PG_REFERENCED for page in pages), "it was used before the scan")
        base = vm.page.PQ_ACTIVE
        m.check(_in_order(vm, base, 0) == [8, 0, 2], "who is looked at comes last the next time")
        vm_page_sbusy_drop(read)
        busied(pages[0], vm_page_requeue, vm.page.PQ_INACTIVE)
        m.check(_in_order(vm, base, 0) == [8, 0, 2], "a page that is on another queue stays there")
        busied(pages[0], vm_page_requeue, base)
        m.check(_in_order(vm, base, 0) == [8, 2, 0], "a page goes to the end of its queue")
        busied(wired, vm_page_unwire, False)
        # when pages are short, too
        read.act_count = 60
        for page, act in zip(pages[:4], (5, 6, 6, 6), strict=True):
            busied(page, vm_page_activate)
            page.act_count = act
        busied(pages[2], vm_page_dirty)
        m.check(vm_pageout_scan_active(vm, 4, 1) == 1, "the more passes were in vain, the more use it needs")
        m.check((queue_of(pages[0]), queue_of(pages[1])) == ("cache", "active"), "who is clean is cached")
        m.check(vm_pageout_scan_active(vm, 9, 2) == 3, "all others go")
        kinds = [queue_of(page) for page in pages[1:4]]
        m.check(kinds == ["cache", "inactive", "inactive"], "neither dirty ones nor more than are short")
        busied(pages[2], vm_page_undirty)
        return pages

    def inactive(pages):
        for page in pages:
            busied(page, vm_page_deactivate)
        set_limits(vm, v_paging_target2=0)
        m.check(vm_pageout_scan_inactive(vm) == 2, "a scan ends on each queue once there is enough")
        set_limits(vm, v_paging_target2=1000)
        space = Space(vm, obj, 16)
        held, wired, used, committing, written, invalid, touched = (
            _page(obj, pindex, vm_page_deactivate) for pindex in range(9, 16)
        )
        forgotten = _page(unused, 1, vm_page_deactivate, flags=PG_REFERENCED)
        busied(held, vm_page_hold)
        busied(wired, vm_page_wire)
        vm_page_flag_set(used, PG_REFERENCED)
        busied(committing, vm_page_set_invalid, 0, PAGE_SIZE)
        busied(committing, vm_page_flag_set, PG_NEED_COMMIT)
        space.fault(written, 13)
        space.fault(invalid, 14)
        space.store(13)
        for page in (written, invalid):
            busied(page, pmap_clear_reference)
        space.fault(touched, 15)
        busied(invalid, vm_page_set_invalid, 0, PAGE_SIZE)
        gone = repaired(m, "nothing-is-committed-of-invalid-pages")
        m.check(vm_pageout_scan_inactive(vm) == 8 + gone, "pages that are cached or freed are counted")
        kept = {queue_of(page) for page in (held, *(() if gone else (committing,)))}
        m.check(
            kept == {"inactive"} and queue_of(wired) == "none", "those that somebody needs are not gained"
        )
        for page in (used, touched):
            m.check(
                (queue_of(page), page.peek("act_count")) == ("active", 9), "a page that is used is active"
            )
        m.check(not used.peek("flags") & PG_REFERENCED, "and was used before")
        m.check(
            (queue_of(written), is_dirty(written)) == ("inactive", True), "a dirty page is passed over once"
        )
        m.check(
            (queue_of(invalid), queue_of(forgotten)) == ("free", "cache"), "a page that is no good is free"
        )
        m.check(not unused.peek("flags") & OBJ_MIGHTBEDIRTY, "none is taken for dirty")
        if not gone:
            busied(committing, vm_page_flag_clear, PG_NEED_COMMIT)
        busied(wired, vm_page_unwire, False)
        vm_page_unhold(held)
        orphan = _page(unused, 2, vm_page_deactivate)
        busied(orphan, vm_page_dirty)
        vm_object_hold(unused)
        unused.flags.setbits(OBJ_DEAD)
        m.check(vm_pageout_scan_inactive(vm) == 4 - gone, "who was kept is gained then")
        m.check(
            (queue_of(written), is_dirty(written)) == ("cache", False), "a page that was written is laundered"
        )
        m.check(vm_pageout_scan_inactive(vm) == 0, "a dead object's is not")
        m.check((queue_of(orphan), bool(orphan.peek("dirty"))) == ("inactive", True), "it stays")
        unused.flags.clearbits(OBJ_DEAD)
        vm_object_drop(unused)
        space.end()

    def cached():
        was = vm.meter.count("v_cache_count")
        set_limits(vm, v_free_min=_free(vm) + 3)
        m.check(vm_pageout_scan_cache(vm) == 3, "cached pages are freed up to the minimum")
        m.check(vm.meter.count("v_cache_count") == was - 3, "others stay in the cache")
        m.check(vm_pageout_scan_cache(vm) == 0, "where there are enough none is freed")
        set_limits(vm, v_free_min=1000)
        m.check(vm_pageout_scan_cache(vm) == was - 3, "all are freed if need be")
        set_limits(vm, v_free_min=0)

    def held():
        """Pages that were freed while held, and whose last holder has missed that."""
        pages = [busied_page(vm, obj, n) for n in (1, 3, 5)]
        for page in pages:
            vm_page_hold(page)
            vm_page_free(page)
        for page in pages[::2]:
            page.hold_count.fetchadd(-1)
            page.gave(HOLD)
        m.check(vm_pageout_free_hold(vm) == 2, "what is held no longer is free")
        m.check([queue_of(page) for page in pages] == ["free", "hold", "free"], "what is held is not")
        vm_page_unhold(pages[1])

    def scanner():
        inactive(active())
        cached()
        held()

    m.spawn(scanner)
    m.join()
    vm_object_deallocate(obj)
    end_of_file(vp)


@scenario(cpus=1, tags={"page", "queue", "pageout"}, pages=None)
def idle_pagedaemon_ages_alone(m):
    """An idle pagedaemon looks at parts of a queue, and each fourth time at all: unused pages leave it."""
    vm = m.boot(pages=24, l2_size=1, object_hash=1, topology=(1, 1, 1))
    obj = vm_object_allocate(vm, 12)
    base = vm.page.PQ_ACTIVE

    def parts():
        """Look at an empty queue, and then six times at one of four pages."""
        stats = PageStats()
        vm_pageout_page_stats(vm, stats, 0)
        stats.fullintervalcount = 0
        pages = [_page(obj, n, act=10) for n in range(4)]
        for aged, first in (
            ([9, 10, 10, 10], 1),
            ([9, 9, 10, 10], 2),
            ([9, 9, 9, 10], 3),
            ([8, 8, 8, 9], 3),
            ([8, 8, 8, 8], 0),
        ):
            vm_pageout_page_stats(vm, stats, 0)
            m.check([page.peek("act_count") for page in pages] == aged, "a part is looked at, or all")
            m.check(_in_order(vm, base, 0)[0] == first, "who is looked at comes last the next time")
        vm_pageout_page_stats(vm, PageStats(max=2 * vm.meter.v_page_count), 0)
        m.check([page.peek("act_count") for page in pages] == [7] * 4, "a part is no more than all")
        for page in pages:
            vm_page_busy_wait(page, True)
            vm_page_free(page)

    def states():
        """Look once at pages in all states."""
        space = Space(vm, obj, 12)
        pages = used, _, touched, idle, spent, wired, held, read = [
            _page(obj, 0, act=10, flags=PG_REFERENCED),
            _page(obj, 1, act=ACT_MAX - 1, flags=PG_REFERENCED),
            _page(obj, 2),
            _page(obj, 3, act=1),
            _page(obj, 4),
            _page(obj, 5, act=3),
            _page(obj, 6),
            _page(obj, 7),
        ]
        for page in (touched, idle, spent):
            space.fault(page, page.raw_pindex)
        for page in (idle, spent):
            busied(page, pmap_clear_reference)
        busied(wired, vm_page_wire)
        busied(held, vm_page_hold)
        vm_page_sbusy_try(read)
        vm_pageout_page_stats(vm, PageStats(interval=20), 0)
        after = [(queue_of(page), page.peek("act_count")) for page in pages]
        m.check(
            after
            == [
                ("active", 14),
                ("active", ACT_MAX),
                ("active", 4),
                ("active", 0),
                ("inactive", 0),
                ("none", 3),
                ("active", 0),
                ("active", 0),
            ],
            "use gives credit, and who has none left is inactive",
        )
        m.check(not used.peek("flags") & PG_REFERENCED, "it was used before")
        found = [mappings(page) for page in (touched, idle, spent)]
        m.check(found == [1, 1, 0], "a page that is inactive is not mapped")
        m.check(_in_order(vm, base, 0) == [6, 7, 0, 1, 2, 3], "who keeps a place comes last the next time")
        vm_page_sbusy_drop(read)
        m.check(not any(page.peek("busy_count") for page in pages), "all are let go")
        vm_page_unhold(held)
        busied(wired, vm_page_unwire, False)
        space.end()

    def pagedaemon():
        parts()
        states()

    m.spawn(pagedaemon)
    m.join()
    vm_object_deallocate(obj)


@scenario(cpus=2, tags={"page", "pageout", "wait", "clock"}, fixed=True, pages=None)
def pagedaemon_takes_turns(m):
    """A pagedaemon is asked for pages while there are too few, enough or plenty: the result of each turn."""
    vm = m.boot(pages=8, l2_size=1, object_hash=1)
    obj = vm_object_allocate(vm, 8)
    pageout = vm.pageout
    needed = pageout.vm_pages_needed
    before = _there(vm)
    ready, woken = m.atomic(0, name="ready"), m.atomic(0, name="woken")

    def waiter():
        taken = vm_page_alloc(vm, None, 0, VM_ALLOC_NORMAL)
        while not ready.load():
            m.yield_()  # the daemon may not sleep here: time would not pass
        for n in range(2, 6):
            m.tsleep_interlock(V_FREE_COUNT)
            ready.store(n)
            m.tsleep(V_FREE_COUNT, PINTERLOCKED, "waiter", 0)
            woken.store(n)
        while ready.load() < 6:
            m.yield_()
        m.tsleep("a while", 0, "", 3)
        while ready.load() < 7:
            m.wakeup(VM_PAGES_NEEDED)
            m.yield_()
        vm_page_free(taken)

    def passes():
        """The pages that passes gain, and still miss."""
        gd = vm.mycpu()
        while _there(vm) == before:
            m.yield_()  # until the other CPU has taken a page, which only its own view counts
        there = _there(vm)
        set_limits(vm, v_paging_target1=there + 5, v_paging_target2=there + 7)
        pageout.vm_pageout_deficit.store(3)
        m.check(vm_pageout_pass(vm) == 8, "what others have missed is missing, too")
        m.check(vm_pageout_pass(vm, easy=True) == 7, "it is missing once")
        m.check(not gd.proc.p_flags.load(), "nobody is killed while there is memory")
        set_limits(vm, v_free_severe=100)
        _cached(obj, 0)
        set_limits(vm, v_free_min=100)
        vm_pageout_pass(vm)
        set_limits(vm, v_free_min=0)
        _page(obj, 0, vm_page_deactivate)
        m.check(vm_pageout_pass(vm) == 5, "what is gained is missing no longer")
        m.check(not gd.proc.p_flags.load(), "nobody is killed while there is something to gain")

    def expect(this, *, state, asked, passes, wakes=None):
        m.check((this.state, this.passes, needed.load()) == (state, passes, asked), "a turn leads to another")
        if wakes:
            while woken.load() < wakes:
                m.yield_()

    def turn(this, *, ask, wakes=None, **after):
        """Take a turn; before it, wait until the CPU to be woken sleeps."""
        needed.store(ask)
        while wakes and ready.load() < wakes:
            m.yield_()
        began = m.ticks
        this.turn()
        expect(this, wakes=wakes, **after)
        return m.ticks - began

    def daemon():
        passes()
        gd = vm.mycpu()
        gd.systhread = True
        this = _Pagedaemon(vm)
        needed.store(2)
        m.check(this.due(), "who is asked for pages has something to do")
        ready.store(1)
        expect(this, state=PAGING_TARGET1, asked=1, passes=0)
        # the first target is not reached: processes are marked as being killed for memory
        slept = turn(this, ask=0, wakes=2, state=PAGING_TARGET1, asked=1, passes=1)
        killed = [one.proc.p_flags.load() == P_LOWMEMKILL for one in vm.meter.cpus()]
        m.check(killed.count(False) == 1 and not gd.proc.p_flags.load(), "all but it are killed for memory")
        m.check(slept >= 2, "it takes a breath")
        set_limits(vm, v_free_severe=0)
        turn(this, ask=2, state=PAGING_TARGET1, asked=2, passes=2)
        this.passes = 99
        slept = turn(this, ask=0, state=PAGING_TARGET1, asked=0, passes=100)
        m.check(slept >= HZ // 10, "it takes a longer one from the hundredth turn on")
        # it has gained enough, but by now there is not enough again: what is dirty is deactivated only
        page = _page(obj, 1)
        busied(page, vm_page_dirty)
        there = _there(vm)
        set_limits(vm, v_paging_target1=there + 1, v_free_min=there, vm_page_free_hysteresis=1)
        turn(this, ask=1, state=PAGING_TARGET1, asked=2, passes=0)
        m.check(woken.load() == 2, "nobody is woken for what is not there")
        busied(page, vm_page_undirty)  # it is cached now
        page = _page(obj, 2)
        busied(page, vm_page_dirty)
        set_limits(vm, v_paging_target1=_there(vm) + 2, v_free_min=0)
        turn(this, ask=1, wakes=3, state=PAGING_TARGET1, asked=2, passes=0)
        busied(page, vm_page_undirty)
        # the first target is reached, then the last one
        this.passes = 7
        set_limits(vm, v_paging_target1=0)
        turn(this, ask=1, wakes=4, state=PAGING_TARGET2, asked=1, passes=0)
        for start, state in ((0, PAGING_TARGET2), (1000, PAGING_TARGET1)):
            this.state = PAGING_TARGET2
            set_limits(vm, v_paging_start=start)
            began = m.ticks
            m.check(this.due() and this.state == state, "who takes it easy looks whether pages are short")
            m.check(m.ticks - began >= HZ // 10, "after a while")
        this.state, this.passes = PAGING_TARGET2, 7
        turn(this, ask=1, state=PAGING_TARGET2, asked=1, passes=7)
        set_limits(vm, v_paging_target2=0, v_paging_start=0)
        turn(this, ask=1, wakes=5, state=PAGING_IDLE, asked=0, passes=0)
        began = m.ticks
        ready.store(6)
        m.check(this.due() and m.ticks - began >= 3, "who is idle sleeps until somebody wakes it")
        ready.store(7)

    m.spawn(waiter)
    m.spawn(daemon)
    m.join()
    vm_object_deallocate(obj)
