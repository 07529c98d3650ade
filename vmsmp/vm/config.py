"""The sizes with which a machine's memory boots; they never change afterwards."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from vmsmp.engine.limits import MOST_PAGES
from vmsmp.errors import UsageError
from vmsmp.vm.vm_object.object import VMOBJ_HSIZE
from vmsmp.vm.vm_page.flags import LOW_PAGES_MAX, PQ_L2_SIZE


@dataclass(frozen=True, slots=True)
class BootConfig:
    """All configurable sizes, scaled down or as in the kernel.

    Raises: UsageError for impossible sizes.
    """

    #: Physical pages of 4096 bytes.
    pages: int = 64
    #: Colours of a queue type: a power of two, PQ_L2_SIZE (1024) in the kernel.
    l2_size: int = 4
    #: Colours that a search probes before it widens, minus one (None: as the kernel computes it).
    set_assoc_mask: int | None = None
    #: Sockets, cores per socket, threads per core; CPUs are numbered through them, from CPU 1 on (None:
    #: one socket with one core per CPU).
    topology: tuple[int, int, int] | None = None
    #: Pages at the beginning of memory that are kept for contiguous requests, and how many of them
    #: `vm_page_startup_finish` leaves there (None: as in the kernel, a quarter and a sixteenth of memory).
    low_pages: int | None = 0
    dma_pages: int | None = None
    #: Pages that a CPU may count locally before it adds them to the global counts.
    adj_limit: int = 1024
    #: Elements of the page hash, a power of two (None: as the kernel computes it), and ways of a set.
    hash_size: int | None = None
    hash_set: int = 4
    #: How many pages a scan visits between two yields.
    scan_yield: int = 64
    #: Map entries that the boot CPU, and every other CPU, has from the start.
    map_entry_cache: tuple[int, int] = (257, 8)
    #: Map entries that may be had without asking the kernel's map for more memory.
    map_entries: int = 9216
    #: A CPU with more available map entries than the first frees all but the second.
    map_reserve_slop: int = 512
    map_reserve_hyst: int = 448
    #: Bytes: most of a stack, by which it grows, and most of a process' data.
    maxssiz: int = 512 << 20
    sgrowsiz: int = 128 << 10
    maxdsiz: int = 32 << 30
    #: Buckets of the hash of all objects, a power of two; 256 in the kernel.
    object_hash: int = 4
    #: Blocks of swap, of a page each.
    swap_pages: int = 1024
    #: Addresses that CPUs may walk speculatively (`vmsmp.mmu.config`).
    guesses: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.pages < 1:
            raise UsageError(f"a machine has at least 1 page, not {self.pages}")
        if self.pages > MOST_PAGES:
            raise UsageError(f"a machine has at most {MOST_PAGES:,} pages, not {self.pages}")
        if self.l2_size < 1 or self.l2_size & (self.l2_size - 1) or self.l2_size > PQ_L2_SIZE:
            raise UsageError(f"l2_size must be a power of two up to {PQ_L2_SIZE}, not {self.l2_size}")
        if (
            self.object_hash < 1
            or self.object_hash & (self.object_hash - 1)
            or self.object_hash > VMOBJ_HSIZE
        ):
            raise UsageError(
                f"object_hash must be a power of two up to {VMOBJ_HSIZE}, not {self.object_hash}"
            )
        if self.swap_pages < 0:
            raise UsageError(f"swap_pages must not be negative, and is {self.swap_pages}")
        if self.adj_limit < 0:
            raise UsageError(f"adj_limit must not be negative, and is {self.adj_limit}")
        if self.low_pages is not None and not 0 <= self.low_pages <= min(self.pages, LOW_PAGES_MAX):
            most = min(self.pages, LOW_PAGES_MAX)
            raise UsageError(f"low_pages must be from 0 to {most}, not {self.low_pages}")
        if self.dma_pages is not None and self.dma_pages < 0:
            raise UsageError(f"dma_pages must not be negative, and is {self.dma_pages}")
        if min(self.map_entry_cache) < 1 or self.map_entries < 0:
            raise UsageError("a CPU needs at least 1 map entry, and the zone of entries 0 or more")
        if not 0 <= self.map_reserve_hyst <= self.map_reserve_slop:
            raise UsageError("map_reserve_hyst must be from 0 to map_reserve_slop")
        if self.topology is not None and min(self.topology) < 1:
            raise UsageError(f"topology counts sockets, cores and threads from 1 on, not {self.topology}")

    @classmethod
    def of(cls, **sizes: Any) -> BootConfig:
        """Return the configuration with these sizes.

        Raises: UsageError for an unknown size.
        """
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(sizes) - set(known))
        if unknown:
            raise UsageError(f"boot() knows no size {unknown[0]!r}: there are {', '.join(known)}")
        return cls(**sizes)
