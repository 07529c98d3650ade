"""Segmentation: the worked table, its translations and its fault; memory lost within and between."""

from __future__ import annotations

from typing import Final

from vmsmp.mmu.textbook.fragmentation import ContiguousMemory, Placed
from vmsmp.mmu.textbook.segmentation import (
    MOST_BYTES,
    MOST_SEGMENTS,
    OFFSET_BITS,
    SELECTOR_BITS,
    Segment,
    SegmentationFault,
    SegmentTable,
    split,
)
from vmsmp.report.textbook.page import Chapter, Page, Table, size

#: The lecture's table.
LECTURE: Final = SegmentTable(
    (
        Segment(0x4F000000, 0xFFFFFF, "rw-"),
        Segment(0x01000000, 0x1FFFFF, "r-x"),
        Segment(0x30000000, 0x9FFFFF, "r--"),
    )
)
#: Addresses that are translated, each with the kind of access.
_ADDRESSES: Final = (
    (0x00001030, "r"),
    (0x02A20357, "r"),
    (0x0100ABCD, "x"),
    (0x0100ABCD, "w"),
    (0x03000000, "r"),
)
_KIB: Final = 1024
#: What is placed, in KiB, and then which of that is removed, before one more is asked for.
_PLACED: Final = (100, 30, 70, 14, 25)
_REMOVED: Final = (1, 3)
_LAST: Final = 40


def outcome(address: int, access: str) -> str:
    """Return where an address of the lecture's table lies, or why nowhere."""
    try:
        return f"{LECTURE.translate(address, access).physical:#010x}"
    except SegmentationFault as fault:
        return f"segmentation fault: {fault}"


def write() -> Page:
    bits = SELECTOR_BITS + OFFSET_BITS
    return Page(
        (
            f"An address of {bits} bits is cut in two: the top {SELECTOR_BITS} bits select a segment, the "
            f"other {OFFSET_BITS} are an offset in it. So there are up to {MOST_SEGMENTS} segments "
            f"(2^{SELECTOR_BITS}; the lecture's slide prints 64) of up to {size(MOST_BYTES)} each. A segment "
            "table has for each of them where it begins in memory, its largest offset, and what may be done "
            "with it.",
            Table(
                "The segment table of a process",
                ("segment", "base", "size", "length", "permissions"),
                [
                    (n, f"{one.base:#010x}", f"{one.size:#08x}", size(one.length), one.permissions)
                    for n, one in enumerate(LECTURE.segments)
                ],
            ),
            "The CPU adds the offset to the base, if the offset is no larger than the size and the "
            "permissions allow the access. Otherwise it faults.",
            Table(
                "Translations",
                ("address", "access", "segment", "offset", "result"),
                [
                    (f"{address:#010x}", access, str(split(address)[0]), f"{split(address)[1]:#08x}", result)
                    for address, access in _ADDRESSES
                    for result in [outcome(address, access)]
                ],
            ),
            *_fragmentation(),
        )
    )


def _fragmentation() -> tuple[str | Table, ...]:
    memory = ContiguousMemory(256 * _KIB, granule=16 * _KIB)
    rows: list[tuple[str, str, str, str, str]] = []

    def note(what: str) -> None:
        lost = f"{memory.external:.0%} of free memory"
        rows.append((what, size(memory.free), size(memory.largest_hole), size(memory.internal), lost))

    placed: list[Placed] = []
    for used in _PLACED:
        segment = memory.place(used * _KIB)
        if segment is not None:
            placed.append(segment)
        note(f"place {used} KiB")
    for n in _REMOVED:
        memory.remove(placed[n])
        note(f"remove the {placed[n].used // _KIB} KiB")
    found = memory.place(_LAST * _KIB)
    note(f"place {_LAST} KiB: {'done' if found is not None else 'no hole is large enough'}")
    return (
        "A segment is contiguous in memory. That costs memory in two ways. Internal fragmentation: a segment "
        f"is as long as it was asked for, here in multiples of {size(memory.granule)}, and its unused tail "
        "serves nobody. External fragmentation: what is free lies in holes, and a request may fail although "
        "the holes together are large enough. Pages of one size have no external fragmentation.",
        Table(
            f"Segments in {size(memory.size)} of memory, first fit",
            ("step", "free", "largest hole", "lost within", "lost between"),
            rows,
        ),
    )


CHAPTER: Final = Chapter(
    "segmentation",
    "segments, their limits, and fragmentation",
    ("vmsmp.mmu.textbook.segmentation", "vmsmp.mmu.textbook.fragmentation"),
    write,
)
