"""Finding a page on the queues, of the requested colour or a nearby one.

Models: the _vm_page_list_find family of sys/vm/vm_page.c.
Locks: none held; the page's and the queue's spinlock when a page is returned.  A search takes the
queue's spinlock first and the page's by trylock, the only way to take it against the lock order.
If the set mask covers all colours, or there is one colour, the first group is all there is to search.  Then a
search of two types never probes the second one, and an allocation takes no cached page while the gate is
open.
Deviations:
  * with one colour, its queue is the whole group that a widened search probes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.vm_page.queues import _vm_page_rem_queue_spinlocked, vm_page_spin_trylock

if TYPE_CHECKING:
    from typing import Final

    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_page.page import VmPage, Vpgqueues

#: Turns after which a widened search remembers the colour where it found a page.
LASTQ_PROBES: Final = 8


# -- finding a page -------------------------------------------------------------------------------


def _probe(vm: VmSystem, basequeue: int, index: int) -> VmPage | None:
    """Return the first page of one queue whose spinlock is free.

    Locks: none held; page and queue when a page is returned.
    """
    pq = vm.page.vm_page_queues[basequeue + index]
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


class _Widening:
    """One search that widens: aligned groups of colours around `index`, each twice as large as the last.

    `count` is the number of turns so far; a jump over the colours of the last group is one turn.
    """

    __slots__ = ("basequeue", "count", "index", "mask", "skip", "vm", "whole")

    def __init__(self, vm: VmSystem, basequeue: int, index: int) -> None:
        self.vm = vm
        self.basequeue = basequeue
        self.index = index
        self.mask = vm.page.set_assoc_mask >> 1
        self.skip = range(0)
        self.count = 0
        #: Whether the last group was all colours.
        self.whole = False

    def widen(self) -> tuple[VmPage | None, int]:
        """Probe the next group; return a page, or None, and its colour, or -1 if it was found early.

        Locks: none held; page and queue when a page is returned.
        """
        self.mask = (self.mask << 1 | 1) & self.vm.page.l2_mask
        group = self.index & ~self.mask
        pqi, left = self.index, self.mask + 1
        while left > 0:
            if pqi in self.skip:
                left -= self.skip.stop - pqi
                pqi = group | (self.skip.stop & self.mask)
            if left > 0:
                m = _probe(self.vm, self.basequeue, pqi)
                if m is not None:
                    return m, pqi if self.count >= LASTQ_PROBES else -1
            left -= 1
            self.count += 1
            pqi = group | (pqi + 1 & self.mask)
        self.skip = range(group, group + self.mask + 1)
        self.whole = self.mask == self.vm.page.l2_mask
        return None, -1


def _vm_page_list_find(vm: VmSystem, basequeue: int, index: int) -> VmPage | None:
    """Return a page of that type, of the requested colour or a nearby one.

    Locks: none held; page and queue when a page is returned.  It may return None although there are
    pages, if other CPUs held all their spinlocks.
    """
    index &= vm.page.l2_mask
    m = _probe(vm, basequeue, index)
    if m is not None:
        vm.page.vm_page_queues[basequeue + index].publish("lastq", -1)
        return m
    return _vm_page_list_find_wide(vm, basequeue, index)


def vm_page_list_find(vm: VmSystem, basequeue: int, index: int) -> VmPage | None:
    """Find a page as `_vm_page_list_find` does, and take it off its queue.

    Locks: none held; the page when one is returned.
    """
    m = _vm_page_list_find(vm, basequeue, index)
    if m is not None:
        _vm_page_rem_queue_spinlocked(m)
    return m


def _vm_page_list_find_wide(vm: VmSystem, basequeue: int, index: int) -> VmPage | None:
    """Search ever wider around a colour, or around the one where a long search for it ended last.

    Locks: as `_vm_page_list_find`.
    """
    home = vm.page.vm_page_queues[basequeue + index]
    search = _Widening(vm, basequeue, _start(home, index))
    while not search.whole:
        m, lastq = search.widen()
        if m is not None:
            if lastq >= 0:
                home.publish("lastq", lastq)
            return m
    return None


def _start(home: Vpgqueues, index: int) -> int:
    """Return the colour around which a search for that colour widens."""
    lastq: int = home.hint("lastq")
    return lastq if lastq >= 0 else index


def _vm_page_list_find2(vm: VmSystem, basequeue1: int, basequeue2: int, index: int) -> VmPage | None:
    """Return a page of the first type, or of the second one if none of the first type is nearer.

    Locks: as `_vm_page_list_find`.
    """
    index &= vm.page.l2_mask
    m = _probe(vm, basequeue1, index)
    if m is not None:
        vm.page.vm_page_queues[basequeue1 + index].publish("lastq", -1)
        vm.page.vm_page_queues[basequeue2 + index].publish("lastq", -1)
        return m
    return _vm_page_list_find2_wide(vm, basequeue1, basequeue2, index)


def _vm_page_list_find2_wide(vm: VmSystem, basequeue1: int, basequeue2: int, index: int) -> VmPage | None:
    """Widen both searches in turn, the second one a step behind, until one has probed all colours.

    Both start where the first one does.  Locks: as `_vm_page_list_find`.
    """
    queues = vm.page.vm_page_queues
    homes = queues[basequeue1 + index], queues[basequeue2 + index]
    start = _start(homes[0], index)
    first, second = _Widening(vm, basequeue1, start), _Widening(vm, basequeue2, start)
    twice = vm.page.set_assoc_mask << 1 | 1
    while not first.whole and not second.whole:
        for search, home in ((first, homes[0]), (second, homes[1])):
            if search is second and first.mask < twice:
                break
            m, lastq = search.widen()
            if m is not None:
                if lastq >= 0:
                    home.publish("lastq", lastq)
                return m
    return None
