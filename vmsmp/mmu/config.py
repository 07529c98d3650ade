"""The sizes and features with which a machine's memory-management units are made."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final

from vmsmp.engine.limits import MOST_PAGES
from vmsmp.errors import UsageError

#: How the entry is chosen that a full TLB gives up: the one used longest ago, or one that is drawn.
REPLACEMENTS: Final = ("lru", "draw")


@dataclass(frozen=True, slots=True)
class MmuConfig:
    """All configurable sizes and features.

    Raises: UsageError for impossible ones.
    """

    #: Physical frames of 4096 bytes.
    frames: int = 64
    #: Entries of each CPU's TLB, and how the one is chosen that gives way.
    tlb: int = 64
    replacement: str = "lru"
    #: Whether address spaces have numbers (CR4.PCIDE), so that a switch need not flush.
    pcid: bool = False
    #: Whether entries can forbid execution (EFER.NXE).
    nxe: bool = True
    #: Whether user pages have protection keys (CR4.PKE).
    pke: bool = False
    #: Addresses that a CPU may walk for of its own accord: before each access and after each flush the
    #: scheduler draws whether it does.
    guesses: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise UsageError(f"a machine has at least 1 frame, not {self.frames}")
        if self.frames > MOST_PAGES:
            raise UsageError(f"a machine has at most {MOST_PAGES:,} frames, not {self.frames}")
        if self.tlb < 1:
            raise UsageError(f"a TLB has at least 1 entry, not {self.tlb}")
        if self.replacement not in REPLACEMENTS:
            raise UsageError(f"a TLB replaces by {' or '.join(REPLACEMENTS)}, not by {self.replacement!r}")

    @classmethod
    def of(cls, **sizes: Any) -> MmuConfig:
        """As the constructor.

        Raises: UsageError also for a size that there is not.
        """
        known = [field.name for field in fields(cls)]
        for name in sizes:
            if name not in known:
                raise UsageError(f"unknown size {name!r}: there are {', '.join(known)}")
        return cls(**sizes)
