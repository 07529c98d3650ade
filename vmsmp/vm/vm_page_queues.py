"""The page queues: five types by PQ_L2_SIZE colours, each with a spinlock of its own.

Models: sys/vm/vm_page.c, its queue helpers, and struct vpgqueues of sys/vm/vm_page.h.
Locks: m.spin, then the queue's spin; the reverse only by trylock (`_vm_page_list_find`).  A page's
`queue` changes under both, its links under the queue's.
The colour of a queue is its index within its type.  Each helper's docstring says which of the two
spinlocks it expects and which it leaves.
Deviations:
  * how a search that widens consults `lastq` is our reading: it is probed first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from vmsmp.sync.field import Letter, Record, field, record
from vmsmp.sync.lock import EXCLUSIVE
from vmsmp.vm.vm_meter import vmstats_add, vmstats_rem
from vmsmp.vm.vm_page_h import PG_FICTITIOUS, PG_MARKER, PG_UNQUEUED, VmPage, has

if TYPE_CHECKING:
    from vmsmp.vm.vm_init import VmSystem

PQ_L2_SIZE: Final = 1024
PQ_NONE: Final = 0
#: The queue types in the order of their bases: base = 1 + type * l2_size.
PQ_TYPES: Final = ("free", "inactive", "active", "cache", "hold")
#: Probes after which a search that widened remembers where it found a page.
LASTQ_PROBES: Final = 8

QUEUE_LEGEND: Final = {
    "Q": Letter(
        "the queue's spinlock", lambda cpu, pq: pq._spin is not None and has(cpu, pq._spin, EXCLUSIVE)
    ),
}


@record(legend=QUEUE_LEGEND)
class Vpgqueues(Record):
    """struct vpgqueues: one list of pages, its lock and its counts.

    `cnt_offset` names the count of `Vmmeter` in which its pages are counted.
    """

    plain = ("base", "cnt_offset", "index")

    kind = "queue"

    # invariant: the list is well formed and lcnt is its length, markers left out
    tqh_first: VmPage | None = field("Q")
    tqh_last: VmPage | None = field("Q")
    lcnt: int = field("Q")
    adds: int = field("", "Q")
    lastq: int = field("", "")  # a hint: races by design

    base: int
    index: int
    cnt_offset: str

    def __init__(self, vm: VmSystem, ident: int, index: int, base: int, cnt_offset: str) -> None:
        self.settle(vm, ident)
        self.index = index
        self.base = base
        self.cnt_offset = cnt_offset
        self.tqh_first = self.tqh_last = None
        self.lcnt = self.adds = 0
        self.lastq = -1

    @property
    def name(self) -> str:
        return self.vm.queue_name(self.index)  # type: ignore[no-any-return]

    def pages(self) -> Iterator[VmPage]:
        """The members from the head on, markers included, unseen; ends if the list has a ring."""
        m = self.peek("tqh_first")
        left = len(self.vm.vm_page_array) + 64
        while m is not None and left:
            yield m
            m = m.peek("tqe_next")
            left -= 1

    def state(self) -> str:
        return f"{self.peek('lcnt')} pages"


# -- the list itself ------------------------------------------------------------------------------


def TAILQ_INSERT_HEAD(pq: Vpgqueues, m: VmPage) -> None:
    first = pq.tqh_first
    m.tqe_next, m.tqe_prev = first, None
    if first is not None:
        first.tqe_prev = m
    else:
        pq.tqh_last = m
    pq.tqh_first = m


def TAILQ_INSERT_TAIL(pq: Vpgqueues, m: VmPage) -> None:
    last = pq.tqh_last
    m.tqe_next, m.tqe_prev = None, last
    if last is not None:
        last.tqe_next = m
    else:
        pq.tqh_first = m
    pq.tqh_last = m


def TAILQ_INSERT_AFTER(pq: Vpgqueues, where: VmPage, m: VmPage) -> None:
    nxt = where.tqe_next
    m.tqe_next, m.tqe_prev = nxt, where
    where.tqe_next = m
    if nxt is not None:
        nxt.tqe_prev = m
    else:
        pq.tqh_last = m


def TAILQ_REMOVE(pq: Vpgqueues, m: VmPage) -> None:
    nxt, prev = m.tqe_next, m.tqe_prev
    if nxt is not None:
        nxt.tqe_prev = prev
    else:
        pq.tqh_last = prev
    if prev is not None:
        prev.tqe_next = nxt
    else:
        pq.tqh_first = nxt
    m.tqe_next = m.tqe_prev = None


# -- locking a page and its queue -----------------------------------------------------------------


def vm_page_spin_lock(m: VmPage) -> None:
    """Take the page's spinlock."""
    m.spin.acquire()


def vm_page_spin_trylock(m: VmPage) -> bool:
    """Take the page's spinlock if that needs no waiting: the one way against the lock order."""
    return m.spin.try_acquire()


def vm_page_spin_unlock(m: VmPage) -> None:
    m.spin.release()


def _vm_page_queue_spin_lock(m: VmPage) -> None:
    """Take the spinlock of the queue that the page is on, if it is on one.

    Locks: page held, which keeps `m.queue` still; page and queue on return.
    """
    queue = m.queue
    if queue != PQ_NONE:
        pq = m.vm.vm_page_queues[queue]
        pq.spin.acquire()
        if m.queue != queue:
            m.vm.panic(f"{m.klass} changed queue under its spinlock")


def _vm_page_queue_spin_unlock(m: VmPage) -> None:
    """Release the spinlock of the queue that the page is on now, if it is on one."""
    queue = m.queue
    if queue != PQ_NONE:
        m.vm.vm_page_queues[queue].spin.release()


def vm_page_and_queue_spin_lock(m: VmPage) -> None:
    """Take the page's spinlock and then its queue's."""
    vm_page_spin_lock(m)
    _vm_page_queue_spin_lock(m)


def _vm_page_and_queue_spin_unlock(m: VmPage) -> None:
    """Release both, the queue's first."""
    _vm_page_queue_spin_unlock(m)
    vm_page_spin_unlock(m)


# -- leaving and entering a queue -----------------------------------------------------------------


def _vm_page_rem_queue_spinlocked(m: VmPage) -> int:
    """Take the page off its queue and return that queue's type (its base index).

    Locks: page and queue held; page only on return.
    """
    vm = m.vm
    queue = m.queue
    if queue == PQ_NONE:
        return PQ_NONE
    pq = vm.vm_page_queues[queue]
    TAILQ_REMOVE(pq, m)
    vmstats_rem(vm, pq.cnt_offset)
    pq.lcnt -= 1
    m.queue = PQ_NONE
    base: int = pq.base
    pq.spin.release()
    return base


def _vm_page_add_queue_spinlocked(m: VmPage, queue: int, athead: bool = False) -> None:
    """Put the page on the queue of that index; on a free queue always at the head.

    Locks: page held; page and queue on return.
    """
    vm = m.vm
    if m.queue != PQ_NONE:
        vm.panic(f"{m.klass} put on a queue while on another")
    if m.flags.load() & (PG_FICTITIOUS | PG_UNQUEUED):
        vm.panic(f"{m.klass} put on a queue, and it must be on none")
    pq = vm.vm_page_queues[queue]
    pq.spin.acquire()
    pq.lcnt += 1
    vmstats_add(vm, pq.cnt_offset)
    m.queue = queue
    if athead or pq.base == vm.PQ_FREE:
        TAILQ_INSERT_HEAD(pq, m)
    else:
        TAILQ_INSERT_TAIL(pq, m)
    pq.adds += 1


# -- finding a page -------------------------------------------------------------------------------


def _probe(vm: VmSystem, basequeue: int, index: int) -> VmPage | None:
    """The first page of one queue whose spinlock can be had at once.

    Locks: none held; page and queue on return of a page.
    """
    pq = vm.vm_page_queues[basequeue + index]
    if pq.hint("tqh_first") is None:
        return None
    pq.spin.acquire()
    m: VmPage | None = pq.tqh_first
    while m is not None:
        if vm_page_spin_trylock(m):
            if m.queue != basequeue + index:
                vm.panic(f"{m.klass} is on the list of another queue than its own")
            return m
        m = m.tqe_next
    pq.spin.release()
    return None


def _ring(index: int, mask: int, seen: int) -> Iterator[int]:
    """The colours of the aligned group of `mask + 1` around `index`, but for the group of `seen`."""
    start = index & ~mask
    for n in range(mask + 1):
        colour = start + (index + n & mask)
        if seen < 0 or colour & ~seen != index & ~seen:
            yield colour


def _vm_page_list_find(vm: VmSystem, basequeue: int, index: int) -> VmPage | None:
    """A page of that type, of the colour asked for or of one nearby.

    Locks: none held; page and queue on return of a page.  None is possible though there are pages:
    others held all their spinlocks.
    """
    index &= vm.l2_mask
    m = _probe(vm, basequeue, index)
    if m is not None:
        vm.vm_page_queues[basequeue + index].lastq = -1
        return m
    return _vm_page_list_find_wide(vm, basequeue, index)


def _vm_page_list_find_wide(vm: VmSystem, basequeue: int, index: int) -> VmPage | None:
    """Widen the search around a colour: aligned groups, each twice as large as the one before.

    Locks: as `_vm_page_list_find`.
    """
    home = vm.vm_page_queues[basequeue + index]
    lastq = home.lastq
    if lastq >= 0:
        m = _probe(vm, basequeue, lastq)
        if m is not None:
            return m
    mask = vm.set_assoc_mask >> 1
    seen = 0  # the colour itself has been probed
    probes = 0
    while seen < vm.l2_mask:
        mask = min((mask << 1) | 1, vm.l2_mask)
        for colour in _ring(index, mask, seen):
            probes += 1
            m = _probe(vm, basequeue, colour)
            if m is not None:
                if probes >= LASTQ_PROBES:
                    home.lastq = colour
                return m
        seen = mask
    return None


def _vm_page_list_find2(vm: VmSystem, basequeue1: int, basequeue2: int, index: int) -> VmPage | None:
    """A page of the first type, or of the second if none of the first is as near.

    The two searches widen in turn, the second one doubling behind.  Locks: as `_vm_page_list_find`.
    """
    index &= vm.l2_mask
    for basequeue in (basequeue1, basequeue2):
        m = _probe(vm, basequeue, index)
        if m is not None:
            return m
    mask = vm.set_assoc_mask >> 1
    seen = behind = 0
    while behind < vm.l2_mask:
        mask = min((mask << 1) | 1, vm.l2_mask)
        for colour in _ring(index, mask, seen) if seen < vm.l2_mask else ():
            m = _probe(vm, basequeue1, colour)
            if m is not None:
                return m
        for colour in _ring(index, seen, behind) if seen > behind else ():
            m = _probe(vm, basequeue2, colour)
            if m is not None:
                return m
        behind, seen = seen, mask
    return None


def is_marker(m: VmPage) -> bool:
    """Whether it is a scan's place holder and no page."""
    return bool(m.peek("flags") & PG_MARKER)
