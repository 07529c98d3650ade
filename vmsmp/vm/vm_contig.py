"""Contiguous memory from anywhere: a search through the page array, and the cleaning that makes room for it.

Models: sys/vm/vm_contig.c.
Locks: none held.  The search looks at pages without a lock, busies each page of a run that looks good, and
asks again.  Cleaning keeps its place in a queue with a marker, and locks a page and its queue for each step.
Oddities of the kernel are kept: if not even the first page of a run can be taken, the empty run is given
back, which panics; a run is looked at beyond the end of the array, which does, too; and cleaning a queue of
any colour but 0 cleans nothing, since its index is compared with the base of its type.
Deviations:
  * failed requests are not reported on the console.
  * there is one range of memory, so pages next to each other in the array are contiguous.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from vmsmp.vm.pmap.contents import pmap_zero_page
from vmsmp.vm.pmap.kernel import (
    pmap_invalidate_range,
    pmap_kenter_noinval,
    pmap_kextract,
    pmap_qremove,
)
from vmsmp.vm.vm_kern import kmem_alloc_pageable, kmem_free
from vmsmp.vm.vm_map.flags import M_NOWAIT, M_WAITOK, M_ZERO, VM_PROT_NONE, VM_SUBSYS_CONTIG
from vmsmp.vm.vm_object.clean import vm_object_page_clean
from vmsmp.vm.vm_object.hold import vm_object_drop, vm_object_hold
from vmsmp.vm.vm_object.object import ANONYMOUS, OBJPC_SYNC, OBJT_VNODE
from vmsmp.vm.vm_page.activity import vm_page_unqueue_nowakeup
from vmsmp.vm.vm_page.busy import vm_page_busy_try, vm_page_flag_clear, vm_page_wakeup
from vmsmp.vm.vm_page.contig import vm_page_alloc_contig, vm_page_free_contig
from vmsmp.vm.vm_page.flags import (
    PAGE_SIZE,
    PBUSY_LOCKED,
    PBUSY_MASK,
    PG_FICTITIOUS,
    PG_MAPPED,
    PG_MARKER,
    PG_NEED_COMMIT,
    PG_UNQUEUED,
    VM_PAGE_BITS_ALL,
)
from vmsmp.vm.vm_page.free import vm_page_cache, vm_page_free
from vmsmp.vm.vm_page.holding import vm_page_wire
from vmsmp.vm.vm_page.page import PHYS_TO_VM_PAGE, VM_PAGE_TO_PHYS, is_marker
from vmsmp.vm.vm_page.protect import vm_page_protect, vm_page_test_dirty
from vmsmp.vm.vm_page.queues import _vm_page_and_queue_spin_unlock, vm_page_and_queue_spin_lock
from vmsmp.vm.vm_page.tailq import TAILQ_INSERT_AFTER, TAILQ_INSERT_HEAD, TAILQ_REMOVE
from vmsmp.vm.vm_pageout.flush import vm_pageout_flush
from vmsmp.vm.vnode import vn_lock, vn_unlock

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_map.map import VmMap
    from vmsmp.vm.vm_object.object import VmObject
    from vmsmp.vm.vm_page.page import VmPage
    from vmsmp.vm.vnode import Vnode

#: The result of `vm_contig_pg_alloc` if there is no run.
NO_RUN: Final = -1
#: How often the array is searched; queues are cleaned after each time.
PASSES: Final = 3


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request: `size` bytes, from `low` on and below `high`, aligned and not crossing a boundary."""

    vm: VmSystem
    size: int
    low: int
    high: int
    alignment: int
    boundary: int

    @property
    def pages(self) -> int:
        return self.size // PAGE_SIZE

    def may_begin(self, pa: int) -> bool:
        """Return whether a run may begin at that address."""
        last = pa + self.size - 1
        return (
            self.low <= pa < self.high
            and not pa & self.alignment - 1
            and not (pa ^ last) & ~(self.boundary - 1)
        )


def vm_contig_pg_alloc(
    vm: VmSystem, size: int, low: int, high: int, alignment: int, boundary: int, mflags: int
) -> int:
    """Allocate `size` bytes of contiguous memory; return the index of the first page, or NO_RUN.

    Low memory is asked first.  The pages are wired, valid, in no object and not busied.
    Locks: none held.  Sleeps: to unmap a cached page or to take an object's token.
    """
    size = -(-size // PAGE_SIZE) * PAGE_SIZE
    if size == 0:
        vm.panic("vm_contig_pg_alloc: size must not be 0")
    if alignment & alignment - 1:
        vm.panic("vm_contig_pg_alloc: alignment must be a power of 2")
    if boundary & boundary - 1:
        vm.panic("vm_contig_pg_alloc: boundary must be a power of 2")
    m = vm_page_alloc_contig(vm, low, high, alignment, boundary, size)
    if m is not None:
        return m.phys
    wanted = Wanted(vm, size, low, high, alignment, boundary)
    for passed in range(PASSES):
        start = _search(wanted)
        if start != NO_RUN:
            return start
        _make_room(vm, active=passed > 0 and bool(mflags & M_WAITOK))
    return NO_RUN


def _search(wanted: Wanted) -> int:
    """Take the first run whose pages can all be allocated; return its index, or NO_RUN."""
    start = 0
    while True:
        start = _candidate(wanted, start)
        if start == NO_RUN or start * PAGE_SIZE + wanted.size > wanted.high:
            return NO_RUN
        if _goes_on(wanted, start) and _take(wanted, start):
            return start
        start += 1


def _candidate(wanted: Wanted, start: int) -> int:
    """Return the first page from `start` on that may begin a run, judged without a lock."""
    pages = wanted.vm.page.vm_page_array
    for i in range(start, len(pages)):
        m = pages[i]
        if _is_free_or_cached(m) and wanted.may_begin(i * PAGE_SIZE) and _is_idle(m):
            return i
    return NO_RUN


def _goes_on(wanted: Wanted, start: int) -> bool:
    """Return whether the pages behind look usable, too; as in the kernel, wherever the array ends."""
    pages = wanted.vm.page.vm_page_array
    for i in range(start + 1, start + wanted.pages):
        if i >= len(pages):
            wanted.vm.panic("vm_contig_pg_alloc: page fault: behind the end of vm_page_array")
        if not (_is_free_or_cached(pages[i]) and _is_idle(pages[i])):
            return False
    return True


def _is_free_or_cached(m: VmPage) -> bool:
    return m.queue_base() in (m.vm.page.PQ_FREE, m.vm.page.PQ_CACHE)


def _is_idle(m: VmPage) -> bool:
    """Return whether nobody seems to use the page."""
    return not (
        m.wire_count.load()
        or m.hold_count.load()
        or m.busy_count.load() & (PBUSY_LOCKED | PBUSY_MASK)
        or m.flags.bits(PG_NEED_COMMIT)
    )


def _take(wanted: Wanted, start: int) -> bool:
    """Allocate the pages of a run one by one; if one cannot be allocated, give back those before it."""
    vm = wanted.vm
    for i in range(start, start + wanted.pages):
        if not _take_page(vm.page.vm_page_array[i]):
            vm_contig_pg_free(vm, start, (i - start) * PAGE_SIZE)
            return False
    return True


def _take_page(m: VmPage) -> bool:
    """Allocate one page, wired; return False if it is busied or used.

    A cached page is freed and then asked for like any other, since another CPU may have it by then.
    """
    page = m.vm.page
    while True:
        if vm_page_busy_try(m, True):
            return False
        base = m.queue_base()
        if base == page.PQ_CACHE and not (
            m.hold_count.load() or m.wire_count.load() or m.flags.bits(PG_NEED_COMMIT)
        ):
            _free_cached(m)
            continue
        if base != page.PQ_FREE or m.hold_count.load():
            vm_page_wakeup(m)
            return False
        _wire_free(m)
        return True


def _free_cached(m: VmPage) -> None:
    """Free a cached page.  Locks: hard-busied by the caller; consumes the busy.  Sleeps: to unmap it."""
    vm_page_protect(m, VM_PROT_NONE)
    if m.flags.load() & (PG_MAPPED | PG_UNQUEUED) or m.dirty:
        m.vm.panic("vm_contig_pg_alloc: cached page is mapped, unqueued or dirty")
    vm_page_free(m)


def _wire_free(m: VmPage) -> None:
    """Allocate a free page.  Locks: hard-busied by the caller; consumes the busy."""
    vm = m.vm
    if m.valid & m.dirty or m.wire_count.load() or m.object is not None:
        vm.panic("vm_contig_pg_alloc: free page is dirty, wired or in an object")
    vm_page_unqueue_nowakeup(m)
    for hook in vm.hooks.allocated:
        hook(vm.engine.current, m)
    m.valid = VM_PAGE_BITS_ALL
    vm_page_flag_clear(m, ~0)
    vm_page_wire(m)
    vm_page_wakeup(m)


def vm_contig_pg_free(vm: VmSystem, start: int, size: int) -> None:
    """Free `size` bytes that begin with the page at index `start`.  Sleeps: while one of them is busied."""
    size = -(-size // PAGE_SIZE) * PAGE_SIZE
    if size == 0:
        vm.panic("vm_contig_pg_free: size must not be 0")
    vm_page_free_contig(vm.page.vm_page_array[start], size)


# -- in the kernel's map --------------------------------------------------------------------------


def vm_contig_pg_kmap(vm: VmSystem, start: int, size: int, map: VmMap) -> int:
    """Map `size` bytes that begin with the page at index `start`; return the address, or 0.

    Locks: takes the map's exclusively.  Sleeps: for entries and the map.
    """
    size = -(-size // PAGE_SIZE) * PAGE_SIZE
    if size == 0:
        vm.panic("vm_contig_pg_kmap: size must not be 0")
    addr = kmem_alloc_pageable(map, size, VM_SUBSYS_CONTIG)
    if addr:
        for n, m in enumerate(vm.page.vm_page_array[start : start + size // PAGE_SIZE]):
            pmap_kenter_noinval(vm, addr + n * PAGE_SIZE, VM_PAGE_TO_PHYS(m))
        pmap_invalidate_range(vm.pmap.kernel_pmap, addr, addr + size)
    return addr


def contigmalloc(
    vm: VmSystem, size: int, mflags: int, low: int, high: int, alignment: int, boundary: int
) -> int:
    """Allocate contiguous memory and map it for the kernel; return the address, or 0.  Sleeps: as both."""
    return contigmalloc_map(vm, size, mflags, low, high, alignment, boundary, vm.map.kernel_map)


def contigmalloc_map(
    vm: VmSystem, size: int, mflags: int, low: int, high: int, alignment: int, boundary: int, map: VmMap
) -> int:
    """Allocate contiguous memory and map it; return the address, or 0.

    If the map has no room, the memory is given back.  Locks: none.  Sleeps: yes.
    """
    start = vm_contig_pg_alloc(vm, size, low, high, alignment, boundary, mflags)
    if start == NO_RUN:
        return 0
    addr = vm_contig_pg_kmap(vm, start, size, map)
    if not addr:
        vm_contig_pg_free(vm, start, size)
    elif mflags & M_ZERO:
        for phys in range(start, start - -size // PAGE_SIZE):
            pmap_zero_page(vm, phys)
    return addr


def contigfree(vm: VmSystem, addr: int, size: int) -> None:
    """Free what `contigmalloc` allocated: the mappings, the addresses, and then the memory.  Sleeps: yes."""
    if size == 0:
        vm.panic("contigfree: size must not be 0")
    size = -(-size // PAGE_SIZE) * PAGE_SIZE
    pa = pmap_kextract(vm, addr)
    pmap_qremove(vm, addr, size // PAGE_SIZE)
    kmem_free(vm.map.kernel_map, addr, size)
    vm_page_free_contig(PHYS_TO_VM_PAGE(vm, pa), size)


def kmem_alloc_contig(vm: VmSystem, size: int, low: int, high: int, alignment: int) -> int:
    """Allocate contiguous memory of the kernel's map without waiting; return the address, or 0."""
    return contigmalloc_map(vm, size, M_NOWAIT, low, high, alignment, 0, vm.map.kernel_map)


# -- making room ----------------------------------------------------------------------------------


def _make_room(vm: VmSystem, *, active: bool) -> None:
    """Clean all inactive queues, and the active ones if the caller may wait.  Sleeps: yes."""
    vmstats = vm.meter.vmstats
    for colour in range(vm.page.l2_size):
        vm_contig_pg_clean(vm, vm.page.PQ_INACTIVE + colour, vmstats.v_inactive_count.load())
        vm.pause_tokens("lwkt_yield")
    if active:
        for colour in range(vm.page.l2_size):
            vm_contig_pg_clean(vm, vm.page.PQ_ACTIVE + colour, vmstats.v_active_count.load())
        vm.pause_tokens("lwkt_yield")


def vm_contig_pg_clean(vm: VmSystem, queue: int, count: int) -> None:
    """Cache up to `count` clean pages of the queue with that index, and launder dirty ones.

    The next page is read without a lock, and locked; it may be the marker of another scan, which is on that
    scan's stack and gone with it.
    Locks: none held; takes a page's and the queue's spinlock for each step.  Sleeps: yes.
    """
    pq = vm.page.vm_page_queues[queue]
    marker = _marker(vm, queue)
    pq.spin.acquire()
    TAILQ_INSERT_HEAD(pq, marker)
    pq.spin.release()
    while count > 0:
        m: VmPage | None = marker.hint("tqe_next")
        if m is None:
            break
        vm_page_and_queue_spin_lock(m)
        if is_marker(m) and m not in vm.page.markers:
            vm.panic("vm_contig_pg_clean: the stack of a scan that has ended is written to")
        if m is not marker.tqe_next:
            _vm_page_and_queue_spin_unlock(m)
            continue
        count -= 1
        if m.queue != queue:
            vm.panic("vm_contig_pg_clean: page is not on the queue")
        TAILQ_REMOVE(pq, marker)
        TAILQ_INSERT_AFTER(pq, m, marker)
        if m.flags.load() & PG_MARKER or vm_page_busy_try(m, True):
            _vm_page_and_queue_spin_unlock(m)
            continue
        _vm_page_and_queue_spin_unlock(m)
        _clean(m, queue)
    pq.spin.acquire()
    TAILQ_REMOVE(pq, marker)
    pq.spin.release()
    vm.page.markers.remove(marker)


def _marker(vm: VmSystem, queue: int) -> VmPage:
    """Make a marker for that queue: a fictitious page, busied and wired."""
    marker = vm.page.marker(PG_FICTITIOUS | PG_MARKER)
    marker.queue = queue
    marker.busy_count.value = PBUSY_LOCKED
    marker.wire_count.value = 1
    return marker


def _clean(m: VmPage, queue: int) -> None:
    """Cache the page if it is clean, launder it if it is dirty.

    Locks: the page hard-busied by the caller; consumes the busy.
    Sleeps: for the object's token, the vnode's lock and the pager.
    """
    if m.queue_base() != queue or m.wire_count.load() or m.hold_count.load() or m.object is None:
        vm_page_wakeup(m)
        return
    vm_page_test_dirty(m)
    if m.dirty or m.flags.bits(PG_NEED_COMMIT):
        _launder(m)
    elif m.hold_count.load() == 0:
        vm_page_cache(m)
    else:
        vm_page_wakeup(m)


def _launder(m: VmPage) -> None:
    """Write the page out: for a file, all its dirty pages; for other memory, this page alone.

    Locks: as `_clean`; takes the object's token.  A file's page is released before its vnode is locked.
    """
    obj = m.object
    vm_object_hold(obj)
    if m.object is not obj:
        m.vm.panic("vm_contig_pg_clean: page left its object")
    if obj.type == OBJT_VNODE:
        vm_page_wakeup(m)
        vn_lock(_handle(obj))
        vm_object_page_clean(obj, 0, 0, OBJPC_SYNC)
        vn_unlock(_handle(obj))
    elif obj.type in ANONYMOUS:
        vm_pageout_flush([m], 0)
    else:
        vm_page_wakeup(m)
    vm_object_drop(obj)


def _handle(obj: VmObject) -> Vnode:
    """Return the object's `handle`, which locking and unlocking read each on its own."""
    vm: VmSystem = obj.vm
    vp: Vnode | None = obj.hint("handle")
    if vp is None:
        vm.panic("vm_contig_pg_clean: page fault: the object has lost its vnode")
    return vp
