"""The words of struct vm_page: busy_count, flags, valid bits, and the flags of allocation requests.

Models: the constants of sys/vm/vm_page.h.
Locks: none; these are constants, and functions that format a word's value for a report.
Deviations: none known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Final

# busy_count
PBUSY_LOCKED: Final = 0x80000000
PBUSY_WANTED: Final = 0x40000000
PBUSY_SWAPINPROG: Final = 0x20000000
PBUSY_MASK: Final = 0x1FFFFFFF


# flags
PG_WINATCFLS: Final = 0x0004
PG_FICTITIOUS: Final = 0x0008
PG_WRITEABLE: Final = 0x0010
PG_MAPPED: Final = 0x0020
PG_MAPPEDMULTI: Final = 0x0040
PG_REFERENCED: Final = 0x0080
PG_CLEANCHK: Final = 0x0100
PG_NOSYNC: Final = 0x0400
PG_UNQUEUED: Final = 0x0800
PG_MARKER: Final = 0x1000
PG_RAM: Final = 0x2000
PG_SWAPPED: Final = 0x4000
PG_NOTMETA: Final = 0x8000
PG_NEED_COMMIT: Final = 0x40000
#: The flags that a page keeps when it is allocated: none.
PG_KEEP_NEWPAGE_MASK: Final = 0


# interlock_count, of struct md_page
INTERLOCK_WAITING: Final = 1 << 62
INTERLOCK_COUNT: Final = INTERLOCK_WAITING - 1


# valid and dirty: one bit per DEV_BSIZE block of a page
PAGE_SIZE: Final = 4096
DEV_BSIZE: Final = 512
VM_PAGE_BITS_ALL: Final = 0xFF
ACT_DECLINE: Final = 1
ACT_ADVANCE: Final = 3
ACT_INIT: Final = 5
ACT_MAX: Final = 64


# allocation requests
VM_ALLOC_NORMAL: Final = 0x0001
VM_ALLOC_SYSTEM: Final = 0x0002
VM_ALLOC_INTERRUPT: Final = 0x0004
VM_ALLOC_ZERO: Final = 0x0008
VM_ALLOC_QUICK: Final = 0x0010
VM_ALLOC_FORCE_ZERO: Final = 0x0020
VM_ALLOC_NULL_OK: Final = 0x0040
VM_ALLOC_RETRY: Final = 0x0080
VM_ALLOC_USE_GD: Final = 0x0100
VM_ALLOC_CPU_SPEC: Final = 0x0200
VM_ALLOC_CPU_SHIFT: Final = 16


_FLAG_NAMES: Final = {
    value: name
    for name, value in list(globals().items())
    if name.startswith("PG_") and isinstance(value, int) and value
}


def VM_ALLOC_CPU(n: int) -> int:
    """Return the request flags that select the colours of CPU `n`."""
    return n << VM_ALLOC_CPU_SHIFT | VM_ALLOC_CPU_SPEC


def VM_ALLOC_GETCPU(page_req: int) -> int:
    """Return the CPU that `VM_ALLOC_CPU` has put into request flags."""
    return page_req >> VM_ALLOC_CPU_SHIFT


def busy_format(value: int) -> str:
    """Format busy_count: `LOCKED|WANTED|2`."""
    parts = [name for bit, name in _BUSY_NAMES if value & bit]
    return "|".join([*parts, str(value & PBUSY_MASK)])


_BUSY_NAMES: Final = (
    (PBUSY_LOCKED, "LOCKED"),
    (PBUSY_WANTED, "WANTED"),
    (PBUSY_SWAPINPROG, "SWAPINPROG"),
)


def flags_format(value: int) -> str:
    """Format flags: `PG_MAPPED|PG_REFERENCED`, or `0` for none."""
    return "|".join(name for bit, name in _FLAG_NAMES.items() if value & bit) or "0"


def interlock_format(value: int) -> str:
    """Format interlock_count: `WAITING|1`."""
    return "WAITING|" * bool(value & INTERLOCK_WAITING) + str(value & INTERLOCK_COUNT)


PQ_L2_SIZE: Final = 1024
PQ_L2_MASK: Final = PQ_L2_SIZE - 1
#: The steps, in colours, of a walk over the queues: odd, so that it reaches every colour.
PQ_PRIME1: Final = 31
PQ_PRIME2: Final = 23
PQ_NONE: Final = 0
#: The blocks of vm_contig_alist, and so the most pages below vm_low_phys_reserved.
LOW_PAGES_MAX: Final = 65536


#: The queue types in the order of their bases: base = 1 + type * l2_size.
PQ_TYPES: Final = ("free", "inactive", "active", "cache", "hold")
