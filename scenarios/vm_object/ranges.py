"""Ranges of an object are removed, grown over, advised on and unmapped while others use their pages."""

from vmsmp import scenario
from vmsmp.scenarios._kit import Space, idle_pages, is_dirty, mappings, write_fault
from vmsmp.vm.pmap import pmap_clear_modify
from vmsmp.vm.vm_map import vm_map_remove
from vmsmp.vm.vm_object import (
    MADV_DONTNEED,
    MADV_FREE,
    MADV_WILLNEED,
    OBJ_ONEMAPPING,
    vm_object_allocate,
    vm_object_clear_flag,
    vm_object_coalesce,
    vm_object_deallocate,
    vm_object_drop,
    vm_object_hold,
    vm_object_hold_shared,
    vm_object_madvise,
    vm_object_page_remove,
    vm_object_reference_quick,
)
from vmsmp.vm.vm_page import (
    PAGE_SIZE,
    VM_ALLOC_NORMAL,
    VM_ALLOC_NULL_OK,
    vm_page_alloc,
    vm_page_busy_try,
    vm_page_busy_wait,
    vm_page_dirty,
    vm_page_free,
    vm_page_lookup,
    vm_page_lookup_busy_wait,
    vm_page_lookup_sbusy_try,
    vm_page_sbusy_drop,
    vm_page_undirty,
    vm_page_unwire,
    vm_page_wakeup,
    vm_page_wire,
    vm_page_zero_invalid,
)


def _owner(m, obj, first, count):
    """Busy one of these pages for a while."""
    vm_object_hold(obj)
    page = vm_page_lookup_busy_wait(obj, first + m.choose(count), True)
    vm_object_drop(obj)
    if page is not None:
        m.yield_()
        vm_page_wakeup(page)


def _indexes(obj):
    return sorted(obj.peek("rb_memq"))


@scenario(cpus=3, tags={"object", "remove", "lookup"})
def truncation_against_lookups(m):
    """An object is truncated while others look its pages up and busy them: none of the range is left."""
    vm = m.boot(pages=8, l2_size=1, object_hash=1, scan_yield=1)
    obj = vm_object_allocate(vm, 4)
    idle_pages(vm, obj, range(3))

    def truncater():
        vm_object_page_remove(obj, 1, 0, False)
        m.check(_indexes(obj) == [0], "no page of a range that was removed is left")

    def reader():
        pindex = m.choose(3)
        vm_object_hold_shared(obj)
        page = vm_page_lookup_sbusy_try(obj, pindex)
        vm_object_drop(obj)
        if page is not None:
            m.check(page.object is obj and page.pindex == pindex, "a page that is read stays where it is")
            vm_page_sbusy_drop(page)

    m.spawn(truncater)
    for n in range(m.ncpus - 1):
        m.spawn(*(reader,) if n % 2 else (_owner, m, obj, 1, 2))
    m.join()
    vm_object_deallocate(obj)


@scenario(cpus=3, tags={"object", "remove", "alloc"})
def truncation_against_insertions(m):
    """An object is truncated repeatedly while others insert pages: every page is in it, or free."""
    vm = m.boot(pages=6, l2_size=1, object_hash=1, scan_yield=1)
    obj = vm_object_allocate(vm, 4)
    idle_pages(vm, obj, range(2))

    def truncater():
        for first in m.rounds(2):
            vm_object_page_remove(obj, first, 4, False)

    def inserter():
        for _ in m.rounds(2):
            vm_object_hold(obj)
            page = vm_page_alloc(vm, obj, m.choose(4), VM_ALLOC_NORMAL | VM_ALLOC_NULL_OK)
            vm_object_drop(obj)
            if page is not None:
                vm_page_zero_invalid(page)
                m.check(page.object is obj, "a busied page stays in its object")
                vm_page_wakeup(page)

    m.spawn(truncater)
    for _ in range(m.ncpus - 1):
        m.spawn(inserter)
    m.join()
    vm_object_deallocate(obj)


@scenario(cpus=3, tags={"object", "remove", "wire"})
def truncation_against_wiring(m):
    """An object is truncated while pages of it are wired: those stay, invalid, and are freed when unwired."""
    vm = m.boot(pages=6, l2_size=1, object_hash=1)
    obj = vm_object_allocate(vm, 2)
    pages = idle_pages(vm, obj, range(2))

    def truncater():
        vm_object_page_remove(obj, 0, 0, False)

    def wirer():
        page = pages[m.choose(2)]
        if vm_page_busy_try(page, True):
            return
        if page.object is not obj:
            vm_page_wakeup(page)
            return
        vm_page_wire(page)
        vm_page_wakeup(page)
        m.yield_()
        m.check(page.peek("object") is obj, "a wired page stays in its object")
        vm_page_busy_wait(page, True)
        vm_page_unwire(page, True)
        if page.valid or page.wire_count.load():
            vm_page_wakeup(page)
        else:
            vm_page_free(page)

    m.spawn(truncater)
    for _ in range(m.ncpus - 1):
        m.spawn(wirer)
    m.join()
    vm_object_deallocate(obj)


@scenario(cpus=3, tags={"object", "remove", "pmap"})
def removal_spares_what_is_stored(m):
    """The clean pages of an object are removed while processes store to them: no store is lost.

    A removal unmaps the range first, and a page may be mapped again before it has it busied.  The file system
    has written the page since the fault: it is clean, and still mapped writeable.
    """
    vm = m.boot(pages=8 + m.ncpus, l2_size=1)
    obj = vm_object_allocate(vm, m.ncpus)
    pages = idle_pages(vm, obj, range(m.ncpus - 1))
    space = Space(vm, obj, m.ncpus).with_tables()
    kept = m.atomic(0, name="kept")

    def remover():
        vm_object_page_remove(obj, 0, 0, True)

    def process(n):
        page = pages[n]
        with space.locked():
            vm_page_busy_wait(page, True)
            if page.object is obj:
                space.enter(page, n)
                pmap_clear_modify(page)
                vm_page_undirty(page)
            vm_page_wakeup(page)
        if space.store(n):
            kept.setbits(1 << n)
            if m.choose(2):
                space.remove(n)

    m.spawn(remover)
    for n in range(m.ncpus - 1):
        m.spawn(process, n)
    m.join()
    for n, page in enumerate(pages):
        if kept.peek() & 1 << n:
            m.check(page.peek("object") is obj, "a page that was stored to is not removed as a clean one")
            m.check(is_dirty(page), "and it is known to be dirty")
    space.end()
    vm_object_deallocate(obj)


@scenario(cpus=3, tags={"object", "madvise", "busy"})
def useless_against_fork(m):
    """A process gives MADV_FREE advice while it forks: memory that is shared by then is not discarded."""
    vm = m.boot(pages=6, l2_size=1, object_hash=1)
    obj = vm_object_allocate(vm, 2)
    pages = idle_pages(vm, obj, range(2))
    for page in pages:
        vm_page_busy_wait(page, True)
        vm_page_dirty(page)
        vm_page_wakeup(page)
    shared = []

    def discarder():
        vm_object_madvise(obj, 0, 2, MADV_FREE)

    def forker():
        for page in pages:
            vm_page_busy_wait(page, True)
        vm_object_hold_shared(obj)
        vm_object_clear_flag(obj, OBJ_ONEMAPPING)
        shared.extend(page for page in pages if page.hint("dirty"))
        vm_object_drop(obj)
        for page in pages:
            vm_page_wakeup(page)

    for n in range(m.ncpus):
        m.spawn(*((discarder,), (forker,), (_owner, m, obj, 0, 2))[min(n, 2)])
    m.join()
    m.check(all(page.peek("dirty") for page in shared), "memory that others share is not discarded")
    vm_object_deallocate(obj)


@scenario(cpus=3, tags={"object", "madvise", "busy"})
def advice_against_users(m):
    """All kinds of advice are given on pages that are busied, written to, mapped and freed."""
    vm = m.boot(pages=10, l2_size=1, object_hash=1)
    obj = vm_object_allocate(vm, 3)
    pages = idle_pages(vm, obj, range(2))
    space = Space(vm, obj, 3, reference=False)  # the only mapping, so that contents may be discarded
    write_fault(space, pages[0])

    def adviser():
        for _ in m.rounds(2):
            vm_object_madvise(obj, 0, 3, (MADV_WILLNEED, MADV_DONTNEED, MADV_FREE)[m.choose(3)])

    def user():
        way = m.choose(3)
        if way == 0:
            space.store(0)
        elif way == 1:
            _owner(m, obj, 0, 2)
        elif not vm_page_busy_try(pages[1], True):
            if pages[1].object is obj:
                vm_page_free(pages[1])
            else:
                vm_page_wakeup(pages[1])

    m.spawn(adviser)
    for _ in range(m.ncpus - 1):
        m.spawn(user)
    m.join()
    space.end()


@scenario(cpus=3, tags={"object", "coalesce", "busy"})
def growing_over_stale_pages(m):
    """An object grows over a range with pages that others have busied: none of them reappears."""
    vm = m.boot(pages=8, l2_size=1, object_hash=1)
    obj = vm_object_allocate(vm, 4)
    idle_pages(vm, obj, range(4))

    def grower():
        grown = vm_object_coalesce(obj, 0, 2 * PAGE_SIZE, 3 * PAGE_SIZE)
        m.check(grown, "an object with one reference may grow")
        m.check(_indexes(obj) == [0, 1], "nothing is in the range that an object has grown over")
        m.check(obj.peek("size") == 5, "it is as large as it was asked to be")

    m.spawn(grower)
    for _ in range(m.ncpus - 1):
        m.spawn(_owner, m, obj, 2, 2)
    m.join()
    vm_object_deallocate(obj)


@scenario(cpus=3, tags={"object", "coalesce", "reference"})
def growing_against_others(m):
    """An object grows for one user while another uses the range behind, until that drops its reference."""
    vm = m.boot(pages=8, l2_size=1, object_hash=1)
    obj = vm_object_allocate(vm, 4)
    idle_pages(vm, obj, [0, 3])
    for _ in range(m.ncpus - 1):
        vm_object_reference_quick(obj)

    def grower():
        vm_object_coalesce(obj, 0, 2 * PAGE_SIZE, 2 * PAGE_SIZE)
        vm_object_deallocate(obj)

    def other():
        for _ in m.rounds(2):
            vm_object_hold_shared(obj)
            m.check(vm_page_lookup(obj, 3) is not None, "a range that somebody uses is not grown over")
            vm_object_drop(obj)
        vm_object_deallocate(obj)

    for n in range(m.ncpus):
        m.spawn(other if n else grower)
    m.join()
    m.check(obj.freed, "the last reference ends it")


@scenario(cpus=3, tags={"object", "backing", "remove", "pmap"})
def removal_against_unmapping(m):
    """Pages of an object are removed while address spaces that map them unmap and map them again."""
    vm = m.boot(pages=6 + 4 * max(1, m.ncpus - 1), l2_size=1, object_hash=1)
    obj = vm_object_allocate(vm, 2)
    pages = idle_pages(vm, obj, range(2))
    spaces = [Space(vm, obj) for _ in range(m.ncpus - 1)]
    for space in spaces:
        write_fault(space, pages[1])

    def unmapper(space):
        for _ in m.rounds(2):
            map = space.vmspace.vm_map
            vm_map_remove(map, map.min_addr, map.max_addr)
            m.yield_()
            space.entry = space.map(obj, 0, 2)

    def remover():
        vm_object_page_remove(obj, 1, 2, False)
        m.check(not mappings(pages[1]), "a page that is removed is mapped by nobody")

    m.spawn(remover)
    for space in spaces:
        m.spawn(unmapper, space)
    m.join()
    for space in spaces:
        space.end()
    m.check(not obj.peek("backing_list"), "no backing is left")
    vm_object_deallocate(obj)
