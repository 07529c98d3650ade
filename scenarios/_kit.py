"""Helpers for scenarios: pages in a given state, address spaces, memory limits, words that must agree.

The builders run on the boot CPU before the others are spawned.
"""

from contextlib import contextmanager

from vmsmp.mmu.entry import PG_M, PG_V, frame_of
from vmsmp.mmu.fault import PageFault
from vmsmp.sync.thread import curthread
from vmsmp.vm.pmap import (
    pmap_allocpte,
    pmap_enter,
    pmap_maybethreaded,
    pmap_pt_pindex,
    pmap_remove,
    pmap_replacevm,
    pv_put,
)
from vmsmp.vm.vm_map import (
    KERN_FAILURE,
    KERN_SUCCESS,
    VM_PROT_ALL,
    VM_PROT_RW,
    VM_SUBSYS_MMAP,
    Mapping,
    vm_map_entry_shadow,
    vm_map_find,
    vm_map_lock,
    vm_map_lock_read,
    vm_map_unlock,
    vmspace_alloc,
    vmspace_rel,
)
from vmsmp.vm.vm_object import (
    OBJ_DEAD,
    OBJ_MIGHTBEDIRTY,
    OBJ_WRITEABLE,
    OBJPC_SYNC,
    vm_object_deallocate,
    vm_object_drop,
    vm_object_hold,
    vm_object_page_clean,
    vm_object_reference_quick,
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
from vmsmp.vm.vnode import getnewvnode, vn_lock, vn_unlock, vput
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
    """Reclaim the vnode, and drop the reference to it."""
    vn_lock(vp)
    vclean_vxlocked(vp)
    vput(vp)


def forget_file(vp, obj):
    """Drop the reference to the file's object, and reclaim the vnode."""
    vm_object_deallocate(obj)
    end_of_file(vp)


def sync(vp, obj, flags=OBJPC_SYNC, part=(0, 0)):
    """Write the dirty pages of a file, or of a part of it, out with the vnode locked, as fsync does."""
    vn_lock(vp)
    vm_object_page_clean(obj, *part, flags)
    vn_unlock(vp)


#: The address where address spaces begin: at a table's first entries, so that ranges are short.
BASE = 0x10000


def repaired(m, name):
    """Whether the finding with that repair is repaired in this run; what is right may depend on it."""
    return name in m.options.repairs


def at(page):
    """The address of a page of an address space."""
    return BASE + page * PAGE_SIZE


def run_in(vm, vmspace):
    """Make the running CPU a thread of a process with that address space."""
    gd = vm.mycpu()
    if gd.lwp.lwp_vmspace is not vmspace:
        pmap_replacevm(gd.proc, vmspace, adjrefs=False)


def leave(vm):
    """Make the running CPU a kernel thread again, as after the end of the thread that it ran."""
    vm.switch.retire(curthread(vm.machine))


def give_back(vmspace):
    """Drop a reference to an address space; the running CPU leaves it first, if it runs in it."""
    vm = vmspace.vm
    gd = vm.mycpu()
    if gd.lwp.lwp_vmspace is vmspace:
        leave(vm)
        gd.proc.publish("p_vmspace", None)
    vmspace_rel(vmspace)


def make_tables(pmap, va):
    """Make the page tables of an address, so that mapping a page there later allocates nothing."""
    pv_put(pmap_allocpte(pmap, pmap_pt_pindex(va)))


def contents(page):
    """The value at the beginning of a page, read invisibly."""
    return page.vm.memory.peek(page.phys)


def busied(page, deed, *args):
    """Call `deed(page, *args)` with the page hard-busied by this CPU."""
    vm_page_busy_wait(page, True)
    deed(page, *args)
    vm_page_wakeup(page)


def queue_of(page):
    """The kind of queue that a page is on, read invisibly."""
    return page.vm.page.queue_type(page.raw_queue)


def touch(access, *args):
    """Access memory; return whether that was allowed."""
    try:
        access(*args)
    except PageFault:
        return False
    return True


def mappings(page, bits=PG_V):
    """How many entries of page tables name the page and have one of these bits, read invisibly."""
    return sum(
        bool(pte & PG_V and frame_of(pte) == page.phys and pte & bits)
        for _, _, pte in page.vm.memory.entries()
    )


def is_dirty(page):
    """Whether the page's dirty bits or an entry say that it was written to, read invisibly."""
    return bool(page.peek("dirty") or mappings(page, PG_M))


class Space:
    """An address space with an object mapped from its first page on, without a fault handler.

    Pages are mapped and unmapped by hand, and a forbidden access fails.  Several threads may run in it.  It
    takes over the caller's reference to the object, or with `reference` takes one of its own.
    """

    def __init__(self, vm, obj, pages=2, *, reference=True):
        vm.mmu.trap = None
        vm.map.fault = lambda *_: KERN_FAILURE
        self.vm = vm
        self.pages = pages
        self.vmspace = vmspace_alloc(vm, BASE, at(64))
        self.pmap = self.vmspace.vm_pmap
        pmap_maybethreaded(self.pmap)
        self.entry = self.map(obj, 0, pages, reference=reference)

    def map(self, obj, page, pages, offset=0, *, reference=True):
        """Map pages of an object from `page` on, and return the entry."""
        if reference:
            vm_object_reference_quick(obj)
        what = Mapping(
            object=obj, offset=offset * PAGE_SIZE, prot=VM_PROT_RW, max=VM_PROT_ALL, id=VM_SUBSYS_MMAP
        )
        rv, _ = vm_map_find(self.vmspace.vm_map, at(page), pages * PAGE_SIZE, PAGE_SIZE, False, what)
        assert rv == KERN_SUCCESS
        return self.vmspace.vm_map.raw_rb_root.at_or_before(at(page))

    def with_tables(self):
        """Make the page tables now; return the space."""
        make_tables(self.pmap, BASE)
        return self

    def shadow(self, vm):
        """Put an object of its own in front of the mapped one, and return an idle page of it."""
        map = self.vmspace.vm_map
        vm_map_lock(map)
        vm_map_entry_shadow(self.entry)
        vm_map_unlock(map)
        return idle_pages(vm, self.entry.ba.raw_object, [0])[0]

    def load(self, vm):
        """Make the running CPU run in it."""
        run_in(vm, self.vmspace)

    def store(self, page, value="stored"):
        """Store to a page as a process that runs in it; return whether that was allowed."""
        self.load(self.vm)
        return touch(self.vm.machine.curcpu.store, at(page), value)

    @contextmanager
    def locked(self):
        """Lock the map as a fault does."""
        vm_map_lock_read(self.vmspace.vm_map)
        yield
        vm_map_unlock(self.vmspace.vm_map)

    def enter(self, m, page, prot=VM_PROT_RW, wired=False):
        """Map a page; the caller has it busied, and the map locked."""
        pmap_enter(self.pmap, at(page), m, prot, wired, self.entry)

    def fault(self, m, page, prot=VM_PROT_RW, wired=False):
        """Map a page as a fault does, which busies it; return False if it is no longer in its object."""
        with self.locked():
            vm_page_busy_wait(m, True)
            there = m.object is not None
            if there:
                self.enter(m, page, prot, wired)
            vm_page_wakeup(m)
        return there

    def remove(self, page=0, pages=1):
        """Unmap pages."""
        pmap_remove(self.pmap, at(page), at(page + pages))

    def end(self):
        """Drop it, with its mappings and page tables.  No CPU may run in it."""
        give_back(self.vmspace)


def write_fault(space, page):
    """Map the page writeable for a write, as a fault that has it busied does."""
    with space.locked():
        vm_page_busy_wait(page, True)
        vm_page_activate(page)
        vm_object_set_writeable_dirty(page.object)
        vm_page_dirty(page)
        space.enter(page, page.pindex)
        vm_page_wakeup(page)


def bypass_write(space, obj, page):
    """Map the page writeable, as a fault that bypasses the object's locks does; return whether it could."""
    with space.locked():
        return _bypass(space, obj, page)


def _bypass(space, obj, page):
    if vm_page_sbusy_try(page):
        return False
    both = OBJ_WRITEABLE | OBJ_MIGHTBEDIRTY
    found = (
        page.object is obj
        and not obj.flags.bits(OBJ_DEAD)
        and page.valid == VM_PAGE_BITS_ALL
        and page.queue_base() == page.vm.page.PQ_ACTIVE
        and not page.flags.bits(PG_SWAPPED)
        and obj.flags.load() & both == both
        and page.hint("dirty") == VM_PAGE_BITS_ALL
    )
    if found:
        space.enter(page, page.pindex)
    vm_page_sbusy_drop(page)
    return found


def enter_hash(page):
    """Enter the page into the page hash."""
    vm_page_busy_wait(page, True)
    vm_page_hash_enter(page)
    vm_page_wakeup(page)


def take_pages(vm, count, request=VM_ALLOC_NORMAL):
    """Allocate that many pages, so that no CPU gets them; free them with `give_pages`."""
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
