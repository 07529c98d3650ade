"""Files are written back, against CPUs that write to them and insert pages."""

from vmsmp import scenario
from vmsmp.mmu.entry import PG_RW
from vmsmp.scenarios._kit import (
    Space,
    busied,
    end_of_file,
    file_object,
    forget_file,
    idle_pages,
    is_dirty,
    mappings,
    queue_of,
    sync,
    write_fault,
)
from vmsmp.vm.vm_object import (
    OBJ_CLEANING,
    OBJ_MIGHTBEDIRTY,
    OBJ_WRITEABLE,
    OBJPC_IGNORE_CLEANCHK,
    OBJPC_NOSYNC,
    OBJPC_SYNC,
    vm_object_allocate,
    vm_object_deallocate,
    vm_object_drop,
    vm_object_hold,
    vm_object_page_clean,
    vm_object_page_collect_flush,
)
from vmsmp.vm.vm_page import (
    PAGE_SIZE,
    PG_CLEANCHK,
    PG_NEED_COMMIT,
    PG_NOSYNC,
    VM_ALLOC_NORMAL,
    vm_page_activate,
    vm_page_alloc,
    vm_page_busy_try,
    vm_page_busy_wait,
    vm_page_cache,
    vm_page_dirty,
    vm_page_flag_clear,
    vm_page_flag_set,
    vm_page_freezwq,
    vm_page_sbusy_drop,
    vm_page_sbusy_try,
    vm_page_set_invalid,
    vm_page_wakeup,
    vm_page_wire,
    vm_page_zero_invalid,
)
from vmsmp.vm.vm_pageout import vm_pageout_flush
from vmsmp.vm.vnode import VOBJDIRTY, vn_lock, vn_unlock


def _dirty(page):
    """Write to the page as a system call does: hard-busied."""
    vm_page_busy_wait(page, True)
    vm_page_dirty(page)
    vm_page_wakeup(page)


@scenario(cpus=3, tags={"object", "clean", "vnode"})
def sync_against_writers(m):
    """A file is synced while others write to its pages; a last sync leaves nothing to be written."""
    vm = m.boot(pages=6, l2_size=1, object_hash=1, scan_yield=2)
    vp, obj = file_object(vm, 3)
    pages = idle_pages(vm, obj, range(3))
    for page in pages[:2]:
        _dirty(page)

    over = m.atomic(False, name="over")

    def syncer():
        sync(vp, obj)
        over.store(True)

    def writer(late):
        while late and pages[0].hint("dirty") and not over.load():
            m.pause()  # until the sync has written the first page
        for _ in m.rounds(2):
            page = pages[m.choose(3)]
            if not vm_page_busy_try(page, True):
                vm_page_dirty(page)
                vm_page_wakeup(page)

    m.spawn(syncer)
    for n in range(m.ncpus - 1):
        m.spawn(writer, n % 2 == 0)
    m.join()
    sync(vp, obj)
    m.check(not any(is_dirty(page) for page in pages), "what was written before a sync is on disk after it")
    forget_file(vp, obj)


@scenario(cpus=3, tags={"object", "clean", "vnode", "pmap"})
def sync_against_stores(m):
    """A file is synced while processes store through mappings, which the sync makes read-only."""
    vm = m.boot(pages=10, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 2)
    pages = idle_pages(vm, obj, range(2))
    space = Space(vm, obj)
    for page in pages:
        write_fault(space, page)
    stored = m.atomic(0, name="stored")

    def process():
        for n in range(2):
            if space.store(n):
                stored.fetchadd(1)
        if m.choose(2):
            space.remove(m.choose(2))

    m.spawn(sync, vp, obj)
    for _ in range(m.ncpus - 1):
        m.spawn(process)
    m.join()
    sync(vp, obj)
    m.check(not any(is_dirty(page) for page in pages), "what was written before a sync is on disk after it")
    space.end()
    forget_file(vp, obj)


@scenario(cpus=3, tags={"object", "clean", "vnode", "busy"})
def sync_meets_busy_pages(m):
    """A file is synced while others have its dirty pages busied, hard or soft: the sync waits for each."""
    vm = m.boot(pages=6, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 130)
    pages = idle_pages(vm, obj, range(0, 130, 64))  # each in a cluster of its own
    for page in pages:
        _dirty(page)

    def syncer():
        sync(vp, obj)
        m.check(not any(is_dirty(page) for page in pages), "a sync leaves no page that was dirty before it")

    def owner():
        for _ in m.rounds(6):
            page = pages[m.choose(3)]
            if not vm_page_busy_try(page, True):
                m.yield_()
                vm_page_wakeup(page)

    def reader():
        for _ in m.rounds(6):
            page = pages[m.choose(3)]
            if not vm_page_sbusy_try(page):
                m.yield_()
                vm_page_sbusy_drop(page)

    m.spawn(syncer)
    for n in range(m.ncpus - 1):
        m.spawn((owner, reader)[n % 2])
    m.join()
    forget_file(vp, obj)


@scenario(cpus=2, tags={"object", "clean", "vnode"}, pages=None)
def sync_leaves_late_pages(m):
    """Pages that are inserted after a sync has marked its pages are left to the next sync."""
    vm = m.boot(pages=4 + 2 * m.ncpus, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 1 + 2 * m.ncpus)
    _dirty(*idle_pages(vm, obj, [0]))
    late = []

    def writer(first):
        for n in m.rounds(2):
            vm_object_hold(obj)
            page = vm_page_alloc(vm, obj, first + n, VM_ALLOC_NORMAL)
            marked = not obj.flags.load() & OBJ_MIGHTBEDIRTY
            vm_page_zero_invalid(page)
            vm_page_dirty(page)
            if marked:  # the sync has seen all of its pages by now, and does not look for others
                late.append(page)
            vm_page_wakeup(page)
            vm_object_drop(obj)

    def syncer():
        sync(vp, obj)
        for page in late:
            m.check(bool(page.peek("dirty")), "a sync writes what was there when it began")

    m.spawn(syncer)
    for n in range(m.ncpus - 1):
        m.spawn(writer, 1 + 2 * n)
    m.join()
    sync(vp, obj)
    forget_file(vp, obj)


@scenario(cpus=2, tags={"object", "clean", "vnode"})
def sync_leaves_pages_of_no_importance(m):
    """A periodic sync skips pages marked PG_NOSYNC, and the object stays marked as dirty."""
    vm = m.boot(pages=6, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 2)
    plain, unimportant = idle_pages(vm, obj, [0, 1])
    vm_page_flag_set(unimportant, PG_NOSYNC)
    _dirty(unimportant)

    def writer():
        for page in (plain, unimportant):
            _dirty(page)

    m.spawn(sync, vp, obj, OBJPC_SYNC | OBJPC_NOSYNC)
    for _ in range(m.ncpus - 1):
        m.spawn(writer)
    m.join()
    m.check(bool(obj.peek("flags") & OBJ_MIGHTBEDIRTY), "an object with a dirty page is known to have one")
    sync(vp, obj)
    m.check(not is_dirty(plain) and not is_dirty(unimportant), "a sync by request writes everything")
    forget_file(vp, obj)


@scenario(cpus=3, tags={"object", "clean", "vnode", "reference"})
def reclaim_against_writers(m):
    """A vnode is reclaimed while its pages are written to and out; its object waits for all of them."""
    vm = m.boot(pages=6, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 2)
    pages = idle_pages(vm, obj, range(2))
    vm_object_deallocate(obj)

    def writer():
        page = pages[m.choose(2)]
        if not vm_page_busy_try(page, True):
            there = page.object is obj
            if there:
                vm_page_dirty(page)
            if there and m.choose(2):  # as the limit of resident pages does, without the vnode's lock
                vm_pageout_flush([page], OBJPC_SYNC)
            else:
                vm_page_wakeup(page)

    m.spawn(end_of_file, vp)
    for _ in range(m.ncpus - 1):
        m.spawn(writer)
    m.join()
    m.check(obj.freed, "a file's object ends with its vnode")


@scenario(cpus=1, tags={"object", "clean", "vnode", "pmap"}, pages=None)
def sync_alone(m):
    """A CPU syncs a file with pages in all states, and reclaims it: exactly the dirty pages are on disk."""
    vm = m.boot(pages=20, l2_size=1, object_hash=1, scan_yield=3)
    vp, obj = file_object(vm, 70)
    device = vm.pager.device
    indexes = (0, 1, 2, 3, 4, 5, 63, 64)
    both = OBJ_MIGHTBEDIRTY | OBJ_WRITEABLE

    def owner():
        pages = dict(zip(indexes, idle_pages(vm, obj, indexes), strict=True))

        def soil(*those, value=100):
            for n in those:
                vm.memory.poke(pages[n].phys, 0, value + n)
                vm_page_activate(pages[n])
                _dirty(pages[n])

        def seen(*those):
            for n in those:
                vm_page_flag_set(pages[n], PG_CLEANCHK)

        def written(step, *args):
            """Take a step; return which pages are clean by then, each of which it has written."""
            before, dirty = device.transfers, [n for n in indexes if is_dirty(pages[n])]
            step(*args)
            used = any(page.peek("busy_count") or page.peek("hold_count") for page in pages.values())
            m.check(not used and not obj.peek("flags") & OBJ_CLEANING, "all are let go")
            clean = [n for n in dirty if not is_dirty(pages[n])]
            m.check(device.transfers - before == len(clean), "who is clean then was written")
            return clean

        def collected(n, flags=OBJPC_SYNC):
            vm_page_busy_wait(pages[n], True)
            vm_object_hold(obj)
            vm_object_page_collect_flush(obj, pages[n], flags)
            vm_object_drop(obj)

        def marked():
            return [n for n in indexes if pages[n].peek("flags") & PG_CLEANCHK]

        space = Space(vm, obj, 5)
        space.fault(pages[2], 2)
        space.store(2, "stored")
        soil(0, 1, 3, 4, 63, 64)
        vm_page_busy_wait(pages[5], True)
        vm_page_cache(pages[5])
        seen(0, 1, 2, 5, 63, 64)
        m.check(written(collected, 1) == [0, 1, 2], "a page is written with its neighbours")
        m.check(marked() == [5, 63, 64], "who was written is not marked any longer")
        m.check(vp.contents[2][0] == "stored", "what was stored is on disk")
        m.check(
            written(collected, 64) == [64] and written(collected, 63) == [63], "as far as its cluster goes"
        )
        m.check(
            written(collected, 4, OBJPC_SYNC | OBJPC_IGNORE_CLEANCHK) == [3, 4], "or whether they are marked"
        )
        m.check(marked() == [], "who was looked at is not, either")
        soil(0, 1)
        seen(0, 1, 2)
        busied(pages[2], vm_page_flag_set, PG_NEED_COMMIT)
        vm_page_sbusy_try(pages[0])
        before = device.transfers
        collected(1)
        vm_page_sbusy_drop(pages[0])
        busied(pages[2], vm_page_flag_clear, PG_NEED_COMMIT)
        m.check(pages[0].peek("dirty") and not pages[1].peek("dirty"), "a neighbour that is busy is left out")
        m.check(device.transfers - before == 2, "one that is to be committed is not")
        # all of it
        soil(2, 5, 63)
        vm_page_flag_set(pages[5], PG_NOSYNC)
        synced = written(sync, vp, obj, OBJPC_SYNC | OBJPC_NOSYNC)
        m.check(synced == [0, 2, 63], "who is of no importance is left")
        m.check(obj.peek("flags") & both == both and not marked(), "which the object knows")
        space.fault(pages[2], 2)
        space.fault(pages[3], 3)
        space.store(3, "stored")
        for n in (63, 64):
            vm_page_busy_wait(pages[n], True)
        vm_page_cache(pages[63])
        vm_page_set_invalid(pages[64], 0, PAGE_SIZE)
        vm_page_wakeup(pages[64])
        busied(pages[1], vm_page_flag_set, PG_NEED_COMMIT)
        before = device.transfers
        sync(vp, obj)
        m.check(device.transfers - before == 3, "a page that is to be committed is written, too")
        busied(pages[1], vm_page_flag_clear, PG_NEED_COMMIT)
        m.check(not any(is_dirty(page) for page in pages.values()), "a sync by request writes everything")
        for n in (2, 3):
            m.check(
                (mappings(pages[n]), mappings(pages[n], PG_RW)) == (1, 0), "nobody writes unseen from then on"
            )
        m.check(not obj.peek("flags") & both and not vp.peek("v_flag") & VOBJDIRTY, "all is clean")
        m.check(marked() == [63, 64], "who is cached or not valid was not looked at")
        seen(0)
        sync(vp, obj)
        m.check(marked() == [0, 63, 64], "a file that is clean is left alone")
        soil(3)
        sync(vp, obj, OBJPC_SYNC | OBJPC_NOSYNC)
        m.check(obj.peek("flags") & both == both, "a page of no importance may be dirty")
        vm_page_flag_clear(pages[5], PG_NOSYNC)
        sync(vp, obj, OBJPC_SYNC | OBJPC_NOSYNC)
        m.check(not obj.peek("flags") & both, "where there is none all is clean")
        other = vm_object_allocate(vm, 1)
        _dirty(*idle_pages(vm, other, [0]))
        vm_object_page_clean(other, 0, 0, OBJPC_SYNC)
        m.check(other.raw_rb_memq[0].peek("dirty"), "only files are synced")
        vm_object_deallocate(other)
        # a part of it, and its end
        soil(0, 1, 2, 63, value=200)
        vn_lock(vp)
        for part in ((1, 2), (0, 2), (2, 0)):
            m.check(
                2 not in written(vm_object_page_clean, obj, *part, OBJPC_SYNC) or part[1] == 0, "of a part"
            )
            m.check(obj.peek("flags") & both == both, "the rest may be dirty")
        vn_unlock(vp)
        space.fault(pages[0], 0)
        vm_page_busy_wait(pages[0], True)
        vm_page_wire(pages[0])
        vm_page_wakeup(pages[0])
        space.end()
        soil(0, value=300)
        forget_file(vp, obj)
        m.check(len(vm.console) == 1 and "wired" in vm.console[0], "only a wired page on a queue is told of")
        m.check([vp.contents[n][0] for n in (0, 1, 2, 63)] == [300, 201, 202, 263], "the end writes")
        m.check({queue_of(pages[n]) for n in indexes[1:]} == {"free"}, "its pages are free")
        wired = pages[0]
        m.check((wired.peek("object"), wired.peek("wire_count")) == (None, 1), "but for one that is wired")
        vm_page_freezwq(wired)

    m.spawn(owner)
    m.join()
    m.check(obj.freed and not vp.peek("v_refcnt"), "nobody refers to a file that is gone")
