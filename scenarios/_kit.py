"""Helpers for scenarios: pages in a given state, memory limits, words that must agree.

The builders run on the boot CPU before the others are spawned.
"""

from vmsmp.vm.page_entry import VM_PROT_READ, VM_PROT_WRITE, pmap_enter
from vmsmp.vm.vm_object import (
    OBJ_DEAD,
    OBJ_MIGHTBEDIRTY,
    OBJ_WRITEABLE,
    vm_object_drop,
    vm_object_hold,
    vm_object_set_writeable_dirty,
)
from vmsmp.vm.vm_page import (
    PAGE_SIZE,
    PG_SWAPPED,
    VM_ALLOC_NORMAL,
    VM_ALLOC_SYSTEM,
    VM_PAGE_BITS_ALL,
    vm_page_activate,
    vm_page_alloc,
    vm_page_alloczwq,
    vm_page_busy_wait,
    vm_page_dirty,
    vm_page_flag_set,
    vm_page_free,
    vm_page_hash_enter,
    vm_page_sbusy_drop,
    vm_page_sbusy_try,
    vm_page_wakeup,
    vm_page_zero_invalid,
)
from vmsmp.vm.vm_pageout import vm_pageout_free_hold
from vmsmp.vm.vm_pager import vnode_pager_alloc
from vmsmp.vm.vnode import getnewvnode, vn_lock, vput
from vmsmp.vm.vnode_reclaim import vclean_vxlocked


def set_limits(vm, **limits):
    """Set these limits of the machine's memory; leave all others unchanged."""
    for name, value in limits.items():
        setattr(vm.meter.limits, name, value)
    return vm


def busied_page(vm, obj, pindex):
    """Return a valid page of the object, hard-busied and on no queue."""
    vm_object_hold(obj)
    page = vm_page_alloc(vm, obj, pindex, VM_ALLOC_NORMAL | VM_ALLOC_SYSTEM)
    vm_page_zero_invalid(page)
    vm_object_drop(obj)
    return page


def active_page(vm, obj, pindex):
    """Return a valid page of the object on its active queue."""
    page = busied_page(vm, obj, pindex)
    vm_page_activate(page)
    vm_page_wakeup(page)
    return page


def idle_pages(vm, obj, pindexes, flags=0):
    """Return valid pages of the object at these indexes, not busied and on no queue."""
    pages = []
    vm_object_hold(obj)
    for pindex in pindexes:
        page = vm_page_alloc(vm, obj, pindex, VM_ALLOC_NORMAL)
        vm_page_zero_invalid(page)
        if flags:
            vm_page_flag_set(page, flags)
        vm_page_wakeup(page)
        pages.append(page)
    vm_object_drop(obj)
    return pages


def file_object(vm, size, pindexes=()):
    """Return a new vnode and its object, with a reference to each, and valid pages at these indexes."""
    vp = getnewvnode(vm, "file")
    obj = vnode_pager_alloc(vp, size * PAGE_SIZE)
    idle_pages(vm, obj, pindexes)
    return vp, obj


def end_of_file(vp):
    """Reclaim the vnode, and give the reference back."""
    vn_lock(vp)
    vclean_vxlocked(vp)
    vput(vp)


def write_fault(page):
    """Map the page writeable for a process that writes to it, as a fault does that has it busied."""
    vm_page_busy_wait(page, True)
    vm_page_activate(page)
    vm_object_set_writeable_dirty(page.object)
    vm_page_dirty(page)
    pmap_enter(page, VM_PROT_READ | VM_PROT_WRITE)
    vm_page_wakeup(page)


def bypass_write(obj, page):
    """Map the page writeable as a fault does that bypasses the object's locks; return whether it could."""
    if vm_page_sbusy_try(page):
        return False
    both = OBJ_WRITEABLE | OBJ_MIGHTBEDIRTY
    found = (
        page.object is obj
        and not obj.flags.load() & OBJ_DEAD
        and page.valid == VM_PAGE_BITS_ALL
        and page.queue_base() == page.vm.page.PQ_ACTIVE
        and not page.flags.load() & PG_SWAPPED
        and obj.flags.load() & both == both
        and page.hint("dirty") == VM_PAGE_BITS_ALL
    )
    if found:
        pmap_enter(page, VM_PROT_READ | VM_PROT_WRITE)
    vm_page_sbusy_drop(page)
    return found


def enter_hash(page):
    """Enter the page into the page hash."""
    vm_page_busy_wait(page, True)
    vm_page_hash_enter(page)
    vm_page_wakeup(page)


def take_pages(vm, count, request=VM_ALLOC_NORMAL):
    """Allocate that many pages, out of reach of all CPUs; free them with `give_pages`."""
    return [vm_page_alloc(vm, None, n, request) for n in range(count)]


def give_pages(pages):
    """Free the pages that `take_pages` allocated."""
    for page in pages:
        vm_page_free(page)


def take_kernel_pages(vm, count):
    """Allocate that many wired kernel pages."""
    return [vm_page_alloczwq(vm, n, VM_ALLOC_NORMAL) for n in range(count)]


def no_stale_holds(m, vm):
    """Check that after a last sweep no unheld page is left on a hold queue."""
    vm_pageout_free_hold(vm)
    memory = vm.page
    stale = [
        page
        for page in memory.vm_page_array
        if memory.queue_type(page.queue) == "hold" and not page.peek("hold_count")
    ]
    m.check(not stale, "a sweep leaves no page on a hold queue that nobody holds")


class Pair:
    """Two words that are equal whenever their lock is free: they test exclusion without a checker."""

    def __init__(self, m):
        self.m = m
        self.left = m.cell(0, name="left")
        self.right = m.cell(0, name="right")

    def read(self):
        """Read both words; needs the lock, shared or exclusive."""
        self.m.check(self.left.load() == self.right.load(), "a reader sees both words or none")

    def write(self):
        """Change both words; needs the lock exclusive."""
        value = self.left.load() + 1
        self.left.store(value)
        self.right.store(value)
