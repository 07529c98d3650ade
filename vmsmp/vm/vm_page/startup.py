"""The page array, the queues and the hash of a machine, and how they boot.

Models: vm_page_startup and vm_add_new_page of sys/vm/vm_page.c.
Locks: none; only the boot CPU runs.
Deviations:
  * page 0 of the array is physical page 0; there is one range of memory.
  * set_assoc_mask, if it is not given, is the kernel's for the CPUs declared, or else for those that exist so
    far, and never more than the number of colours allows.
  * a scan's marker is neither busy nor wired.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from vmsmp.records.home import Home
from vmsmp.records.pool import RecordPool
from vmsmp.vm.config import BootConfig
from vmsmp.vm.vm_meter.startup import PageCounts
from vmsmp.vm.vm_page.flags import PQ_TYPES
from vmsmp.vm.vm_page.hash_table import VmPageHash
from vmsmp.vm.vm_page.page import VmPage, Vpgqueues
from vmsmp.vm.vm_page.reserve import DmaReserve, dma_reserve
from vmsmp.vm.vm_page.tailq import TAILQ_INSERT_HEAD

#: The count that includes the pages of each queue type; held pages count as active.
_CNT_OFFSET: Final = {
    "free": "v_free_count",
    "inactive": "v_inactive_count",
    "active": "v_active_count",
    "cache": "v_cache_count",
    "hold": "v_active_count",
}
#: Machines from this size on are built with the garbage collector paused.
LARGE: Final = 10_000


class _Booting(Home, Protocol):
    """A subsystem whose page counts have already booted."""

    @property
    def meter(self) -> PageCounts:
        """The page counts."""

    @property
    def ncpus(self) -> int:
        """The number of CPUs beside the boot CPU, as far as it is known yet."""


class Pages:
    """The globals of vm_page.c: the pages, the queues by type and colour, and the page hash.

    A queue's index is its type's base (`PQ_FREE` and so on) plus its colour; 0 is no queue.
    """

    def __init__(self, vm: _Booting, config: BootConfig) -> None:
        size = config.l2_size
        self.l2_size = size
        self.l2_mask = size - 1
        self.PQ_FREE, self.PQ_INACTIVE, self.PQ_ACTIVE, self.PQ_CACHE, self.PQ_HOLD = (
            1 + n * size for n in range(len(PQ_TYPES))
        )
        #: As configured, or None.
        self.topology = config.topology
        #: Bytes of memory of each socket, as far as `vm_numa_organize` was told.
        self.phys_mem = [0] * (config.topology or (1,))[0]
        self._asked_mask = config.set_assoc_mask
        queues: RecordPool[Vpgqueues] = vm.pool(Vpgqueues, 1 + size * len(PQ_TYPES))
        self.vm_page_queues: list[Vpgqueues] = [
            self._queue(queues, n) for n in range(1 + size * len(PQ_TYPES))
        ]
        #: The queue type of each index.
        self.queue_types = ["none", *(type_ for type_ in PQ_TYPES for _ in range(size))]
        #: The low pages, if there are any.
        self.reserve: DmaReserve | None
        self._pool: RecordPool[VmPage] = vm.pool(VmPage, config.pages)
        self.vm_page_array: list[VmPage] = []
        self.reserve = dma_reserve(vm, config)
        with _collector_paused(config.pages):
            self._vm_add_new_pages(config.pages)
        low = self.reserve.booted if self.reserve is not None else 0
        vm.meter.vmstats.v_free_count.value = config.pages - low
        vm.meter.vmstats.v_wire_count.value = vm.meter.vmstats.v_dma_pages = low
        self.vm_page_hash = VmPageHash(vm, config)
        #: Whether only pages of vnodes are entered into the hash: a sysctl.
        self.vm_page_hash_vnode_only = 0
        self._vm = vm
        self.markers: list[VmPage] = []
        #: Counts the calls of `vm_page_dontneed`.
        self.dnweight = vm.machine.cell(
            0, "dnweight", sloppy="a call that is not counted changes how a page ages, and nothing else"
        )

    @property
    def set_assoc_mask(self) -> int:
        """The number of neighbouring colours that a search probes before it widens, minus one."""
        if self._asked_mask is not None:
            return self._asked_mask
        fit = 1
        while fit < self._vm.ncpus:
            fit <<= 1
        return min(max(self.l2_size // fit - 1, 7, 15), self.l2_mask)

    def _queue(self, pool: RecordPool[Vpgqueues], index: int) -> Vpgqueues:
        """Make the queue of that index; queue 0 is never used."""
        type_ = (index - 1) // self.l2_size if index else 0
        base = 1 + type_ * self.l2_size if index else 0
        return pool.make(index, index=index, base=base, cnt_offset=_CNT_OFFSET[PQ_TYPES[type_]])

    def _vm_add_new_pages(self, pages: int) -> None:
        """Put every page of physical memory on the free queue of its colour, and low ones into the alist.

        The colour is the page number, twisted by the number of full cycles through the colours, so
        that CPUs with neighbouring colours do not compete for the same cache sets.
        """
        size, mask, free = self.l2_size, self.l2_mask, self.PQ_FREE
        low = self.reserve.booted if self.reserve is not None else 0
        colours = list(range(size))  # shared: a machine may have a million pages
        for phys in range(pages):
            pc = colours[(phys ^ phys // size ^ phys // (size * size)) & mask]
            m = self._pool.make(phys, phys=phys, pc=pc)
            self.vm_page_array.append(m)
            if self.reserve is not None and phys < low:
                self.reserve.vm_add_new_page(m)
                continue
            pq = self.vm_page_queues[free + pc]
            m.queue = pq.index
            TAILQ_INSERT_HEAD(pq, m)
            pq.lcnt += 1

    def marker(self, flags: int, phys: int = -1, pc: int = 0) -> VmPage:
        """Make a page without physical memory: a scan's marker, or a driver's fictitious page.

        No lock protects it, so it belongs to no pool: it is neither guarded nor checked.
        """
        m = VmPage(self._vm, phys=phys, pc=pc, flags=flags)
        self.markers.append(m)
        return m

    def queue_name(self, index: int) -> str:
        """Return a queue's name by index: `pq.free[3]`, or `PQ_NONE` for index 0."""
        if not index:
            return "PQ_NONE"
        if not 0 < index < len(self.vm_page_queues):
            return f"no queue {index}"
        return f"pq.{self.queue_type(index)}[{(index - 1) % self.l2_size}]"

    def queue_type(self, index: int) -> str:
        """Return a queue's type by index, or "none" if there is no such queue."""
        return self.queue_types[index] if 0 < index < len(self.queue_types) else "none"


@contextmanager
def _collector_paused(pages: int) -> Iterator[None]:
    """Build a large machine with the collector paused, and move its objects to the oldest generation."""
    if pages < LARGE or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.unfreeze()  # move them from the permanent generation to the oldest
        gc.enable()


def startup(vm: _Booting, config: BootConfig) -> Pages:
    """vm_page_startup: make the queues, then put every page on the free queue of its colour."""
    return Pages(vm, config)
