"""Many invalidations of the kernel's pmap, merged into one.

Models: pmap_inval_bulk_init, pmap_inval_bulk and pmap_inval_bulk_flush of
sys/platform/pc64/x86_64/pmap_inval.c.
Locks: none; a bulk belongs to its CPU.  Spins in a flush.
Deviations: none known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.mmu.entry import PAGE_SHIFT, PAGE_SIZE
from vmsmp.vm.pmap_inval.command import pmap_inval_smp
from vmsmp.vm.pmap_inval.info import VA_ALL

if TYPE_CHECKING:
    from vmsmp.sync.atomic import Atomic
    from vmsmp.vm.pmap.pmap import Pmap


class PmapInvalBulk:
    """struct pmap_inval_bulk: the range that has changed and is not invalidated yet.

    `va_beg` is VA_ALL and `va_end` 0 if everything must be flushed.
    """

    __slots__ = ("count", "pmap", "va_beg", "va_end")

    def __init__(self, pmap: Pmap) -> None:
        self.pmap = pmap
        self.va_beg = 0
        self.va_end = 0
        self.count = 0


def pmap_inval_bulk_init(pmap: Pmap) -> PmapInvalBulk:
    """Begin with an empty range."""
    return PmapInvalBulk(pmap)


def pmap_inval_bulk(bulk: PmapInvalBulk | None, va: int, ptep: Atomic, npte: int) -> int:
    """Store `npte` in the entry and invalidate its page: of a user's pmap now, of the kernel's at the flush.

    Returns the old entry.  Without a bulk nothing is invalidated.
    """
    if bulk is None:
        return int(ptep.swap(npte))
    pmap = bulk.pmap
    if pmap is not pmap.vm.pmap.kernel_pmap:
        return pmap_inval_smp(pmap, va, 1, ptep, npte)
    opte = ptep.swap(npte)
    if va == VA_ALL:
        bulk.va_beg = VA_ALL
    elif bulk.va_beg == bulk.va_end:
        bulk.va_beg = va
        bulk.va_end = va + PAGE_SIZE
    elif va == bulk.va_end:
        bulk.va_end = va + PAGE_SIZE
    else:
        bulk.va_beg = VA_ALL
        bulk.va_end = 0
    bulk.count += 1
    return int(opte)


def pmap_inval_bulk_flush(bulk: PmapInvalBulk | None) -> None:
    """Invalidate what has changed since the last flush, in one command."""
    if bulk is None:
        return
    if bulk.va_beg != bulk.va_end:
        if bulk.va_beg == VA_ALL:
            pmap_inval_smp(bulk.pmap, VA_ALL, 1, None, 0)
        else:
            npgs = bulk.va_end - bulk.va_beg >> PAGE_SHIFT
            pmap_inval_smp(bulk.pmap, bulk.va_beg, npgs, None, 0)
    bulk.va_beg = bulk.va_end = bulk.count = 0
