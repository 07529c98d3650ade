"""A page holds what its owner wrote, as long as any CPU reads, holds or wires it."""

from vmsmp import scenario
from vmsmp.scenarios._kit import active_page, no_stale_holds
from vmsmp.vm.vm_object import (
    vm_object_allocate,
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
    vm_page_dirty,
    vm_page_free,
    vm_page_hold,
    vm_page_lookup_busy_wait,
    vm_page_lookup_sbusy_try,
    vm_page_sbusy_drop,
    vm_page_try_to_free,
    vm_page_undirty,
    vm_page_unhold,
    vm_page_wakeup,
)


class Contents:
    """The memory of all pages: a cell for each that holds the name of its owner, and one for a number."""

    def __init__(self, m, vm):
        kept = "whoever holds a page may read while its owner writes, and finds the owner's name all the same"
        pages = [page.phys for page in vm.page.vm_page_array]
        self.owners = {n: m.cell(None, name=f"owner[{n}]", sloppy=kept) for n in pages}
        self.numbers = {n: m.cell(0, name=f"number[{n}]") for n in pages}
        self.count = 0

    def write(self, page, owner):
        """Write something new; needs the page hard-busied."""
        self.count += 1
        self.owners[page.phys].store(owner)
        self.numbers[page.phys].store(self.count)

    def owner(self, page):
        """Who wrote it; needs the page held, or busied."""
        return self.owners[page.phys].load()

    def number(self, page):
        """What was written; needs the page busied."""
        return self.numbers[page.phys].load()


@scenario(cpus=4, tags={"page", "alloc", "hold", "busy"})
def contents_stay(m):
    """Pages are written, read, held, freed and reused by others: no CPU reads what another owner wrote."""
    vm = m.boot(pages=3, l2_size=1)
    contents = Contents(m, vm)
    obj = vm_object_allocate(vm, 2)
    pages = [active_page(vm, obj, n) for n in range(2)]
    for pindex, page in enumerate(pages):
        contents.write(page, pindex)

    def reader():
        pindex = m.choose(2)
        vm_object_hold_shared(obj)
        page = vm_page_lookup_sbusy_try(obj, pindex)
        vm_object_drop(obj)
        if page is not None:
            first = contents.number(page)
            m.check(contents.owner(page) == pindex, "what is read was written for that index")
            m.check(contents.number(page) == first, "nobody writes while others read")
            vm_page_sbusy_drop(page)

    def writer():
        pindex = m.choose(2)
        vm_object_hold(obj)
        page = vm_page_lookup_busy_wait(obj, pindex, True)
        vm_object_drop(obj)
        if page is not None:
            contents.write(page, pindex)
            vm_page_dirty(page)
            vm_page_activate(page)
            m.check(contents.owner(page) == pindex, "what was written stays while the page is busy")
            vm_page_undirty(page)  # as if it had gone to disk
            vm_page_wakeup(page)

    def holder():
        page = pages[m.choose(2)]
        if vm_page_busy_try(page, False):
            return
        if page.object is not obj:
            vm_page_wakeup(page)
            return
        pindex = page.pindex
        vm_page_hold(page)
        vm_page_wakeup(page)
        for _ in m.rounds(2):
            m.check(contents.owner(page) == pindex, "a page that is held is not used for anything else")
        vm_page_unhold(page)

    def reclaimer():
        vm_page_try_to_free(pages[m.choose(2)])
        page = vm_page_alloc(vm, None, 9, VM_ALLOC_NORMAL | VM_ALLOC_SYSTEM)
        if page is not None:
            contents.write(page, "other")
            m.check(contents.owner(page) == "other", "an allocated page is its owner's alone")
            vm_page_free(page)

    for n in range(m.ncpus):
        m.spawn((reader, reclaimer, holder, writer)[n % 4])
    m.join()
    no_stale_holds(m, vm)
