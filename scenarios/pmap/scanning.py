"""Scans of ranges and of backings, against each other and against threads that map pages."""

from vmsmp import scenario
from vmsmp.scenarios._kit import Space, at, idle_pages
from vmsmp.vm.pmap import (
    PmapPgscanInfo,
    pmap_page_protect,
    pmap_pgscan,
    pmap_pte,
    pmap_remove_specific,
)
from vmsmp.vm.vm_map import VM_PROT_NONE, VM_PROT_READ
from vmsmp.vm.vm_object import vm_object_allocate
from vmsmp.vm.vm_page import PG_MAPPEDMULTI, vm_page_busy_wait, vm_page_flag_set, vm_page_wakeup


def _space(m, pages=2):
    """A machine with an address space, and an object of idle pages that are not mapped yet."""
    vm = m.boot(pages=20, l2_size=1)
    obj = vm_object_allocate(vm, pages)
    found = idle_pages(vm, obj, range(pages))
    return vm, Space(vm, obj, pages), found


@scenario(cpus=2, tags={"pmap"}, fixed=True)
def enter_against_range(m):
    """A thread maps pages of a range that another one unmaps: neither waits holding what the other wants."""
    _, space, pages = _space(m)
    space.fault(pages[0], 0)

    def thread():
        for n, page in enumerate(pages):
            space.fault(page, n)

    m.spawn(thread, name="thread")
    m.spawn(space.remove, 0, 2, name="unmapper")
    m.join()
    space.end()


@scenario(cpus=2, tags={"pmap"}, fixed=True)
def two_ranges(m):
    """Two threads unmap overlapping ranges: each entry is removed once."""
    _, space, pages = _space(m, 3)
    for n, page in enumerate(pages):
        space.fault(page, n)
    m.spawn(space.remove, 0, 2, name="first")
    m.spawn(space.remove, 1, 2, name="second")
    m.join()
    m.check(space.pmap.peek("resident_count") == 4, "the table pages are left")
    space.end()


@scenario(cpus=2, tags={"pmap"}, fixed=True)
def limit_of_resident_pages(m):
    """The pages of an address space are unmapped one by one for its limit, while its thread maps some."""
    _, space, pages = _space(m)
    for n, page in enumerate(pages):
        space.fault(page, n)

    def take(_info, _va, page):
        pmap_remove_specific(space.pmap, page)
        vm_page_wakeup(page)
        return 0

    def thread():
        space.remove()
        space.fault(pages[0], 0)

    info = PmapPgscanInfo(space.pmap, at(0), at(2), take)
    m.spawn(pmap_pgscan, info, name="limiter")
    m.spawn(thread, name="thread")
    m.join()
    m.check(info.offset == at(2), "the scan came to its end")
    space.end()


@scenario(cpus=2, tags={"pmap"}, fixed=True)
def shadowed_page(m):
    """A page is unmapped everywhere, while the page in front of it in the chain is mapped instead."""
    vm, space, (hidden,) = _space(m, 1)
    page = space.shadow(vm)
    space.fault(hidden, 0, VM_PROT_READ)
    vm_page_flag_set(hidden, PG_MAPPEDMULTI)  # as if it were mapped elsewhere, too

    def reclaimer():
        vm_page_busy_wait(hidden, True)
        pmap_page_protect(hidden, VM_PROT_NONE)
        vm_page_wakeup(hidden)

    m.spawn(reclaimer, name="reclaimer")
    m.spawn(space.fault, page, 0, name="thread")
    m.join()
    pte = pmap_pte(space.pmap, at(0))
    m.check(pte is not None and pte.load() != 0, "the page that stands before is mapped still")
    space.end()
