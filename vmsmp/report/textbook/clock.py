"""CLOCK beside CPUs that fault: the hand's way, and what a search finds without a guard of the eviction."""

from __future__ import annotations

from typing import Final

from vmsmp.machine import Machine
from vmsmp.mmu.textbook.clock import ClockPager
from vmsmp.mmu.textbook.entry import Pte
from vmsmp.patches.catalogue import MUTANT_BY_ID
from vmsmp.report.textbook.page import Chapter, Page, Table, computed, searched

_PAGES, _FRAMES = 5, 3
#: Accesses of one CPU: the page, and whether it is a write.
_ACCESSES: Final = ((0, True), (1, False), (2, False), (3, False), (1, False), (4, False), (0, True))
_SCENARIO: Final = "clock_keeps_writes"
#: Mutants of the eviction, each of which looks at a page at the wrong moment.
_MUTANTS: Final = ("CK-02", "CK-03", "CK-04")
_SCHEDULES: Final = 400


def sweep(m: Machine) -> list[tuple[str, str, int, str]]:
    """Do the accesses on one CPU; after each, how it went, where the hand is, and what the frames hold."""
    pager = ClockPager(m, _PAGES, _FRAMES)
    rows = []
    for number, write in _ACCESSES:
        before = pager.faults
        if write:
            pager.store(number, 1)
        else:
            pager.load(number)
        how = "fault" if pager.faults > before else "hit"
        what = f"{'write' if write else 'read'} page {number}"
        rows.append((what, how, pager.hand, ", ".join(_held(pager, n) for n in range(_FRAMES))))
    return rows


def _held(pager: ClockPager, number: int) -> str:
    page = pager.frames[number].raw_page
    if page is None:
        return "free"
    flags = page.peek("pte") & (Pte.A | Pte.D)
    return f"{page.number}{'a' if flags & Pte.A else ''}{'d' if flags & Pte.D else ''}"


def write() -> Page:
    searches = {"as it must be": searched(_SCENARIO, _SCHEDULES)}
    searches |= {ident: searched(_SCENARIO, _SCHEDULES, ident) for ident in _MUTANTS}
    rows = [(what, one.schedules, one.found) for what, one in searches.items()]
    return Page(
        (
            "The accessed bits belong to the hardware: a walk sets A, and D with a write, while the hand "
            "clears A on its way. First on one CPU. The hand points at the frame that it looks at next; a "
            "page is written with a for a set A and d for a set D. A page that was used since the hand came "
            "by is spared once.",
            Table(
                f"{_PAGES} pages in {_FRAMES} frames",
                ("access", "", "hand", "frames: page and bits"),
                computed(sweep),
            ),
            "With several CPUs a page is used while the hand looks at it. The eviction takes the entry back "
            "and learns its D by one atomic swap: a write comes before it and is seen, or after it and "
            "faults. Looking first and clearing then throws away the write that comes in between. The "
            f"scenario `{_SCENARIO}` has CPUs count in pages with too few frames; a search goes through "
            "schedules:",
            Table(
                f"Up to {_SCHEDULES} random schedules each",
                ("the eviction", "schedules", "found"),
                rows,
            ),
            *(f"{ident}: {MUTANT_BY_ID[ident].story}." for ident in _MUTANTS),
            f"See for yourself: `vmsmp run {_SCENARIO} --mutant {_MUTANTS[0]}` tells the story of the lost "
            "write.",
        )
    )


CHAPTER: Final = Chapter(
    "clock",
    "CLOCK beside CPUs that fault, and the write that must not be lost",
    ("vmsmp.mmu.textbook.clock",),
    write,
)
