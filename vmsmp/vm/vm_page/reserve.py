"""The pages below vm_low_phys_reserved, kept for contiguous memory, and how they boot.

Models: vm_contig_alist, vm_contig_spin, vm_low_phys_reserved and vm_dma_reserved of sys/vm/vm_page.c, and
what vm_page_startup and vm_add_new_page do about them.
Locks: vm_contig_spin, the alist's own spinlock, for the alist and `v_dma_pages`.  vm_low_phys_reserved is a
plain word that is read without a lock.
Deviations:
  * a machine has no such pages unless it is booted with some (`low_pages`), and then no alist either.
  * vm_dma_reserved is given in pages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vmsmp.vm.subr_alist import ALIST_RECORDS_65536, Alist, alist_free, alist_init
from vmsmp.vm.vm_page.flags import LOW_PAGES_MAX, PAGE_SIZE, PG_FICTITIOUS, PG_UNQUEUED, PQ_NONE
from vmsmp.vm.vm_page.page import HARD, WIRE

if TYPE_CHECKING:
    from vmsmp.records.home import Home
    from vmsmp.vm.config import BootConfig
    from vmsmp.vm.vm_page.page import VmPage

#: The most pages that the kernel keeps for drivers: 128 MB.
DMA_PAGES_MAX: Final = 128 * 1024 * 1024 // PAGE_SIZE


class DmaReserve:
    """The globals of vm_page.c for contiguous memory."""

    def __init__(self, vm: Home, low_pages: int, dma_pages: int) -> None:
        self.vm_contig_alist: Alist = vm.pool(Alist, 1).make(0, _name="vm_contig_alist")
        alist_init(self.vm_contig_alist, LOW_PAGES_MAX, ALIST_RECORDS_65536)
        self.vm_contig_spin = self.vm_contig_alist.spin
        self.vm_low_phys_reserved = vm.machine.cell(
            low_pages * PAGE_SIZE,
            "vm_low_phys_reserved",
            sloppy="it moves once, as the boot ends: the finding driver-outlives-the-boot",
        )
        self.vm_dma_reserved = dma_pages * PAGE_SIZE
        #: The pages that were low at boot.
        self.booted = low_pages

    def vm_add_new_page(self, m: VmPage) -> None:
        """Give the alist a page at boot: wired, and never on a queue."""
        m.flags.value = PG_FICTITIOUS | PG_UNQUEUED
        m.queue = PQ_NONE
        m.wire_count.value = 1
        m.took(HARD)  # nobody else could have it
        m.took(WIRE)
        m.gave(HARD)
        alist_free(self.vm_contig_alist, m.phys, 1)


def dma_reserve(vm: Home, config: BootConfig) -> DmaReserve | None:
    """Return the reserve that the configuration asks for, still empty, or None."""
    low, keep = config.low_pages, config.dma_pages
    if low is None:
        low = min(LOW_PAGES_MAX, config.pages // 4)
    if keep is None:
        keep = min(DMA_PAGES_MAX, config.pages // 16)
    return DmaReserve(vm, low, keep) if low else None
