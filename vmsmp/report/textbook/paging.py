"""Paging with one table: the lecture's process A, and what a flat table costs."""

from __future__ import annotations

from typing import Final

from vmsmp.mmu.entry import frame_of
from vmsmp.mmu.textbook.entry import permissions_of
from vmsmp.mmu.textbook.paging import FLAT, OFFSET_BITS, PAGE_BYTES, Layout, PageFault, PageTable
from vmsmp.report.textbook.page import Chapter, Page, Table, size

#: The pages of process A: frame and permissions.
PROCESS_A: Final = {0: (302, "rw-"), 1: (106, "r-x"), 2: (19, "r--")}
_ADDRESSES: Final = (0x00000400, 0x00001402, 0x00002FFF, 0x00003000)


def process_a(layout: Layout = FLAT) -> PageTable:
    """Return the page table of process A."""
    table = PageTable(layout)
    for page, (frame, permissions) in PROCESS_A.items():
        table.map(page * PAGE_BYTES, frame, permissions)
    return table


def outcome(address: int) -> str:
    """Return where an address of process A lies, or how it faults."""
    try:
        return f"{process_a().translate(address).physical:#010x}"
    except PageFault as fault:
        return f"page fault, error code {fault.code:#x}"


def write() -> Page:
    table = process_a()
    (level,) = FLAT.levels
    return Page(
        (
            f"Memory is cut into frames of {size(PAGE_BYTES)}, an address space into pages of the same size. "
            f"The top {level.bits} bits of an address are the page's number, the other {OFFSET_BITS} the "
            "offset in it. The page table says which frame a page is in; the offset stays as it is.",
            Table(
                "The page table of process A",
                ("page", "frame", "frame's address", "permissions"),
                [
                    (page, frame_of(entry), f"{frame_of(entry) * PAGE_BYTES:#010x}", permissions_of(entry))
                    for page in PROCESS_A
                    for entry in [table.walk(page * PAGE_BYTES).entry]
                ],
            ),
            Table(
                "Translations",
                ("address", "page", "offset", "result"),
                [
                    (f"{address:#010x}", walk.indexes[0], f"{walk.offset:#05x}", outcome(address))
                    for address in _ADDRESSES
                    for walk in [table.walk(address)]
                ],
            ),
            f"A flat table has an entry for each of the {level.entries:,} pages, used or not: with "
            f"{FLAT.entry_bytes} bytes an entry that is {size(table.bytes)} for each process, although "
            f"process A uses {len(PROCESS_A)} of them. The chapter `levels` has the way out.",
        )
    )


CHAPTER: Final = Chapter(
    "paging", "one page table: process A, and what it costs", ("vmsmp.mmu.textbook.paging",), write
)
