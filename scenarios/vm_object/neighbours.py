"""Pages of one object with different owners, in memory or in swap: they hold what their owner wrote."""

from vmsmp import scenario
from vmsmp.vm.vm_object import (
    MADV_DONTNEED,
    MADV_FREE,
    MADV_WILLNEED,
    OBJPC_SYNC,
    OBJPC_TRY_TO_CACHE,
    vm_object_allocate,
    vm_object_deallocate,
    vm_object_drop,
    vm_object_hold,
    vm_object_madvise,
    vm_object_page_remove,
    vm_object_pip_add,
    vm_object_pip_wakeup,
)
from vmsmp.vm.vm_page import (
    VM_ALLOC_NORMAL,
    VM_ALLOC_RETRY,
    VM_ALLOC_ZERO,
    vm_page_activate,
    vm_page_alloc,
    vm_page_dirty,
    vm_page_grab,
    vm_page_lookup_busy_wait,
    vm_page_unwire,
    vm_page_wakeup,
    vm_page_wire,
)
from vmsmp.vm.vm_pageout import vm_pageout_flush
from vmsmp.vm.vm_pager import VM_PAGER_OK, vm_pager_get_page, vm_pager_has_page

#: How many pages each CPU has.
OWN = 3


class Owned:
    """A page of an object: what it holds, in memory (`value`, None if it is not there) and in swap."""

    def __init__(self, m, obj, pindex):
        self.m, self.obj, self.pindex = m, obj, pindex
        self.value = self.swapped = None
        self.dirty = self.wired = False

    def busied(self):
        """Return the page, hard-busied, or None; check that it is resident if it should be."""
        vm_object_hold(self.obj)
        page = vm_page_lookup_busy_wait(self.obj, self.pindex, True)
        vm_object_drop(self.obj)
        self.m.check((page is not None) == (self.value is not None), "a page is there until it is removed")
        return page

    def brought(self):
        """Return the page, hard-busied; read it from swap, or make one of zeros, if there is none."""
        page = self.busied()
        if page is None and self.swapped is None:
            page = vm_page_grab(self.obj, self.pindex, VM_ALLOC_NORMAL | VM_ALLOC_RETRY | VM_ALLOC_ZERO)
            self.value = 0
        elif page is None:
            vm_object_hold(self.obj)
            page = vm_page_alloc(self.obj.vm, self.obj, self.pindex, VM_ALLOC_NORMAL)
            vm_object_pip_add(self.obj, 1)
            read = vm_pager_get_page(self.obj, page)
            vm_object_pip_wakeup(self.obj)
            vm_object_drop(self.obj)
            self.m.check(read == VM_PAGER_OK, "what is in swap can be read")
            self.value = self.swapped
        return page

    def check(self):
        page = self.busied()
        vm_object_hold(self.obj)
        has = bool(vm_pager_has_page(self.obj, self.pindex))
        vm_object_drop(self.obj)
        self.m.check(has == (self.swapped is not None), "swap has what was written there")
        if page is not None:
            held = page.vm.memory.load(page.phys) if page.valid else 0
            self.m.check(held == self.value, "a page holds what its owner left there")
            self.m.check(bool(page.hint("dirty")) == self.dirty, "it is dirty if it was written to")
            vm_page_wakeup(page)

    # -- one page -----------------------------------------------------------------------------------

    def read(self):
        vm_page_wakeup(self.brought())

    def write(self):
        page = self.brought()
        if page.valid:
            self.value = 1 + self.m.choose(1000)
            page.vm.memory.store(page.phys, 0, self.value)
            vm_page_activate(page)
            vm_page_dirty(page)
            self.dirty = True
        vm_page_wakeup(page)

    def write_out(self):
        page = self.busied()
        if page is None:
            return
        if not self.dirty:
            vm_page_wakeup(page)
            return
        vm_pageout_flush([page], OBJPC_SYNC | OBJPC_TRY_TO_CACHE * self.m.choose(2))
        self.swapped, self.dirty = self.value, False

    def wire(self):
        page = self.busied()
        if page is None:
            return
        if self.wired:
            vm_page_unwire(page, bool(self.m.choose(2)))
        else:
            vm_page_wire(page)
        self.wired = not self.wired
        vm_page_wakeup(page)

    # -- what becomes of it in a range ----------------------------------------------------------------

    def removed(self):
        self.swapped = None
        if not self.wired:
            self.value, self.dirty = None, False

    def evicted(self):
        if not self.dirty and not self.wired:
            self.value = None

    def advised(self, advice):
        if self.wired:
            return
        if advice == MADV_FREE:
            self.dirty, self.swapped = False, None
        page = self.busied()
        if page is not None:
            queue = page.vm.page.queue_type(page.peek("queue"))
            where = ("active",) if advice == MADV_WILLNEED else ("inactive", "cache")
            self.m.check(queue in where, "advice puts a page on the queue that it is about")
            used = page.hint("act_count")
            self.m.check(advice != MADV_FREE or used == 0, "a page of no use has no credit")
            vm_page_wakeup(page)


def _range(m, pages):
    first = m.choose(OWN)
    return pages[first : first + 1 + m.choose(OWN - first)]


def _remove(_m, obj, pages):
    """Remove the pages that are not wired; wired ones would stay, and become invalid."""
    if not any(page.wired for page in pages):
        vm_object_page_remove(obj, pages[0].pindex, pages[-1].pindex + 1, False)
        for page in pages:
            page.removed()


def _evict(_m, obj, pages):
    vm_object_page_remove(obj, pages[0].pindex, pages[-1].pindex + 1, True)
    for page in pages:
        page.evicted()


def _advise(m, obj, pages):
    advice = (MADV_FREE, MADV_DONTNEED, MADV_WILLNEED)[m.choose(3)]
    vm_object_madvise(obj, pages[0].pindex, len(pages), advice)
    for page in pages:
        page.advised(advice)


PAGE = (Owned.read, Owned.write, Owned.write, Owned.write, Owned.write_out, Owned.write_out, Owned.wire)
RANGE = (_remove, _evict, _evict, _advise)


@scenario(cpus=2, tags={"object", "remove", "madvise", "io"}, pages=None)
def object_of_owners(m):
    """Each CPU has pages of its own of an object, and moves, removes and reads them: none touches others."""
    vm = m.boot(pages=OWN * m.ncpus + 2, l2_size=1, object_hash=1)
    vm.sysctl["vm.swap_user_async"] = 0
    vm.page.dnweight.store(0x10)  # so that vm_page_dontneed deactivates at once
    objects = [vm_object_allocate(vm, 2 * OWN) for _ in range((m.ncpus + 1) // 2)]

    def owner(n):
        obj = objects[n // 2]
        pages = [Owned(m, obj, n % 2 * OWN + k) for k in range(OWN)]
        for _ in m.rounds(4):
            page = pages[m.choose(OWN)]
            for _ in range(2):
                PAGE[m.choose(len(PAGE))](page)
            RANGE[m.choose(len(RANGE))](m, obj, _range(m, pages))
            for page in pages:
                page.check()
        for page in pages:
            if page.wired:
                page.wire()

    for n in range(m.ncpus):
        m.spawn(owner, n)
    m.join()
    for obj in objects:
        vm_object_deallocate(obj)
    m.check(vm.pager.vm_swap_size == vm.pager.vm_swap_max, "an object that is gone has no swap")
