"""The page queues: five types times PQ_L2_SIZE colours, each queue with its own spinlock.

Models: the queue helpers of sys/vm/vm_page.c.
Locks: m.spin, then the queue's spin.  A page's `queue` changes under both, its links under the
queue's.  Each helper's docstring says which of the two it expects and which it leaves held.
The colour of a queue is its index within its type.
Deviations: none known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.vm_meter.counts import vmstats_add, vmstats_rem
from vmsmp.vm.vm_page.flags import PG_FICTITIOUS, PG_UNQUEUED, PQ_NONE
from vmsmp.vm.vm_page.page import VmPage
from vmsmp.vm.vm_page.tailq import TAILQ_INSERT_HEAD, TAILQ_INSERT_TAIL, TAILQ_REMOVE

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem

# -- locking a page and its queue -----------------------------------------------------------------


def vm_page_spin_lock(m: VmPage) -> None:
    """Take the page's spinlock."""
    m.spin.acquire()


def vm_page_spin_trylock(m: VmPage) -> bool:
    """Try to take the page's spinlock without waiting: the only way to take it against the lock order."""
    return m.spin.try_acquire()


def vm_page_spin_unlock(m: VmPage) -> None:
    m.spin.release()


def _vm_page_queue_spin_lock(m: VmPage) -> None:
    """Take the spinlock of the queue that the page is on, if any.

    Locks: page held, which keeps `m.queue` stable; page and queue on return.
    """
    queue = m.queue
    if queue != PQ_NONE:
        pq = m.vm.page.vm_page_queues[queue]
        pq.spin.acquire()
        if m.queue != queue:
            m.vm.panic(f"{m.klass} changed queue under its spinlock")


def _vm_page_queue_spin_unlock(m: VmPage) -> None:
    """Release the spinlock of the queue that the page is on now, if any."""
    queue = m.queue
    if queue != PQ_NONE:
        m.vm.page.vm_page_queues[queue].spin.release()


def vm_page_queue_spin_lock(m: VmPage) -> None:
    """Take the spinlock of the page's queue: `_vm_page_queue_spin_lock`."""
    _vm_page_queue_spin_lock(m)


def vm_page_queue_spin_unlock(m: VmPage) -> None:
    """Release the spinlock of the page's queue: `_vm_page_queue_spin_unlock`."""
    _vm_page_queue_spin_unlock(m)


def vm_page_queues_spin_lock(vm: VmSystem, queue: int) -> None:
    """Take the spinlock of the queue with that index, if it is one."""
    if queue != PQ_NONE:
        vm.page.vm_page_queues[queue].spin.acquire()


def vm_page_queues_spin_unlock(vm: VmSystem, queue: int) -> None:
    """Release the spinlock of the queue with that index, if it is one."""
    if queue != PQ_NONE:
        vm.page.vm_page_queues[queue].spin.release()


def vm_page_and_queue_spin_lock(m: VmPage) -> None:
    """Take the page's spinlock and then its queue's."""
    vm_page_spin_lock(m)
    _vm_page_queue_spin_lock(m)


def _vm_page_and_queue_spin_unlock(m: VmPage) -> None:
    """Release both, the queue's first."""
    _vm_page_queue_spin_unlock(m)
    vm_page_spin_unlock(m)


def vm_page_and_queue_spin_unlock(m: VmPage) -> None:
    """Release both, the queue's first: `_vm_page_and_queue_spin_unlock`."""
    _vm_page_and_queue_spin_unlock(m)


# -- leaving and entering a queue -----------------------------------------------------------------


def _vm_page_rem_queue_spinlocked(m: VmPage) -> int:
    """Take the page off its queue and return that queue's type (its base index).

    Locks: page and queue held; page only on return.
    """
    vm = m.vm
    queue = m.queue
    if queue == PQ_NONE:
        return PQ_NONE
    pq = vm.page.vm_page_queues[queue]
    TAILQ_REMOVE(pq, m)
    vmstats_rem(vm, pq.cnt_offset)
    pq.lcnt -= 1
    m.queue = PQ_NONE
    base: int = pq.base
    pq.spin.release()
    return base


def _vm_page_add_queue_spinlocked(m: VmPage, queue: int, athead: bool = False) -> None:
    """Put the page on the queue with that index, if it is one; on a free queue, always at the head.

    Locks: page held; page and queue on return.
    """
    vm = m.vm
    if m.queue != PQ_NONE:
        vm.panic(f"{m.klass} put on a queue while on another")
    if m.flags.bits(PG_FICTITIOUS | PG_UNQUEUED):
        vm.panic(f"{m.klass} put on a queue, and it must be on none")
    if queue == PQ_NONE:
        return
    pq = vm.page.vm_page_queues[queue]
    pq.spin.acquire()
    pq.lcnt += 1
    vmstats_add(vm, pq.cnt_offset)
    m.queue = queue
    if athead or pq.base == vm.page.PQ_FREE:
        TAILQ_INSERT_HEAD(pq, m)
    else:
        TAILQ_INSERT_TAIL(pq, m)
