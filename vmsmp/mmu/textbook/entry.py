"""One page table entry of x86-64, and the error code of the page fault that it can cause.

Models: an entry that maps 4 KiB, in the format of `vmsmp.mmu.entry`; the error code's bits; a protection-key
register with two bits a key, as PKRU has.
Locks: none; an entry is a number.
Deviations: SS, HLAT and SGX have names and never occur; supervisor accesses obey R/W (CR0.WP) and neither
SMEP nor SMAP.
"""

from __future__ import annotations

from enum import IntFlag
from typing import Final

from vmsmp.mmu.entry import (
    PG_A,
    PG_FRAME,
    PG_G,
    PG_M,
    PG_NX,
    PG_PCD,
    PG_PWT,
    PG_RW,
    PG_U,
    PG_V,
    key_of,
    make_entry,
)
from vmsmp.mmu.fault import (
    PGEX_HLAT,
    PGEX_I,
    PGEX_P,
    PGEX_PK,
    PGEX_RSV,
    PGEX_SGX,
    PGEX_SS,
    PGEX_U,
    PGEX_W,
    Access,
)

#: How wide the model's physical addresses are: the frame's bits from here on are reserved.
PHYSICAL_BITS: Final = 46


class Pte(IntFlag):
    """The flags of an entry, under the manuals' names."""

    P = PG_V
    RW = PG_RW
    US = PG_U
    PWT = PG_PWT
    PCD = PG_PCD
    A = PG_A
    D = PG_M
    G = PG_G
    XD = PG_NX


class FaultCode(IntFlag):
    """The error code of a page fault, under the manuals' names."""

    P = PGEX_P
    WR = PGEX_W
    US = PGEX_U
    RSVD = PGEX_RSV
    ID = PGEX_I
    PK = PGEX_PK
    SS = PGEX_SS
    HLAT = PGEX_HLAT
    SGX = PGEX_SGX


#: What each bit of an entry, and of an error code, says.
PTE_MEANS: Final = {
    Pte.P: "present: without it all other bits are ignored",
    Pte.RW: "may be written to",
    Pte.US: "user mode may use it",
    Pte.PWT: "the cache writes through",
    Pte.PCD: "not cached",
    Pte.A: "accessed: set by the walk, cleared by software",
    Pte.D: "dirty: set by the walk of a write, cleared by software",
    Pte.G: "global: kept when the address space changes",
    Pte.XD: "no instruction may be fetched",
}
FAULT_MEANS: Final = {
    FaultCode.P: "the entry is present: it forbids the access",
    FaultCode.WR: "a write",
    FaultCode.US: "in user mode",
    FaultCode.RSVD: "a reserved bit of the entry is set",
    FaultCode.ID: "an instruction fetch",
    FaultCode.PK: "the entry's protection key forbids it",
    FaultCode.SS: "a shadow-stack access",
    FaultCode.HLAT: "found by the hypervisor's table",
    FaultCode.SGX: "an enclave's own check",
}

#: Where the manuals write a slash.
_SLASHED: Final = {"RW": "R/W", "US": "U/S", "WR": "W/R", "ID": "I/D"}
_RESERVED: Final = PG_FRAME & ~((1 << PHYSICAL_BITS) - 1)


def in_words(access: Access) -> str:
    """Return an access in two words."""
    what = "write" if access.write else "fetch" if access.fetch else "read"
    return f"{'user' if access.user else 'supervisor'} {what}"


def manual_name(bit: Pte | FaultCode) -> str:
    """Return the name of a bit as the manuals write it."""
    name = bit.name or ""
    return _SLASHED.get(name, name)


def entry_for(frame: int, permissions: str, *, user: bool = True, key: int = 0) -> int:
    """Return the present entry of a frame with permissions as in "rw-"."""
    bits = Pte.P | (Pte.US if user else 0) | (Pte.RW if "w" in permissions else 0)
    return make_entry(frame, int(bits | (0 if "x" in permissions else Pte.XD)), key)


def flags_of(entry: int) -> Pte:
    """Return the flags of an entry; one that is not present has none."""
    return Pte(entry & sum(Pte)) if entry & Pte.P else Pte(0)


def permissions_of(entry: int) -> str:
    """Return the permissions of an entry as in "rw-"."""
    if not entry & Pte.P:
        return "---"
    return f"r{'w' if entry & Pte.RW else '-'}{'-' if entry & Pte.XD else 'x'}"


def marked(entry: int, access: Access) -> int:
    """Return the entry as the hardware walk of an allowed access leaves it."""
    return int(entry | Pte.A | (Pte.D if access.write else 0))


def fault_code(entry: int, access: Access, pkru: int = 0) -> FaultCode | None:
    """Return the error code of the fault that an access causes, or None if it is allowed.

    `pkru` has two bits a key: the lower one forbids data accesses to user pages, the upper one writes.
    """
    code = FaultCode.WR if access.write else FaultCode(0)
    code |= FaultCode.US if access.user else 0
    code |= FaultCode.ID if access.fetch else 0
    if not entry & Pte.P:
        return code
    code |= FaultCode.P
    if entry & _RESERVED:
        return code | FaultCode.RSVD
    allowed = (
        (entry & Pte.US or not access.user)
        and (entry & Pte.RW or not access.write)
        and not (entry & Pte.XD and access.fetch)
    )
    denied = pkru >> 2 * key_of(entry) & 3 if entry & Pte.US and not access.fetch else 0
    if denied & 1 or (denied & 2 and access.write):
        return code | FaultCode.PK
    return None if allowed else code
