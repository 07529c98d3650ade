"""Files are written back: by whoever cleans an object, against those who write to it and insert pages."""

from vmsmp import scenario
from vmsmp.scenarios._kit import Space, end_of_file, file_object, idle_pages, is_dirty, write_fault
from vmsmp.vm.vm_object import (
    OBJ_MIGHTBEDIRTY,
    OBJPC_NOSYNC,
    OBJPC_SYNC,
    vm_object_deallocate,
    vm_object_drop,
    vm_object_hold,
    vm_object_page_clean,
)
from vmsmp.vm.vm_page import (
    PG_NOSYNC,
    VM_ALLOC_NORMAL,
    vm_page_alloc,
    vm_page_busy_try,
    vm_page_busy_wait,
    vm_page_dirty,
    vm_page_flag_set,
    vm_page_sbusy_drop,
    vm_page_sbusy_try,
    vm_page_wakeup,
    vm_page_zero_invalid,
)
from vmsmp.vm.vnode import vn_lock, vn_unlock


def _sync(vp, obj, flags=OBJPC_SYNC):
    """Clean the whole object with the vnode locked, as fsync does."""
    vn_lock(vp)
    vm_object_page_clean(obj, 0, 0, flags)
    vn_unlock(vp)


def _dirty(page):
    """Write to the page as a system call does: hard-busied."""
    vm_page_busy_wait(page, True)
    vm_page_dirty(page)
    vm_page_wakeup(page)


def _forget(vp, obj):
    """Give the file's reference back, and reclaim it."""
    vm_object_deallocate(obj)
    end_of_file(vp)


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
        _sync(vp, obj)
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
    _sync(vp, obj)
    m.check(not any(is_dirty(page) for page in pages), "what was written before a sync is on disk after it")
    _forget(vp, obj)


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

    m.spawn(_sync, vp, obj)
    for _ in range(m.ncpus - 1):
        m.spawn(process)
    m.join()
    _sync(vp, obj)
    m.check(not any(is_dirty(page) for page in pages), "what was written before a sync is on disk after it")
    space.end()
    _forget(vp, obj)


@scenario(cpus=3, tags={"object", "clean", "vnode", "busy"})
def sync_meets_busy_pages(m):
    """A file is synced while others have its dirty pages busied, hard or soft: it waits for each of them."""
    vm = m.boot(pages=6, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 130)
    pages = idle_pages(vm, obj, range(0, 130, 64))  # each in a cluster of its own
    for page in pages:
        _dirty(page)

    def syncer():
        _sync(vp, obj)
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
    _forget(vp, obj)


@scenario(cpus=2, tags={"object", "clean", "vnode"}, pages=None)
def sync_leaves_late_pages(m):
    """Pages that come once a sync has marked those there are its own are left to the next one."""
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
        _sync(vp, obj)
        for page in late:
            m.check(bool(page.peek("dirty")), "a sync writes what was there when it began")

    m.spawn(syncer)
    for n in range(m.ncpus - 1):
        m.spawn(writer, 1 + 2 * n)
    m.join()
    _sync(vp, obj)
    _forget(vp, obj)


@scenario(cpus=2, tags={"object", "clean", "vnode"})
def sync_leaves_pages_of_no_importance(m):
    """A periodic sync passes over pages that are not to be synced, and the object is known to have some."""
    vm = m.boot(pages=6, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 2)
    plain, unimportant = idle_pages(vm, obj, [0, 1])
    vm_page_flag_set(unimportant, PG_NOSYNC)
    _dirty(unimportant)

    def writer():
        for page in (plain, unimportant):
            _dirty(page)

    m.spawn(_sync, vp, obj, OBJPC_SYNC | OBJPC_NOSYNC)
    for _ in range(m.ncpus - 1):
        m.spawn(writer)
    m.join()
    m.check(bool(obj.peek("flags") & OBJ_MIGHTBEDIRTY), "an object with a dirty page is known to have one")
    _sync(vp, obj)
    m.check(not is_dirty(plain) and not is_dirty(unimportant), "a sync by request writes everything")
    _forget(vp, obj)


@scenario(cpus=3, tags={"object", "clean", "vnode", "reference"})
def reclaim_against_writers(m):
    """A vnode is reclaimed while pages of its file are written to; its object waits for all of them."""
    vm = m.boot(pages=6, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 2)
    pages = idle_pages(vm, obj, range(2))
    vm_object_deallocate(obj)

    def writer():
        page = pages[m.choose(2)]
        if not vm_page_busy_try(page, True):
            if page.object is obj:
                vm_page_dirty(page)
            vm_page_wakeup(page)

    m.spawn(end_of_file, vp)
    for _ in range(m.ncpus - 1):
        m.spawn(writer)
    m.join()
    m.check(obj.freed, "a file's object ends with its vnode")
