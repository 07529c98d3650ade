"""Page table entries and page faults: the bits of both, and which access of which entry gives which code."""

from __future__ import annotations

from typing import Final

from vmsmp.mmu.entry import KEY_SHIFT, PAGE_SHIFT, frame_of, key_of
from vmsmp.mmu.fault import FETCH, LOAD, STORE, Access
from vmsmp.mmu.textbook.entry import (
    FAULT_MEANS,
    PHYSICAL_BITS,
    PTE_MEANS,
    FaultCode,
    Pte,
    entry_for,
    fault_code,
    flags_of,
    in_words,
    manual_name,
    marked,
)
from vmsmp.mmu.textbook.paging import FOUR_LEVELS, PageFault, PageTable
from vmsmp.report.textbook.page import Chapter, Page, Table

_KERNEL: Final = Access(user=False)
_KEY: Final = 5
#: No data access by key 5.
_PKRU: Final = 1 << 2 * _KEY
#: What is tried: a name for the entry, the entry, the access.
_TRIALS: Final = (
    ("not present", 0, LOAD),
    ("not present", 0, STORE),
    ("not present", 0, FETCH),
    ("not present", 0, _KERNEL),
    ("rw-", entry_for(302, "rw-"), STORE),
    ("r--", entry_for(19, "r--"), STORE),
    ("rw-", entry_for(302, "rw-"), FETCH),
    ("rw- of the kernel", entry_for(302, "rw-", user=False), LOAD),
    ("reserved bit set", entry_for(302, "rw-") | 1 << PHYSICAL_BITS, LOAD),
    (f"rw-, key {_KEY} locked", entry_for(302, "rw-", key=_KEY), LOAD),
)


def bits_of(code: FaultCode) -> str:
    """Return the names of an error code's bits."""
    return " ".join(manual_name(bit) for bit in FaultCode if bit & code) or "none"


def _bit(flag: int) -> int:
    return flag.bit_length() - 1


def _row(what: str, entry: int, access: Access) -> tuple[str, str, str, str]:
    code = fault_code(entry, access, _PKRU)
    if code is None:
        after = flags_of(marked(entry, access)) & (Pte.A | Pte.D)
        return what, in_words(access), "allowed", f"sets {' and '.join(manual_name(bit) for bit in after)}"
    return what, in_words(access), f"{int(code):#x}", bits_of(code)


def write() -> Page:
    entry = entry_for(302, "rw-", key=_KEY)
    table = PageTable(FOUR_LEVELS)
    try:
        table.translate(0x400123, STORE)
    except PageFault as fault:
        caught = fault
    return Page(
        (
            "An entry of a page table is one word of 64 bits.",
            Table(
                "The bits of an entry",
                ("bits", "name", "what it says"),
                [
                    *((str(_bit(flag)), manual_name(flag), PTE_MEANS[flag]) for flag in list(Pte)[:-1]),
                    (f"{PAGE_SHIFT} on", "frame", f"the frame's address ({PHYSICAL_BITS} bits wide here)"),
                    (f"{KEY_SHIFT}-{KEY_SHIFT + 3}", "key", "the protection key, one of 16"),
                    (str(_bit(Pte.XD)), "XD", PTE_MEANS[Pte.XD]),
                ],
            ),
            f"Frame {frame_of(entry)}, read and write, for users, key {key_of(entry)}, is {entry:#018x}. "
            f"After a read the walk has made it {marked(entry, LOAD):#018x} (A), after a write "
            f"{marked(entry, STORE):#018x} (A and D). The hardware sets these two bits and never clears "
            "them; software clears them, to learn what was used or written to since.",
            Table(
                "The bits of a page fault's error code",
                ("bit", "name", "what it says"),
                [(_bit(bit), manual_name(bit), FAULT_MEANS[bit]) for bit in FaultCode],
            ),
            Table(
                "Accesses and their error codes",
                ("entry", "access", "error code", "bits"),
                [_row(*trial) for trial in _TRIALS],
            ),
            f"The address that faulted goes to CR2: a {in_words(STORE)} of {caught.address:#x} with nothing "
            f"mapped leaves CR2 = {caught.address:#x} and the error code {int(caught.code):#x}. CR3 holds "
            "the address of the root table (the lecture's slide has the two registers swapped).",
        )
    )


CHAPTER: Final = Chapter(
    "entries",
    "the bits of an entry, and of a page fault's error code",
    ("vmsmp.mmu.textbook.entry", "vmsmp.mmu.entry"),
    write,
)
