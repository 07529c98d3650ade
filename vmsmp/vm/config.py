"""The sizes with which a machine's memory boots; they never change afterwards."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from vmsmp.errors import UsageError
from vmsmp.vm.vm_page.flags import PQ_L2_SIZE


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
    #: Pages that a CPU may count locally before it adds them to the global counts.
    adj_limit: int = 1024
    #: Elements of the page hash, a power of two (None: as the kernel computes it), and ways of a set.
    hash_size: int | None = None
    hash_set: int = 4
    #: Pages that a scan visits between two yields.
    scan_yield: int = 64

    def __post_init__(self) -> None:
        if self.pages < 1:
            raise UsageError(f"a machine has at least 1 page, not {self.pages}")
        if self.l2_size < 1 or self.l2_size & (self.l2_size - 1) or self.l2_size > PQ_L2_SIZE:
            raise UsageError(f"l2_size must be a power of two up to {PQ_L2_SIZE}, not {self.l2_size}")
        if self.adj_limit < 0:
            raise UsageError(f"adj_limit must not be negative, and is {self.adj_limit}")
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
