"""Finding a page on the queues, of the requested colour or a nearby one.

Models: the _vm_page_list_find family of sys/vm/vm_page.c.
Locks: none held; the page's and the queue's spinlock when a page is returned.  A search takes the
queue's spinlock first and the page's by trylock, the only way to take it against the lock order.
Deviations:
  * a widened search probes `lastq` first; this is our reading of the kernel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.vm_page.queues import vm_page_spin_trylock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_page.page import VmPage

#: Probes after which a widened search remembers the colour where it found a page.
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


def _ring(index: int, mask: int, seen: int) -> Iterator[int]:
    """Yield the colours of the aligned group of `mask + 1` around `index`, without the group of `seen`."""
    start = index & ~mask
    for n in range(mask + 1):
        colour = start + (index + n & mask)
        if seen < 0 or colour & ~seen != index & ~seen:
            yield colour


def _vm_page_list_find(vm: VmSystem, basequeue: int, index: int) -> VmPage | None:
    """Return a page of that type, of the requested colour or a nearby one.

    Locks: none held; page and queue when a page is returned.  It may return None although there are
    pages, if other CPUs held all their spinlocks.
    """
    index &= vm.page.l2_mask
    m = _probe(vm, basequeue, index)
    if m is not None:
        vm.page.vm_page_queues[basequeue + index].lastq = -1
        return m
    return _vm_page_list_find_wide(vm, basequeue, index)


def _vm_page_list_find_wide(vm: VmSystem, basequeue: int, index: int) -> VmPage | None:
    """Search ever wider around a colour: aligned groups, each twice as large as the one before.

    Locks: as `_vm_page_list_find`.
    """
    home = vm.page.vm_page_queues[basequeue + index]
    lastq = home.lastq
    if lastq >= 0:
        m = _probe(vm, basequeue, lastq)
        if m is not None:
            return m
    mask = vm.page.set_assoc_mask >> 1
    seen = 0  # the colour itself has been probed
    probes = 0
    while seen < vm.page.l2_mask:
        mask = min((mask << 1) | 1, vm.page.l2_mask)
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
    """Return a page of the first type, or of the second if none of the first is as near.

    The two searches widen in turn, the second one step behind.  Locks: as `_vm_page_list_find`.
    """
    index &= vm.page.l2_mask
    for basequeue in (basequeue1, basequeue2):
        m = _probe(vm, basequeue, index)
        if m is not None:
            return m
    mask = vm.page.set_assoc_mask >> 1
    seen = behind = 0
    while behind < vm.page.l2_mask:
        mask = min((mask << 1) | 1, vm.page.l2_mask)
        for colour in _ring(index, mask, seen) if seen < vm.page.l2_mask else ():
            m = _probe(vm, basequeue1, colour)
            if m is not None:
                return m
        for colour in _ring(index, seen, behind) if seen > behind else ():
            m = _probe(vm, basequeue2, colour)
            if m is not None:
                return m
        behind, seen = seen, mask
    return None
