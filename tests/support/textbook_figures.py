"""The worked figures of the course, in one table: what a model must compute and where a page shows it.

The course is a university's lecture on operating systems.  Where its slides drop a digit (the bases of the
segment table) or slip (64 segments), the figure is the one that its own worked answers need.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from vmsmp.mmu.entry import KEY_SHIFT, PAGE_SHIFT
from vmsmp.mmu.textbook import segmentation
from vmsmp.mmu.textbook.demand import ReadFault, cost
from vmsmp.mmu.textbook.entry import FaultCode, Pte
from vmsmp.mmu.textbook.paging import FLAT, FOUR_LEVELS, PAGE_BYTES, TWO_LEVELS
from vmsmp.mmu.textbook.replacement import anomalies, faults
from vmsmp.patches.catalogue import MUTANT_BY_ID
from vmsmp.report.textbook import demand, levels, mappings, paging, replacement, tlb
from vmsmp.report.textbook import segmentation as segments
from vmsmp.report.textbook.page import searched, size

KIB, MIB, GIB, TIB = (1 << shift for shift in (10, 20, 30, 40))


class Figure(NamedTuple):
    """A figure: its chapter, what it is, its value, how the model comes to it, how the page says it."""

    chapter: str
    what: str
    value: Any
    computed: Callable[[], Any]
    shown: str


def minor(program, on_read):
    return [program.before, *(count for count, _, _ in demand.counts(program, on_read))]


def two_level_tables(pages):
    return sum(levels.mapped(TWO_LEVELS, pages).tables())


def first_touches():
    """What each access that faults costs, over what one costs that does not, in both programs."""
    found = set()
    for program in (demand.READ_THEN_WRITE, demand.WRITE_THEN_READ):
        paths = [path for _, _, path in demand.counts(program, ReadFault.ZERO_PAGE)]
        found |= {cost(path) // min(map(cost, paths)) for path in paths}
    return found - {1}


def bit(flag):
    return flag.bit_length() - 1


FIGURES = [
    Figure("segmentation", "segments", 256, lambda: segmentation.MOST_SEGMENTS, "up to 256 segments"),
    Figure(
        "segmentation", "bytes of a segment", 16 * MIB, lambda: segmentation.MOST_BYTES, "up to 16 MiB each"
    ),
    Figure(
        "segmentation",
        "0x00001030",
        (0, 0x001030, 0x4F001030),
        lambda: tuple(
            getattr(segments.LECTURE.translate(0x00001030), name)
            for name in ("selector", "offset", "physical")
        ),
        "0x00001030 r 0 0x001030 0x4f001030",
    ),
    Figure(
        "segmentation",
        "0x02a20357",
        "segmentation fault: offset 0xa20357 > size 0x9fffff",
        lambda: segments.outcome(0x02A20357, "r"),
        "0x02a20357 r 2 0xa20357 segmentation fault: offset 0xa20357 > size 0x9fffff",
    ),
    Figure(
        "segmentation",
        "the table",
        [(0x4F000000, 0xFFFFFF, "rw-"), (0x01000000, 0x1FFFFF, "r-x"), (0x30000000, 0x9FFFFF, "r--")],
        lambda: [(one.base, one.size, one.permissions) for one in segments.LECTURE.segments],
        "0 0x4f000000 0xffffff 16 MiB rw- 1 0x01000000 0x1fffff 2 MiB r-x 2 0x30000000 0x9fffff 10 MiB r--",
    ),
    Figure(
        "paging",
        "0x00000400",
        0x0012E400,
        lambda: paging.process_a().translate(0x00000400).physical,
        "0x00000400 0 0x400 0x0012e400",
    ),
    Figure(
        "paging",
        "0x00001402",
        0x0006A402,
        lambda: paging.process_a().translate(0x00001402).physical,
        "0x00001402 1 0x402 0x0006a402",
    ),
    Figure(
        "paging",
        "the frames of process A",
        [302, 106, 19],
        lambda: [paging.process_a().walk(page * PAGE_BYTES).physical // PAGE_BYTES for page in range(3)],
        "0 302 0x0012e000 rw- 1 106 0x0006a000 r-x 2 19 0x00013000 r--",
    ),
    Figure(
        "paging", "a flat table", 4 * MIB, lambda: paging.process_a().bytes, "4 bytes an entry that is 4 MiB"
    ),
    Figure(
        "levels",
        "bits of two levels",
        [10, 10],
        lambda: [level.bits for level in TWO_LEVELS.levels],
        "the first 10 index the outer table, the next 10 an inner one",
    ),
    Figure(
        "levels",
        "two tables map",
        (2, 4 * MIB),
        lambda: (two_level_tables(1024), 1024 * PAGE_BYTES),
        "4 MiB 2",
    ),
    Figure("levels", "one page more", 3, lambda: two_level_tables(1025), "4100 KiB 3"),
    Figure(
        "levels", "a further inner table", 4 * MIB, lambda: TWO_LEVELS.reach(1), "each further one 4 MiB more"
    ),
    Figure(
        "levels", "address bits", 48, lambda: FOUR_LEVELS.address_bits, "48 bits are cut 9 + 9 + 9 + 9 + 12"
    ),
    *(
        Figure(
            "levels",
            f"reach of a {name} page",
            reach,
            lambda n=n: FOUR_LEVELS.reach(n),
            f"{name} 512 {size(reach // 512)} {size(reach)}",
        )
        for n, (name, reach) in enumerate(
            [("PGD", 256 * TIB), ("PUD", 512 * GIB), ("PMD", GIB), ("PTE", 2 * MIB)]
        )
    ),
    *(
        Figure("entries", f"bit {name} of an entry", n, lambda flag=flag: bit(flag), f"{n} {name} ")
        for n, name, flag in [
            (0, "P", Pte.P),
            (1, "R/W", Pte.RW),
            (2, "U/S", Pte.US),
            (3, "PWT", Pte.PWT),
            (4, "PCD", Pte.PCD),
            (5, "A", Pte.A),
            (6, "D", Pte.D),
            (63, "XD", Pte.XD),
        ]
    ),
    Figure("entries", "where the frame is", 12, lambda: PAGE_SHIFT, "12 on frame"),
    Figure("entries", "where the key is", 59, lambda: KEY_SHIFT, "59-62 key"),
    *(
        Figure("entries", f"bit {name} of a code", n, lambda flag=flag: bit(flag), f"{n} {name} ")
        for n, name, flag in [
            (0, "P", FaultCode.P),
            (1, "W/R", FaultCode.WR),
            (2, "U/S", FaultCode.US),
            (3, "RSVD", FaultCode.RSVD),
            (4, "I/D", FaultCode.ID),
            (5, "PK", FaultCode.PK),
            (6, "SS", FaultCode.SS),
            (7, "HLAT", FaultCode.HLAT),
            (15, "SGX", FaultCode.SGX),
        ]
    ),
    *(
        Figure(
            "tlb",
            f"wrong frames if a switch does this: {way}",
            wrong,
            lambda way=way: sum(not visit.right for visit in tlb.visits(**tlb.WAYS[way])),
            f"{way} {references} {wrong}",
        )
        for way, references, wrong in [
            ("nothing", 14, 1),
            ("flush the TLB", 22, 0),
            ("tag entries by ASID", 18, 0),
        ]
    ),
    *(
        Figure(
            "shootdown",
            f"found within 500 schedules: {what}",
            True,
            lambda ident=ident: searched("shootdown_then_reuse", 500, ident).found.startswith("INV-T"),
            f"{ident}: {MUTANT_BY_ID[ident].story}",
        )
        for ident, what in [
            ("TB-01", "no flush"),
            ("TB-02", "a flush before the tables change"),
            ("TB-03", "reuse before the answer"),
        ]
    ),
    Figure(
        "demand",
        "read, then write: zero page",
        [87, 89, 89, 91, 91],
        lambda: minor(demand.READ_THEN_WRITE, ReadFault.ZERO_PAGE),
        "before 87 87 87 0 after the first reads 89 89 89 0 after the second reads 89 89 89 0 "
        "after the first writes 91 89 89 0 after the second writes 91 89 89 0",
    ),
    Figure(
        "demand",
        "write, then read: zero page",
        [88, 90, 90, 90, 90],
        lambda: minor(demand.WRITE_THEN_READ, ReadFault.ZERO_PAGE),
        "before 88 88 88 0 after the first writes 90 90 90 0 after the second writes 90 90 90 0 "
        "after the first reads 90 90 90 0 after the second reads 90 90 90 0",
    ),
    Figure(
        "demand",
        "read, then write: as the kernel does it",
        [(89, 0)] * 4,
        lambda: demand.kernel_counts(demand.READ_THEN_WRITE),
        "after the first writes 91 89 89 0",
    ),
    Figure(
        "demand",
        "first touches cost 15 to 100 times later ones",
        (True, True),
        lambda: (min(first_touches()) >= 15, max(first_touches()) <= 100),
        "first reads walk, trap, write the entry, walk, access 21",
    ),
    Figure(
        "replacement",
        "Belady's anomaly",
        ([3], []),
        lambda: (anomalies("FIFO", replacement.BELADY, 6), anomalies("LRU", replacement.BELADY, 6)),
        "FIFO from 3 to 4 frames LRU never",
    ),
    Figure(
        "replacement",
        "FIFO with 3 and with 4 frames",
        [9, 10],
        lambda: [faults("FIFO", replacement.BELADY, n) for n in (3, 4)],
        "3 9 10 7 9 4 10 8 6 10",
    ),
    Figure(
        "mappings",
        "digits of an address",
        {12},
        lambda: {len(edge) for line in mappings.process()[0].maps() for edge in line.split()[0].split("-")},
        "000000400000-000000404000 r-xp 00000000 08:01 11 /bin/program",
    ),
    Figure("paging", "entries of a flat table", 1 << 20, lambda: FLAT.levels[0].entries, "1,048,576 pages"),
]
