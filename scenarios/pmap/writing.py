"""Processes load and store through page tables that others change: every store makes its page dirty."""

from vmsmp import scenario
from vmsmp.mmu.entry import PG_M
from vmsmp.scenarios._kit import Space, at, idle_pages, touch
from vmsmp.vm.pmap import (
    pmap_is_modified,
    pmap_page_protect,
    pmap_protect,
    pmap_pte,
    pmap_ts_referenced,
    pmap_unwire,
)
from vmsmp.vm.vm_map import VM_PROT_NONE, VM_PROT_READ
from vmsmp.vm.vm_object import vm_object_allocate
from vmsmp.vm.vm_page import (
    vm_page_busy_wait,
    vm_page_dirty,
    vm_page_undirty,
    vm_page_wakeup,
)


def _space(m, pages=1, wired=False):
    """A machine with an address space whose pages are mapped writeable, and the pages."""
    vm = m.boot(pages=20, l2_size=1)
    obj = vm_object_allocate(vm, pages)
    found = idle_pages(vm, obj, range(pages))
    space = Space(vm, obj, pages)
    for n, page in enumerate(found):
        space.fault(page, n, wired=wired)
    return vm, space, found


def _modified(space, page, n=0):
    """Whether the page's dirty bits or its entry say that it was written to."""
    pte = pmap_pte(space.pmap, at(n))
    return bool(page.peek("dirty") or (pte is not None and pte.peek() & PG_M))


@scenario(cpus=2, tags={"pmap"}, fixed=True)
def store_against_reclaim(m):
    """A process stores to its page and unmaps it, while another CPU tests whether the page is clean."""
    vm, space, (page,) = _space(m)
    stored = m.atomic(0, name="stored")
    thrown = m.atomic(0, name="thrown away")

    def process():
        space.load(vm)
        if touch(m.curcpu.store, at(0), "written"):
            stored.store(1)
        space.remove()

    def reclaimer():
        vm_page_busy_wait(page, True)
        if pmap_is_modified(page):
            vm_page_dirty(page)
        pmap_page_protect(page, VM_PROT_NONE)
        if not page.dirty:
            thrown.store(1)
        vm_page_wakeup(page)

    m.spawn(process, name="process")
    m.spawn(reclaimer, name="reclaimer")
    m.join()
    m.check(not (stored.load() and thrown.load()), "what was written is not thrown away")
    space.end()


@scenario(cpus=2, tags={"pmap"}, fixed=True)
def store_against_cleaning(m):
    """A page is made read-only and clean while a process stores to it: later stores make it dirty again."""
    vm, space, (page,) = _space(m)
    stored = m.atomic(0, name="stored")

    def process():
        space.load(vm)
        if touch(m.curcpu.store, at(0), "written"):
            stored.store(1)

    def cleaner():
        vm_page_busy_wait(page, True)
        pmap_page_protect(page, VM_PROT_READ)
        before = vm.memory.load(page.phys)
        vm_page_undirty(page)
        vm_page_wakeup(page)
        m.check(vm.memory.load(page.phys) == before, "what was cleaned is what is there")

    m.spawn(process, name="process")
    m.spawn(cleaner, name="cleaner")
    m.join()
    m.check(stored.load() in (0, 1), "the process came to its end")
    space.end()


@scenario(cpus=2, tags={"pmap"}, fixed=True)
def store_against_protection(m):
    """A process stores to pages whose range another thread protects: each page becomes dirty."""
    vm, space, pages = _space(m, 2)
    stored = [m.atomic(0, name=f"stored to {n}") for n in range(2)]

    def process():
        space.load(vm)
        for n in range(2):
            if touch(m.curcpu.store, at(n), "written"):
                stored[n].store(1)

    m.spawn(process, name="process")
    m.spawn(pmap_protect, space.pmap, at(0), at(2), VM_PROT_READ, name="protector")
    m.join()
    for n, page in enumerate(pages):
        m.check(not stored[n].load() or _modified(space, page, n), "a page that was written to knows it")
    space.end()


@scenario(cpus=2, tags={"pmap"}, fixed=True)
def store_against_aging(m):
    """A process stores to a wired page while others clear its accessed bit, and unwire it."""
    vm, space, (page,) = _space(m, wired=True)
    stored = m.atomic(0, name="stored")

    def process():
        space.load(vm)
        if touch(m.curcpu.store, at(0), "written"):
            stored.store(1)

    def pager():
        pmap_unwire(space.pmap, at(0))
        vm_page_busy_wait(page, True)
        pmap_ts_referenced(page)
        vm_page_wakeup(page)

    m.spawn(process, name="process")
    m.spawn(pager, name="pager")
    m.join()
    m.check(not stored.load() or _modified(space, page), "a page that was written to knows it")
    space.end()


@scenario(cpus=2, tags={"pmap"}, fixed=True)
def replaced_page(m):
    """A page is replaced, as by a fault that copies it: afterwards no thread sees the old page."""
    vm, space, (old, new) = _space(m, 2)
    for page, text in ((old, "old"), (new, "new")):
        vm.memory.store(page.phys, 0, text)
    replaced = m.atomic(0, name="replaced")

    def thread():
        space.load(vm)
        m.spawn(copier, name="copier")
        for _ in range(2):
            known = replaced.load()
            seen = m.curcpu.load(at(0))
            m.check(not known or seen == "new", "a thread that knows of the new page sees it")

    def copier():
        space.load(vm)
        space.fault(new, 0)
        replaced.store(1)

    m.spawn(thread, name="thread")
    m.join()
    space.end()
