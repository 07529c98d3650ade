"""Page tables in two and in four levels: how an address is cut, what a table reaches, what tables cost."""

from __future__ import annotations

from typing import Final

from vmsmp.mmu.textbook.paging import (
    FLAT,
    FOUR_LEVELS,
    OFFSET_BITS,
    PAGE_BYTES,
    TWO_LEVELS,
    Layout,
    PageTable,
)
from vmsmp.report.textbook.page import Chapter, Page, Table, size
from vmsmp.report.textbook.paging import PROCESS_A, process_a

#: Numbers of pages mapped from address 0 on, and then one far away.
_PAGES: Final = (1, 1024, 1025, 2048)
_ADDRESS: Final = 0x7F12345678AB


def mapped(layout: Layout, pages: int, *, and_far: bool = False) -> PageTable:
    """Return a table with that many pages from address 0 on, and one at the top of the address space."""
    table = PageTable(layout)
    for page in range(pages):
        table.map(page * PAGE_BYTES, page)
    if and_far:
        table.map((1 << layout.address_bits) - PAGE_BYTES, pages)
    return table


def _cost(what: str, table: PageTable) -> tuple[str, int, str]:
    return what, sum(table.tables()), size(table.bytes)


def write() -> Page:
    outer, inner = TWO_LEVELS.levels
    indexes, offset = FOUR_LEVELS.split(_ADDRESS)
    table = mapped(FOUR_LEVELS, 1)
    return Page(
        (
            f"Two levels: of {TWO_LEVELS.address_bits} bits the first {outer.bits} index the outer table, "
            f"the next {inner.bits} an inner one, the last {OFFSET_BITS} are the offset. An inner table is "
            f"made when its first page is mapped. It has {inner.entries:,} entries and reaches "
            f"{size(TWO_LEVELS.reach(1))}: two tables map that much, each further one "
            f"{size(TWO_LEVELS.reach(1))} more.",
            Table(
                "What tables of two levels take",
                ("mapped", "tables", "bytes"),
                [
                    *(_cost(size(n * PAGE_BYTES), mapped(TWO_LEVELS, n)) for n in _PAGES),
                    _cost(
                        f"{size(PAGE_BYTES)} at each end of the address space",
                        mapped(TWO_LEVELS, 1, and_far=True),
                    ),
                    _cost(f"process A ({len(PROCESS_A)} pages)", process_a(TWO_LEVELS)),
                    _cost("process A in a flat table", process_a(FLAT)),
                ],
            ),
            f"Four levels, as x86-64 has them: {FOUR_LEVELS.address_bits} bits are cut "
            f"{' + '.join(str(level.bits) for level in FOUR_LEVELS.levels)} + {OFFSET_BITS}. Each table is "
            f"one frame: {FOUR_LEVELS.levels[0].entries} entries of {FOUR_LEVELS.entry_bytes} bytes. "
            "DragonFly calls the levels PML4, PDP, PD and PT.",
            Table(
                "What one table reaches",
                ("level", "entries", "one entry maps", "the table reaches"),
                [
                    (
                        level.name,
                        level.entries,
                        size(FOUR_LEVELS.reach(n) // level.entries),
                        size(FOUR_LEVELS.reach(n)),
                    )
                    for n, level in reversed([*enumerate(FOUR_LEVELS.levels)])
                ],
            ),
            Table(
                f"How {_ADDRESS:#x} is cut",
                ("part", "bits", "value"),
                [
                    *(
                        (f"index into the {level.name}", level.bits, index)
                        for level, index in zip(FOUR_LEVELS.levels, indexes, strict=True)
                    ),
                    ("offset", OFFSET_BITS, offset),
                ],
            ),
            f"A walk reads one entry a level, so a translation costs {table.walk(0).references} reads before "
            f"the access itself, which is why there is a TLB. One mapped page takes {sum(table.tables())} "
            f"tables ({size(table.bytes)}), one at each end of the address space "
            f"{sum(mapped(FOUR_LEVELS, 1, and_far=True).tables())}.",
        )
    )


CHAPTER: Final = Chapter(
    "levels", "page tables of two and of four levels", ("vmsmp.mmu.textbook.paging",), write
)
