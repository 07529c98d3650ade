"""Freeing and caching pages.

Models: sys/vm/vm_page.c.
Locks: the page hard-busied by the caller; takes the page's spinlock, then its queues'.  A freed page's busy
is dropped under its spinlock, after the queue's spinlock, so that allocators collide less and the wakeup does
not come under the queue's: a CPU that takes it off its free queue finds it neither locked nor busy.  A cached
page's busy is dropped after both: an allocator may meet it hard-busied, and moves it to the inactive queue.
Deviations: none known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.pmap.reverse import pmap_mapped_sync
from vmsmp.vm.vm_map.flags import VM_PROT_NONE
from vmsmp.vm.vm_page.activity import vm_page_deactivate
from vmsmp.vm.vm_page.busy import _vm_page_wakeup, vm_page_busy_try, vm_page_flag_clear, vm_page_wakeup
from vmsmp.vm.vm_page.flags import (
    PBUSY_LOCKED,
    PBUSY_MASK,
    PG_FICTITIOUS,
    PG_MAPPED,
    PG_NEED_COMMIT,
    PG_UNQUEUED,
    PG_WRITEABLE,
    PQ_NONE,
)
from vmsmp.vm.vm_page.protect import vm_page_protect, vm_page_test_dirty
from vmsmp.vm.vm_page.queues import (
    _vm_page_add_queue_spinlocked,
    _vm_page_and_queue_spin_unlock,
    _vm_page_queue_spin_unlock,
    _vm_page_rem_queue_spinlocked,
    vm_page_and_queue_spin_lock,
    vm_page_spin_unlock,
)
from vmsmp.vm.vm_page.residency import vm_page_remove
from vmsmp.vm.vm_page.wait import vm_page_free_wakeup

if TYPE_CHECKING:
    from vmsmp.vm.vm_page.page import VmPage

KEPT = PG_UNQUEUED | PG_NEED_COMMIT | PG_FICTITIOUS


def vm_page_free(m: VmPage) -> None:
    """Free the page: `vm_page_free_toq`."""
    vm_page_free_toq(m)


def vm_page_free_zero(m: VmPage) -> None:
    """Free a page that is known to be zeroed; no different from `vm_page_free`."""
    vm_page_free_toq(m)


def vm_page_free_toq(m: VmPage) -> None:
    """Remove the page from its object and put it on its free queue, or on its hold queue if held.

    Locks: the page hard-busied by the caller; consumes the busy.  Sleeps: for its object's token.
    """
    vm = m.vm
    vm.mycpu().v_tfree += 1
    flags = m.flags.load()
    if flags & (PG_MAPPED | PG_WRITEABLE):
        flags = pmap_mapped_sync(m)
    busy_count = m.busy_count.load()
    if flags & PG_MAPPED or not busy_count & PBUSY_LOCKED:
        vm.panic("vm_page_free: page mapped or not busy")
    if busy_count & PBUSY_MASK or m.queue_base() == vm.page.PQ_FREE:
        vm.panic("vm_page_free: freeing busy or free page")
    vm_page_remove(m)
    if m.flags.bits(PG_FICTITIOUS):
        if m.hint("queue") != PQ_NONE:
            vm.panic("vm_page_free: fictitious page on a queue")
        vm_page_wakeup(m)
        return
    for hook in vm.hooks.freed:
        hook(vm.engine.current, m)
    vm_page_and_queue_spin_lock(m)
    _vm_page_rem_queue_spinlocked(m)
    m.valid = 0
    m.publish("dirty", 0)
    if m.wire_count.load() != 0:
        vm.panic("vm_page_free: freeing wired page")
    if m.flags.load() & (PG_MAPPED | PG_WRITEABLE):
        vm.panic("vm_page_free: page still mapped")
    vm_page_flag_clear(m, PG_NEED_COMMIT | PG_UNQUEUED)
    if m.hold_count.load() != 0:
        _vm_page_add_queue_spinlocked(m, vm.page.PQ_HOLD + m.pc)
    else:
        _vm_page_add_queue_spinlocked(m, vm.page.PQ_FREE + m.pc, athead=True)
    _vm_page_queue_spin_unlock(m)
    wanted = _vm_page_wakeup(m)
    vm_page_spin_unlock(m)
    if wanted:
        vm.machine.wakeup(m)  # only an ident from here on: the page is no longer ours
    vm_page_free_wakeup(vm)


def vm_page_cache(m: VmPage) -> None:
    """Put a clean page on its cache queue for reuse; of any other page, only drop the busy.

    Locks: the page hard-busied by the caller; consumes the busy.  Sleeps: to unmap the page.
    """
    vm = m.vm
    if (
        m.flags.load() & KEPT
        or m.busy_count.load() & PBUSY_MASK
        or m.wire_count.load()
        or m.hold_count.load()
    ):
        vm_page_wakeup(m)
        return
    if m.queue_base() == vm.page.PQ_CACHE:
        if m.flags.load() & PG_MAPPED:
            vm.panic("vm_page_cache: cached page is mapped")
        vm_page_wakeup(m)
        return
    if m.flags.load() & (PG_MAPPED | PG_WRITEABLE):
        vm_page_protect(m, VM_PROT_NONE)
        pmap_mapped_sync(m)
    if (
        m.flags.load() & (PG_UNQUEUED | PG_MAPPED)
        or m.busy_count.load() & PBUSY_MASK
        or m.wire_count.load()
        or m.hold_count.load()
    ):
        vm_page_wakeup(m)
        return
    if m.hint("dirty") or m.flags.bits(PG_NEED_COMMIT):
        vm_page_deactivate(m)
        vm_page_wakeup(m)
        return
    vm_page_and_queue_spin_lock(m)
    _vm_page_rem_queue_spinlocked(m)
    _vm_page_add_queue_spinlocked(m, vm.page.PQ_CACHE + m.pc)
    _vm_page_and_queue_spin_unlock(m)
    vm_page_wakeup(m)
    vm_page_free_wakeup(vm)


def vm_page_try_to_cache(m: VmPage) -> bool:
    """Cache the page if it is clean and unused; return whether `vm_page_cache` was called.

    An active page that turns out to be dirty is deactivated.
    Locks: the page hard-busied by the caller; consumes the busy.  Sleeps: as `vm_page_cache`.
    """
    if (
        m.hint("dirty")
        or m.hold_count.load()
        or m.wire_count.load()
        or m.queue_base() == m.vm.page.PQ_CACHE
        or m.flags.load() & KEPT
    ):
        vm_page_wakeup(m)
        return False
    vm_page_test_dirty(m)
    if m.hint("dirty") or m.flags.bits(PG_NEED_COMMIT):
        if m.queue_base() == m.vm.page.PQ_ACTIVE:
            vm_page_deactivate(m)
        vm_page_wakeup(m)
        return False
    vm_page_cache(m)
    return True


def vm_page_try_to_free(m: VmPage) -> bool:
    """Free the page if it is clean and unused; return whether it was freed.

    Locks: none held.  Leaves a page on a free or hold queue alone.
    """
    vm = m.vm
    if vm_page_busy_try(m, True):
        return False
    if (
        m.hint("dirty")
        or m.hold_count.load()
        or m.wire_count.load()
        or m.flags.load() & KEPT
        or m.queue_base() in (vm.page.PQ_FREE, vm.page.PQ_HOLD)
    ):
        vm_page_wakeup(m)
        return False
    vm_page_test_dirty(m)
    if m.hint("dirty") or m.flags.bits(PG_NEED_COMMIT):
        vm_page_wakeup(m)
        return False
    vm_page_protect(m, VM_PROT_NONE)
    if m.hint("dirty") or m.flags.bits(PG_NEED_COMMIT):
        vm_page_wakeup(m)
        return False
    vm_page_free(m)
    return True
