"""Allocating a page.

Models: vm_get_pg_color, the vm_page_select family, vm_page_alloc, vm_page_grab, vm_page_alloczwq and
vm_page_freezwq of sys/vm/vm_page.c.
Locks: a search returns a candidate with its page and queue spinlocks held.  Hard-busy it
while its page spinlock is still held; do not trust its fields before that.  An insertion
needs the object's token exclusively.
Deviations:
  * no per-CPU page cache (VM_ALLOC_USE_GD) and no zeroed queues.
  * `vm_pageout_deficit` is counted but never read.
  * a CPU that has preempted another thread may still take a cached page below the gate.
  * without a topology the colours are those of CPU `(cpuid - 1) % ncpus`, since CPU 0 only boots.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.observer import PageAllocated
from vmsmp.vm.pmap.contents import pmap_zero_page
from vmsmp.vm.vm_map.flags import VM_PROT_NONE
from vmsmp.vm.vm_meter.counts import vmstats_rollup
from vmsmp.vm.vm_object.hold import (
    vm_object_drop,
    vm_object_hold_shared,
    vm_object_hold_try,
    vm_object_upgrade,
)
from vmsmp.vm.vm_page.activity import _vm_page_deactivate_locked, vm_page_deactivate
from vmsmp.vm.vm_page.busy import (
    _vm_page_wakeup,
    vm_page_busy_try,
    vm_page_busy_wait,
    vm_page_flag_clear,
    vm_page_sleep_busy,
    vm_page_wakeup,
)
from vmsmp.vm.vm_page.flags import (
    PBUSY_MASK,
    PG_KEEP_NEWPAGE_MASK,
    PG_MAPPED,
    PG_NEED_COMMIT,
    PG_UNQUEUED,
    PG_WRITEABLE,
    PQ_NONE,
    VM_ALLOC_CPU_SPEC,
    VM_ALLOC_FORCE_ZERO,
    VM_ALLOC_GETCPU,
    VM_ALLOC_INTERRUPT,
    VM_ALLOC_NORMAL,
    VM_ALLOC_NULL_OK,
    VM_ALLOC_QUICK,
    VM_ALLOC_RETRY,
    VM_ALLOC_SYSTEM,
    VM_ALLOC_ZERO,
    VM_PAGE_BITS_ALL,
)
from vmsmp.vm.vm_page.free import vm_page_free
from vmsmp.vm.vm_page.holding import vm_page_unwire, vm_page_wire
from vmsmp.vm.vm_page.lookup import vm_page_lookup_busy_try
from vmsmp.vm.vm_page.protect import vm_page_protect
from vmsmp.vm.vm_page.queues import _vm_page_rem_queue_spinlocked, vm_page_spin_unlock
from vmsmp.vm.vm_page.residency import vm_page_insert
from vmsmp.vm.vm_page.search import _vm_page_list_find, _vm_page_list_find2
from vmsmp.vm.vm_page.wait import pagedaemon_wakeup, vm_wait

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_object.object import VmObject
    from vmsmp.vm.vm_page.page import VmPage


def vm_get_pg_color(vm: VmSystem, cpuid: int, obj: VmObject | None, pindex: int) -> int:
    """The colour for that page on that CPU; CPUs of one core, and of one socket, get nearby colours.

    CPU 0 boots; CPUs from 1 on are numbered through sockets, cores and threads.  Without a configured
    topology every CPU is a core of one socket: the CPUs declared, or else those that exist so far.
    """
    phys_ids, core_ids, ht_ids = vm.page.topology or (1, vm.ncpus, 1)
    physcale = max(1, vm.page.l2_size // phys_ids)
    grpscale = max(1, physcale // core_ids)
    cpuscale = max(1, grpscale // ht_ids)
    unit = (cpuid - 1) % (phys_ids * core_ids * ht_ids)
    phys_id, rest = divmod(unit, core_ids * ht_ids)
    core_id, ht_id = divmod(rest, ht_ids)
    colour = phys_id * physcale + core_id * grpscale + ht_id * cpuscale
    colour += (pindex + (obj.pg_color if obj is not None else 0)) % cpuscale
    return colour & vm.page.l2_mask


# -- selecting ------------------------------------------------------------------------------------


def _assert_free(m: VmPage) -> None:
    """Panic unless the page meets the invariants of a page from a free queue."""
    if m.flags.load() & (PG_UNQUEUED | PG_NEED_COMMIT):
        m.vm.panic("vm_page_select_free: page has flags it must not have")
    if m.hold_count.load() or m.wire_count.load():
        m.vm.panic("vm_page_select_free: page is held or wired")


def _cache_usable(m: VmPage) -> bool:
    """Return whether a page from a cache queue, now busied, is still reusable; it may be mapped."""
    return not (
        m.flags.bits(PG_NEED_COMMIT)
        or m.hold_count.load()
        or m.wire_count.load()
        or m.hint("dirty") & m.valid
    )


def _put_aside(m: VmPage) -> None:
    """Move a page that another CPU has busied to its inactive queue, out of the way.

    Locks: page held; none on return.
    """
    _vm_page_deactivate_locked(m, athead=False)
    vm_page_spin_unlock(m)


def _reject(m: VmPage) -> None:
    """Move a busied cached page that is not reusable to its inactive queue, and drop the busy.

    Locks: page held; none on return.
    """
    _vm_page_deactivate_locked(m, athead=False)
    wanted = _vm_page_wakeup(m)
    vm_page_spin_unlock(m)
    if wanted:
        m.vm.machine.wakeup(m)


def _select(m: VmPage, cached: bool = False) -> VmPage:
    """Return the page that the search ends with.  Locks: page held; none on return."""
    vm_page_spin_unlock(m)
    if cached and m.flags.bits(PG_UNQUEUED):
        m.vm.panic("vm_page_select_cache: page must not be on a queue")
    pagedaemon_wakeup(m.vm)
    return m


def vm_page_select_free(vm: VmSystem, pg_color: int) -> VmPage | None:
    """Return a free page, hard-busied and on no queue.  Locks: none held, none on return."""
    while True:
        m = _vm_page_list_find(vm, vm.page.PQ_FREE, pg_color)
        if m is None:
            return None
        _vm_page_rem_queue_spinlocked(m)
        if vm_page_busy_try(m, True):
            _put_aside(m)
            continue
        _assert_free(m)
        return _select(m)


def vm_page_select_cache(vm: VmSystem, pg_color: int) -> VmPage | None:
    """Return a cached page, hard-busied and on no queue, still in its object.  Locks: none held."""
    while True:
        m = _vm_page_list_find(vm, vm.page.PQ_CACHE, pg_color)
        if m is None:
            return None
        _vm_page_rem_queue_spinlocked(m)
        if vm_page_busy_try(m, True):
            _put_aside(m)
            continue
        if _cache_usable(m):
            return _select(m, cached=True)
        _reject(m)


def vm_page_select_free_or_cache(vm: VmSystem, pg_color: int) -> tuple[VmPage | None, int]:
    """Return a free or cached page, hard-busied and on no queue, and the queue type that it came from.

    The page is busied while it is still on its queue.
    """
    while True:
        m = _vm_page_list_find2(vm, vm.page.PQ_FREE, vm.page.PQ_CACHE, pg_color)
        if m is None:
            return None, PQ_NONE
        busied = not vm_page_busy_try(m, True)
        base = _vm_page_rem_queue_spinlocked(m)
        if not busied:
            _put_aside(m)
            continue
        if base == vm.page.PQ_FREE:
            _assert_free(m)
            return _select(m), base
        if _cache_usable(m):
            return _select(m, cached=True), base
        _reject(m)


# -- allocating -----------------------------------------------------------------------------------


def _gate_open(vm: VmSystem, page_req: int) -> bool:
    """Return whether a request may take a free page, by this CPU's view of the counts."""
    gd = vm.mycpu()
    view = gd.gd_vmstats
    free = view.peek("v_free_count")
    gd.gate = free, view.peek("v_cache_count")
    if free >= vm.meter.limits.v_free_reserved:
        return True
    if page_req & VM_ALLOC_INTERRUPT and free > 0:
        return True
    return bool(
        page_req & VM_ALLOC_SYSTEM
        and view.peek("v_cache_count") == 0
        and free > vm.meter.limits.v_interrupt_free_min
    )


def _recycle(m: VmPage) -> None:
    """Free a cached page, so that the next attempt may find it; leave one whose object is contended.

    Locks: the page hard-busied by the caller; consumes the busy.  Never waits for the token.
    """
    vm = m.vm
    if m.hint("dirty"):
        vm.panic("vm_page_alloc: cached page is dirty")
    obj = m.object  # stable: the page is busied
    if obj is None:
        if m.flags.load() & (PG_MAPPED | PG_WRITEABLE):
            vm_page_protect(m, VM_PROT_NONE)
        vm_page_free(m)
    elif vm_object_hold_try(obj):
        if m.flags.load() & (PG_MAPPED | PG_WRITEABLE):
            vm_page_protect(m, VM_PROT_NONE)
        vm_page_free(m)
        vm_object_drop(obj)
    else:
        vm_page_deactivate(m)
        vm_page_wakeup(m)


def _give_up(vm: VmSystem) -> None:
    """Record that this request found no page, and wake the pagedaemon."""
    vm.pageout.vm_pageout_deficit.fetchadd(1)
    pagedaemon_wakeup(vm)


def vm_page_alloc(vm: VmSystem, obj: VmObject | None, pindex: int, page_req: int) -> VmPage | None:
    """Allocate a page, hard-busied and on no queue, and insert it into `obj` if that is given.

    `page_req`: VM_ALLOC_NORMAL may reuse cached pages; SYSTEM may use the reserve if nothing is cached;
    INTERRUPT may take the last page; NULL_OK returns None if another CPU has inserted a page at that index;
    VM_ALLOC_CPU(n) uses the colours of CPU n.
    Locks: the object's token exclusively.  Sleeps: never, but unmapping a cached page may lose the token.
    """
    if not page_req & (VM_ALLOC_NORMAL | VM_ALLOC_QUICK | VM_ALLOC_INTERRUPT | VM_ALLOC_SYSTEM):
        vm.panic("vm_page_alloc: request of no kind")
    gd = vm.mycpu()
    cpuid = VM_ALLOC_GETCPU(page_req) if page_req & VM_ALLOC_CPU_SPEC else gd.cpu.index
    if gd.systhread:
        page_req |= VM_ALLOC_SYSTEM
    pg_color = vm_get_pg_color(vm, cpuid, obj, pindex)
    while True:
        base = PQ_NONE
        if _gate_open(vm, page_req):
            if page_req & VM_ALLOC_NORMAL:
                m, base = vm_page_select_free_or_cache(vm, pg_color)
            else:
                m = vm_page_select_free(vm, pg_color)
            if m is None:
                vmstats_rollup(vm)  # the view said there were pages
                continue
        else:
            m = vm_page_select_cache(vm, pg_color) if page_req & VM_ALLOC_NORMAL else None
            if m is None:
                _give_up(vm)
                return None
            base = vm.page.PQ_CACHE
        if base != vm.page.PQ_CACHE:
            break
        _recycle(m)
    return _prepare(m, obj, pindex, page_req)


def _prepare(m: VmPage, obj: VmObject | None, pindex: int, page_req: int) -> VmPage | None:
    """Initialise a selected page for the request, and insert it.  Locks: the page hard-busied."""
    vm = m.vm
    if m.hint("dirty") or m.hint("queue") != PQ_NONE:
        vm.panic("vm_page_alloc: page is dirty or on a queue")
    vm_page_flag_clear(m, ~PG_KEEP_NEWPAGE_MASK)
    if m.wire_count.load() or m.busy_count.load() & PBUSY_MASK:
        vm.panic("vm_page_alloc: page is wired or soft-busied")
    m.act_count = 0
    m.valid = 0
    for hook in vm.hooks.allocated:
        hook(vm.engine.current, m)
    for hook in vm.hooks.event:
        hook(vm.engine.current, PageAllocated(m, page_req))
    if obj is not None:
        if not vm_page_insert(m, obj, pindex):
            vm_page_free(m)
            if not page_req & VM_ALLOC_NULL_OK:
                vm.panic("PAGE RACE")
            pagedaemon_wakeup(vm)
            return None
    else:
        m.publish("pindex", pindex)
    pagedaemon_wakeup(vm)
    return m


def vm_page_grab(obj: VmObject, pindex: int, allocflags: int) -> VmPage | None:
    """Return the object's page at that index, hard-busied, allocating it if there is none.

    `allocflags`: RETRY tries until there is a page; without it, return None after a sleep for memory.  ZERO
    zeroes a page that is not valid, FORCE_ZERO any page.
    Locks: takes the object's token itself; the caller may have it exclusively, not shared.  Sleeps: yes.
    """
    vm = obj.vm
    if not allocflags & (VM_ALLOC_NORMAL | VM_ALLOC_INTERRUPT | VM_ALLOC_SYSTEM):
        vm.panic("vm_page_grab: request of no kind")
    vm_object_hold_shared(obj)
    m = _grab(obj, pindex, allocflags)
    if m is not None:
        _zero_as_asked(m, allocflags)
    vm_object_drop(obj)
    return m


def _grab(obj: VmObject, pindex: int, allocflags: int) -> VmPage | None:
    """Find or allocate the page for `vm_page_grab`.  Locks: the object held shared; held on return."""
    vm = obj.vm
    retry = allocflags & VM_ALLOC_RETRY
    shared = True
    while True:
        m, failed = vm_page_lookup_busy_try(obj, pindex, True)
        if failed:
            assert m is not None
            vm_page_sleep_busy(m, True, "pgrbwt")
            if not retry:
                vm.panic("vm_page_grab: page fault, m is NULL")  # it is asked whether it is valid
            continue
        if m is not None:
            return m
        if shared:
            vm_object_upgrade(obj)  # another CPU may insert the page now; it is not looked up again
            shared = False
        request = allocflags & ~VM_ALLOC_RETRY
        if retry:
            request |= VM_ALLOC_NULL_OK
        m = vm_page_alloc(vm, obj, pindex, request)
        if m is not None:
            return m
        vm_wait(vm, 0)
        if not retry:
            return None


def _zero_as_asked(m: VmPage, allocflags: int) -> None:
    """Zero the page if the flags ask for it; a partly valid one only for FORCE_ZERO."""
    if allocflags & VM_ALLOC_FORCE_ZERO or (m.valid == 0 and allocflags & VM_ALLOC_ZERO):
        pmap_zero_page(m.vm, m.phys)
        m.publish("valid", VM_PAGE_BITS_ALL)


def vm_page_alloczwq(vm: VmSystem, pindex: int, flags: int) -> VmPage | None:
    """Allocate a page without an object, wired and not busied.

    Without RETRY, return None if there is none, after waiting for memory once.  Sleeps: yes.
    """
    while True:
        m = vm_page_alloc(vm, None, pindex, flags & ~VM_ALLOC_RETRY)
        if m is not None:
            break
        vm_wait(vm, 0)
        if not flags & VM_ALLOC_RETRY:
            return None
    if flags & (VM_ALLOC_ZERO | VM_ALLOC_FORCE_ZERO):
        pmap_zero_page(vm, m.phys)
        m.publish("valid", VM_PAGE_BITS_ALL)
    vm_page_wire(m)
    vm_page_wakeup(m)
    return m


def vm_page_freezwq(m: VmPage) -> None:
    """Free a page of `vm_page_alloczwq`.  Sleeps: while it is busied."""
    vm_page_busy_wait(m, False)
    vm_page_unwire(m, False)
    vm_page_free(m)
