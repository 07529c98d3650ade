"""Dirty pages that the pageout writes: to swap or to their file, with those around them, or not now."""

from vmsmp import scenario
from vmsmp.scenarios._kit import (
    busied,
    busied_page,
    file_object,
    forget_file,
    give_back,
    is_dirty,
    leave,
    queue_of,
    set_limits,
)
from vmsmp.scenarios.vm_fault._memory import Process, object_at
from vmsmp.scenarios.vm_map._spaces import BASE, map_anon
from vmsmp.vm.vm_object import OBJ_MIGHTBEDIRTY, OBJ_WRITEABLE, vm_object_allocate, vm_object_deallocate
from vmsmp.vm.vm_page import (
    PAGE_SIZE,
    PG_REFERENCED,
    PG_WINATCFLS,
    vm_page_activate,
    vm_page_busy_try,
    vm_page_busy_wait,
    vm_page_deactivate,
    vm_page_dirty,
    vm_page_flag_clear,
    vm_page_hold,
    vm_page_undirty,
    vm_page_unhold,
    vm_page_unqueue,
    vm_page_unwire,
    vm_page_wakeup,
    vm_page_wire,
)
from vmsmp.vm.vm_pageout import vm_pageout_scan_inactive
from vmsmp.vm.vm_pager import device_attach, device_detach
from vmsmp.vm.vnode import VLKTIMEOUT, vn_lock, vn_unlock


def _soil(pages, move):
    """Make the pages dirty, and have `move` put them on a queue."""
    for page in pages:
        vm_page_busy_wait(page, True)
        move(page)
        vm_page_dirty(page)
        vm_page_wakeup(page)


def _written(vm, pages, passes=1):
    """Scan, and return the keys of the pages that are clean since then."""
    dirty = [key for key, page in pages.items() if is_dirty(page)]
    vm_pageout_scan_inactive(vm, passes)
    return [key for key in dirty if not is_dirty(pages[key])]


#: What keeps a page from being written with one beside it, and what ends that.
_APART = (
    (lambda page: busied(page, vm_page_wire), lambda page: busied(page, vm_page_unwire, True)),
    (lambda page: busied(page, vm_page_hold), vm_page_unhold),
    (lambda page: vm_page_busy_try(page, True), vm_page_wakeup),
    (lambda page: busied(page, vm_page_unqueue), lambda page: busied(page, vm_page_activate)),
)


@scenario(cpus=1, tags={"page", "pageout", "swap"}, pages=None)
def clusters_alone(m):
    """A CPU scans dirty pages of one object: each is written with those beside it that may go along."""
    vm = m.boot(pages=12, l2_size=1, object_hash=1, topology=(1, 1, 1))
    set_limits(vm, v_paging_target2=1000)
    vm.sysctl["vm.max_launder"] = 51200
    obj = vm_object_allocate(vm, 66)

    def scanner():
        pages = {n: busied_page(vm, obj, n) for n in (60, 61, 62, 63, 64, 65)}
        for n, page in pages.items():
            vm.memory.poke(page.phys, 0, n)
            vm_page_wakeup(page)
        _soil(pages.values(), vm_page_deactivate)
        m.check(_written(vm, pages, 0) == [], "dirty pages are passed over once")
        m.check(_written(vm, pages, 0) == list(pages), "and written the next time")
        m.check({queue_of(page) for page in pages.values()} == {"cache"}, "to be used anew")
        blocks = obj.peek("swblock_root")
        m.check(all(vm.pager.contents[blocks[n]][0] == n for n in pages), "swap has what is in them")
        beside = {n: pages[n] for n in (61, 62, 63)}
        for allowed in (1, 0):
            vm.sysctl["vm.pageout_allow_active"] = allowed
            _soil(pages.values(), vm_page_activate)
            _soil([pages[62]], vm_page_deactivate)
            pages[62].act_count = 3
            expected = [60, 61, 62, 63] if allowed else [62]
            m.check(_written(vm, pages) == expected, "active pages go along as far as a cluster, if allowed")
        vm.sysctl["vm.pageout_allow_active"] = 1
        for spoil, mend in _APART:
            _soil(beside.values(), vm_page_activate)
            spoil(pages[63])
            busied(pages[62], vm_page_deactivate)
            m.check(_written(vm, beside) == [61, 62], "who is in use, or on no queue, does not")
            mend(pages[63])
            m.check(pages[63].peek("busy_count") == 0, "and is let go")
        _soil([pages[62]], vm_page_deactivate)
        busied(pages[61], vm_page_undirty)
        before = vm.pager.device.transfers
        m.check(_written(vm, beside) == [62, 63], "who is clean is not")
        m.check(vm.pager.device.transfers == before + 2, "written")
        m.check(not any(page.peek("busy_count") for page in pages.values()), "all are let go")

    m.spawn(scanner)
    m.join()
    vm_object_deallocate(obj)


@scenario(cpus=1, tags={"page", "pageout", "swap"}, pages=None)
def laundry_has_limits(m):
    """A CPU scans more dirty pages than a scan may write, and pages that must not go to swap now."""
    vm = m.boot(pages=12, l2_size=1, object_hash=1, topology=(1, 1, 1))
    set_limits(vm, v_paging_target2=1000, v_free_min=0)
    vp, file = file_object(vm, 1, range(1))
    file.flags.setbits(OBJ_WRITEABLE | OBJ_MIGHTBEDIRTY)
    objects = [vm_object_allocate(vm, 1) for _ in range(4)]

    def scanner():
        pages = {n: busied_page(vm, obj, 0) for n, obj in enumerate(objects)}
        for page in pages.values():
            vm_page_wakeup(page)
        pages["file"] = file.peek("rb_memq")[0]
        vm_page_flag_clear(pages["file"], PG_REFERENCED)

        def written(**numbers):
            for name, value in numbers.items():
                vm.sysctl[f"vm.{name}"] = value
            _soil(pages.values(), vm_page_activate)
            _soil(pages.values(), vm_page_deactivate)
            return len(_written(vm, pages))

        m.check(written(max_launder=15) == 1, "one page at least is written")
        m.check(written(max_launder=15360) == 3, "and as many as are the share of a scan")
        m.check(
            written(max_launder=51200, disable_swapspace_pageouts=1) == 1, "swap may be closed, files are not"
        )
        m.check(written(disable_swapspace_pageouts=0, defer_swapspace_pageouts=1) == 1, "or have to wait")
        set_limits(vm, v_free_min=1000)
        m.check(written() == 5, "until memory is short")
        _soil(pages.values(), vm_page_activate)
        _soil(pages.values(), vm_page_deactivate)
        vm.sysctl["vm.pageout_memuse_mode"] = 3
        m.check(len(_written(vm, pages, 0)) == 5, "without a second lap all are written at once")
        m.check({queue_of(page) for page in pages.values()} == {"cache"}, "and cached")

    m.spawn(scanner)
    m.join()
    for obj in objects:
        vm_object_deallocate(obj)
    forget_file(vp, file)


@scenario(cpus=2, tags={"page", "pageout", "vnode"}, fixed=True, pages=None)
def vnode_is_not_had(m):
    """The pageout meets dirty pages of a file whose vnode another has locked: it waits once, and goes on."""
    vm = m.boot(pages=12, l2_size=1, object_hash=1, topology=(1, 1, 1))
    set_limits(vm, v_paging_target2=1000)
    vp, obj = file_object(vm, 70, (0, 64))
    obj.flags.setbits(OBJ_WRITEABLE | OBJ_MIGHTBEDIRTY)
    pages = obj.peek("rb_memq")
    together = m.barrier(2)
    waits = VLKTIMEOUT // 2 * m.choose(4)

    def owner():
        vn_lock(vp)
        together.wait()
        if waits:
            m.tsleep("owner", 0, "owner", waits, overdue=lambda: None)
        vn_unlock(vp)

    def scanner():
        _soil(pages.values(), vm_page_deactivate)
        for page in pages.values():
            vm_page_flag_clear(page, PG_REFERENCED)
            page.flags.setbits(PG_WINATCFLS)
        together.wait()
        began = m.ticks
        vm_pageout_scan_inactive(vm)
        m.check(m.ticks - began <= VLKTIMEOUT + 1, "who is not had in time is not waited for again")

    m.spawn(owner)
    m.spawn(scanner)
    m.join()
    missed = vm.sysctl["vm.pageout_lock_miss"]
    written = sum(not is_dirty(page) for page in pages.values())
    m.check(written + missed == 2, "each page is written, or its vnode was not had")
    m.check(vm.pageout.vnodes_skipped == missed, "which the syncer is told")
    m.check(not any(page.peek("hold_count") for page in pages.values()), "they are let go")
    m.check(vp.peek("v_refcnt") == 2, "and so is the vnode")
    forget_file(vp, obj)


@scenario(cpus=4, tags={"map", "fault", "pageout", "swap"}, pages=None)
def memory_is_written_to_swap(m):
    """A process stores to its memory and loads it while the pageout writes it to swap and frees it."""
    vm = m.boot(pages=18, l2_size=1, object_hash=1, topology=(1, 1, 1))
    set_limits(vm, v_paging_target2=1000)
    process = Process(vm)
    map_anon(m, process.map, BASE, 3)
    process.enter().store(BASE, "first")
    obj = object_at(process.map, BASE)
    leave(vm)
    device_attach(vm)

    def thread(n):
        process.enter()
        for turn in m.rounds(3):
            va = BASE + m.choose(3) * PAGE_SIZE + 512 * n
            process.store(va, (n, turn))
            m.check(process.load(va) == (n, turn), "what was stored is loaded")

    def pagedaemon():
        vm.pageout.pagethread = vm.engine.current
        for _ in m.rounds(3):
            for page in list(obj.raw_rb_memq.values()):
                if not vm_page_busy_try(page, True):
                    if page.object is obj:
                        vm_page_deactivate(page)
                    vm_page_wakeup(page)
            vm_pageout_scan_inactive(vm, m.choose(2))

    workers = [m.spawn(thread if n else pagedaemon, *([n] if n else [])) for n in range(m.ncpus - 1)]
    for cpu in workers:
        cpu.join()
    device_detach(vm)
    m.join()
    give_back(process.vmspace)
