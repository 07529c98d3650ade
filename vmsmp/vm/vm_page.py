"""Pages and objects: insertion, removal, renaming; holds, wirings, activity and valid bits.

Models: sys/vm/vm_page.c.
Locks: a change of (object, pindex) needs the page hard-busied and the object's token exclusively; the
page's spinlock is taken around the change of the tree.  `wire_count` goes between 0 and 1 under the
hard busy only.  Holds need none: the holder's own interlock keeps the page off the free queues.
Deviations:
  * swap, commits and vnode write-back are not modelled; PG_SWAPPED and PG_NEED_COMMIT are only flags.
  * valid and dirty bits cover whole DEV_BSIZE pieces, as in the kernel; there is no content.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.pmap import vm_page_dirty
from vmsmp.vm.vm_object import (
    ASSERT_OBJECT_HELD_EXCL,
    vm_object_drop,
    vm_object_hold,
)
from vmsmp.vm.vm_page_busy import vm_page_flag_clear
from vmsmp.vm.vm_page_h import (
    ACT_INIT,
    DEV_BSIZE,
    HOLD,
    PBUSY_LOCKED,
    PG_FICTITIOUS,
    PG_NEED_COMMIT,
    PG_REFERENCED,
    PG_UNQUEUED,
    PG_WINATCFLS,
    VM_PAGE_BITS_ALL,
    WIRE,
    VmPage,
)
from vmsmp.vm.vm_page_queues import (
    _vm_page_add_queue_spinlocked,
    _vm_page_and_queue_spin_unlock,
    _vm_page_queue_spin_lock,
    _vm_page_queue_spin_unlock,
    _vm_page_rem_queue_spinlocked,
    vm_page_and_queue_spin_lock,
    vm_page_spin_lock,
    vm_page_spin_unlock,
)

if TYPE_CHECKING:
    from vmsmp.vm.vm_object import VmObject

NO_QUEUE = PG_FICTITIOUS | PG_UNQUEUED


# -- in and out of objects ------------------------------------------------------------------------


def vm_page_rb_tree_RB_INSERT(obj: VmObject, m: VmPage) -> VmPage | None:
    """Put the page into the object's tree, unless its index is taken: then who has it."""
    memq = obj.changing("rb_memq")
    there: VmPage | None = memq.get(m.peek("pindex"))
    if there is None:
        memq[m.peek("pindex")] = m
    return there


def vm_page_rb_tree_RB_REMOVE(obj: VmObject, m: VmPage) -> None:
    """Take the page out of the object's tree."""
    memq = obj.changing("rb_memq")
    if memq.get(m.peek("pindex")) is not m:
        obj.vm.panic(f"{obj.klass}: RB_REMOVE of a page that is not in its tree")
    del memq[m.peek("pindex")]


def vm_page_insert(m: VmPage, obj: VmObject, pindex: int) -> bool:
    """Make the page the object's at that index; False, and nothing changed, if there is one.

    Locks: the page hard-busied, the object's token exclusively.
    """
    ASSERT_OBJECT_HELD_EXCL(obj)
    if m.peek("object") is not None:
        m.vm.panic("vm_page_insert: already inserted")
    vm_page_spin_lock(m)
    m.object = obj
    m.pindex = pindex
    if vm_page_rb_tree_RB_INSERT(obj, m) is not None:
        m.object = None
        m.pindex = 0
        vm_page_spin_unlock(m)
        return False
    obj.resident_page_count += 1
    vm_page_spin_unlock(m)
    return True


def vm_page_remove(m: VmPage) -> None:
    """Take the page out of its object, if it is in one.

    Locks: the page hard-busied; takes the object's token.  Sleeps: while that is contested.
    """
    obj = m.object
    if obj is None:
        return
    if not m.busy_count.peek() & PBUSY_LOCKED:
        m.vm.panic("vm_page_remove: page not busy")
    vm_object_hold(obj)
    vm_page_spin_lock(m)
    vm_page_rb_tree_RB_REMOVE(obj, m)
    obj.resident_page_count -= 1
    m.object = None
    obj.generation += 1
    vm_page_spin_unlock(m)
    vm_object_drop(obj)


def vm_page_rename(m: VmPage, new_object: VmObject, new_pindex: int) -> None:
    """Move the page to another object or index, dirty.

    Locks: the page hard-busied, both objects' tokens exclusively.
    """
    if not m.busy_count.peek() & PBUSY_LOCKED:
        m.vm.panic("vm_page_rename: page not busy")
    obj = m.object
    if obj is not None:
        ASSERT_OBJECT_HELD_EXCL(obj)
        vm_page_remove(m)
    if not vm_page_insert(m, new_object, new_pindex):
        m.vm.panic("vm_page_rename: target exists")
    if m.queue_type() == m.vm.PQ_CACHE:
        vm_page_deactivate(m)
    vm_page_dirty(m)


# -- hold -----------------------------------------------------------------------------------------


def vm_page_hold(m: VmPage) -> None:
    """Keep the page from being reused; it may still be freed, and waits on a hold queue then.

    Locks: a busy, a wiring or another interlock of the caller keeps it off the free queues.
    """
    m.hold_count.fetchadd(1)
    m.took(HOLD)
    if m.queue_type() == m.vm.PQ_FREE:
        m.vm.panic("vm_page_hold: page is free")


def vm_page_unhold(m: VmPage) -> None:
    """Drop a hold; the last on a page freed meanwhile sends it on to its free queue.

    Locks: takes the page's spinlock, then two queues' in turn.  A free that is under way may leave the
    page on a hold queue with no holds; the pageout sweeps those.
    """
    if m.hold_count.peek() <= 0 or m.queue_type() == m.vm.PQ_FREE:
        m.vm.panic("vm_page_unhold: page not held, or free")
    last = m.hold_count.fetchadd(-1) == 1
    m.gave(HOLD)
    if last and m.queue_type() == m.vm.PQ_HOLD:
        vm_page_spin_lock(m)
        if m.hold_count.load() == 0 and m.queue - m.pc == m.vm.PQ_HOLD:
            _vm_page_queue_spin_lock(m)
            _vm_page_rem_queue_spinlocked(m)
            _vm_page_add_queue_spinlocked(m, m.vm.PQ_FREE + m.pc)
            _vm_page_queue_spin_unlock(m)
        vm_page_spin_unlock(m)


# -- wire -----------------------------------------------------------------------------------------


def vm_page_wire(m: VmPage) -> None:
    """Wire the page down; it stays on its queue, and whoever takes it from there looks.

    Locks: the page hard-busied by the caller.  A fictitious page is always wired.
    """
    if not m.busy_count.peek() & PBUSY_LOCKED:
        m.vm.panic("vm_page_wire: page not busy")
    if m.flags.load() & PG_FICTITIOUS:
        return
    first = m.wire_count.fetchadd(1) == 0
    m.took(WIRE, own=False)
    if first:
        m.vm.mycpu().gd_vmstats_adj.v_wire_count.fetchadd(1)


def vm_page_unwire(m: VmPage, activate: bool) -> None:
    """Undo a wiring; the last puts the page on the active or the inactive queue.

    Locks: the page hard-busied by the caller.
    """
    if not m.busy_count.peek() & PBUSY_LOCKED:
        m.vm.panic("vm_page_unwire: page not busy")
    if m.flags.load() & PG_FICTITIOUS:
        return
    if m.wire_count.peek() <= 0:
        m.vm.panic("vm_page_unwire: wire count is zero")
    last = m.wire_count.fetchadd(-1) == 1
    m.gave(WIRE, own=False)
    if last:
        m.vm.mycpu().gd_vmstats_adj.v_wire_count.fetchadd(-1)
        flags = m.flags.load()
        if flags & PG_UNQUEUED:
            pass
        elif activate or flags & PG_NEED_COMMIT:
            vm_page_activate(m)
        else:
            vm_page_deactivate(m)


def vm_page_wire_quick(m: VmPage) -> None:
    """Add a wiring to a page that is wired already.  Locks: none."""
    if m.wire_count.fetchadd(1) == 0:
        m.vm.panic("vm_page_wire_quick: wire count was zero")
    m.took(WIRE, own=False)


def vm_page_unwire_quick(m: VmPage) -> bool:
    """Drop a wiring that is not the last one; True if it is: then busy the page and unwire it.

    Locks: none.
    """
    wire_count = m.wire_count.load()
    while True:
        if wire_count == 0:
            m.vm.panic("vm_page_unwire_quick: wire count is zero")
        if wire_count == 1:
            return True
        dropped, wire_count = m.wire_count.fcmpset(wire_count, wire_count - 1)
        if dropped:
            m.gave(WIRE, own=False)
            return False


# -- active, inactive -----------------------------------------------------------------------------


def vm_page_unqueue_nowakeup(m: VmPage) -> None:
    """Take the page off its queue.  Locks: none held; takes the page's and the queue's spin."""
    vm_page_and_queue_spin_lock(m)
    _vm_page_rem_queue_spinlocked(m)
    vm_page_spin_unlock(m)


def vm_page_unqueue(m: VmPage) -> None:
    """Take the page off its queue; the pagedaemon hears of one less that could be had."""
    vm_page_and_queue_spin_lock(m)
    base = _vm_page_rem_queue_spinlocked(m)
    vm_page_spin_unlock(m)
    if base in (m.vm.PQ_FREE, m.vm.PQ_CACHE):
        _pagedaemon_wakeup(m)


def vm_page_activate(m: VmPage) -> None:
    """Move the page to its active queue, with at least ACT_INIT to its credit.

    Locks: none held; takes the page's spin, then the queues'.  An interlock of the caller keeps the
    page valid and off the free queues.  Wired pages may be on queues too.
    """
    vm = m.vm
    if m.queue_type() != vm.PQ_ACTIVE and not m.flags.load() & NO_QUEUE:
        vm_page_spin_lock(m)
        if m.queue - m.pc != vm.PQ_ACTIVE and not m.flags.load() & NO_QUEUE:
            _vm_page_queue_spin_lock(m)
            oqueue = _vm_page_rem_queue_spinlocked(m)
            if oqueue == vm.PQ_CACHE:
                vm.mycpu().v_reactivated += 1
            m.act_count = max(m.act_count, ACT_INIT)
            _vm_page_add_queue_spinlocked(m, vm.PQ_ACTIVE + m.pc)
            _vm_page_and_queue_spin_unlock(m)
            if oqueue in (vm.PQ_CACHE, vm.PQ_FREE):
                _pagedaemon_wakeup(m)
            return
        m.act_count = max(m.act_count, ACT_INIT)
        vm_page_spin_unlock(m)
    elif m.hint("act_count") < ACT_INIT:
        m.publish("act_count", ACT_INIT)


def _vm_page_deactivate_locked(m: VmPage, athead: bool) -> None:
    """Move the page to its inactive queue.

    Locks: the page's spin held, and still held on return; takes the queues'.
    """
    vm = m.vm
    if m.queue - m.pc == vm.PQ_INACTIVE or m.flags.load() & NO_QUEUE:
        return
    _vm_page_queue_spin_lock(m)
    oqueue = _vm_page_rem_queue_spinlocked(m)
    if not m.flags.load() & NO_QUEUE:
        if oqueue == vm.PQ_CACHE:
            vm.mycpu().v_reactivated += 1
        vm_page_flag_clear(m, PG_WINATCFLS)
        _vm_page_add_queue_spinlocked(m, vm.PQ_INACTIVE + m.pc, athead)
    _vm_page_queue_spin_unlock(m)


def vm_page_deactivate(m: VmPage) -> None:
    """Move the page to its inactive queue.  Locks: none held; takes the page's spin."""
    vm_page_spin_lock(m)
    _vm_page_deactivate_locked(m, athead=False)
    vm_page_spin_unlock(m)


def vm_page_dontneed(m: VmPage, *, athead: bool = False) -> None:
    """The page will not be needed soon: to the inactive queue, and forget that it was used.

    Locks: the page busied by the caller; takes the page's spin.  An inactive page only ages.
    """
    if m.queue_type() == m.vm.PQ_INACTIVE:
        act_count = m.hint("act_count")
        if act_count > 0:
            m.publish("act_count", act_count - 1)
        return
    vm_page_spin_lock(m)
    vm_page_flag_clear(m, PG_REFERENCED)
    _vm_page_deactivate_locked(m, athead)
    vm_page_spin_unlock(m)


def _pagedaemon_wakeup(m: VmPage) -> None:
    from vmsmp.vm.vm_page_wait import pagedaemon_wakeup

    pagedaemon_wakeup(m.vm)


# -- valid ----------------------------------------------------------------------------------------
# Lookups look at the valid bits before they have busied the page, so a change is a visible operation.


def vm_page_bits(base: int, size: int) -> int:
    """The bits of the pieces that a range of bytes touches; none for an empty range."""
    if size <= 0:
        return 0
    first = base // DEV_BSIZE
    last = (base + size - 1) // DEV_BSIZE
    return (2 << last) - (1 << first)


def vm_page_set_valid(m: VmPage, base: int = 0, size: int = 4096) -> None:
    """Mark a range valid.  Locks: the page hard-busied."""
    m.publish("valid", m.valid | vm_page_bits(base, size))


def vm_page_set_validclean(m: VmPage, base: int, size: int) -> None:
    """Mark a range valid and clean.  Locks: the page hard-busied."""
    bits = vm_page_bits(base, size)
    m.publish("valid", m.valid | bits)
    m.dirty &= ~bits


def vm_page_set_validdirty(m: VmPage, base: int, size: int) -> None:
    """Mark a range valid and dirty.  Locks: the page hard-busied."""
    bits = vm_page_bits(base, size)
    m.publish("valid", m.valid | bits)
    m.dirty |= bits


def vm_page_clear_dirty(m: VmPage, base: int, size: int) -> None:
    """Mark a range clean.  Locks: the page hard-busied."""
    m.dirty &= ~vm_page_bits(base, size)


def vm_page_set_invalid(m: VmPage, base: int, size: int) -> None:
    """Mark a range neither valid nor dirty.  Locks: the page hard-busied."""
    bits = vm_page_bits(base, size)
    m.publish("valid", m.valid & ~bits)
    m.dirty &= ~bits


def vm_page_is_valid(m: VmPage, base: int, size: int) -> bool:
    """Whether all of a range is valid.  Locks: a busy or the object's token, or it is a guess."""
    bits = vm_page_bits(base, size)
    return bool(m.valid) and m.valid & bits == bits


def vm_page_zero_invalid(m: VmPage) -> None:
    """Zero what is not valid, and make all of it valid.  Locks: the page hard-busied."""
    m.publish("valid", VM_PAGE_BITS_ALL)
