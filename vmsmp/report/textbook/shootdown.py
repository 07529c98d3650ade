"""TLB shootdown: what a change of the tables owes the other CPUs, and three ways to get it wrong."""

from __future__ import annotations

from typing import Final

from vmsmp.patches.catalogue import MUTANT_BY_ID
from vmsmp.report.textbook.page import Chapter, Page, Table, searched

_SCENARIO: Final = "shootdown_then_reuse"
#: The control experiments: no flush, a flush before the tables change, no waiting for the answers.
_MUTANTS: Final = ("TB-01", "TB-02", "TB-03")
_SCHEDULES: Final = 500


def write() -> Page:
    right = {"as it must be": searched(_SCENARIO, _SCHEDULES)}
    wrong = {ident: searched(_SCENARIO, _SCHEDULES, ident) for ident in _MUTANTS}
    rows = [(what, one.schedules, one.found) for what, one in (right | wrong).items()]
    return Page(
        (
            "Every CPU has a TLB of its own, and a change of the page table tells none of them. Before a "
            "frame that was mapped goes to somebody else, three things must happen in this order. The table "
            "changes, so that what is cached from then on is new. Then each CPU that may have the old "
            "translation is told to flush it, by an interrupt from CPU to CPU (IPI). And only when all of "
            "them have answered is the frame free.",
            f"The scenario `{_SCENARIO}` unmaps two pages while another thread of the process uses them, and "
            "gives the frames away. A search goes through schedules, as it must be and with one of the three "
            "things left out or out of order; a checker looks at each access that goes through a TLB:",
            Table(f"Up to {_SCHEDULES} random schedules each", ("the protocol", "schedules", "found"), rows),
            *(f"{ident}: {MUTANT_BY_ID[ident].story}." for ident in _MUTANTS),
            Table(
                "The translation that was used too late",
                ("the protocol", "what happened"),
                [(ident, fact) for ident, one in wrong.items() for fact in one.facts],
            ),
            f"See for yourself: `vmsmp run {_SCENARIO} --mutant {_MUTANTS[0]}` tells the whole story, and "
            f"`vmsmp run {_SCENARIO} --sched dpor --schedules N` goes through the orders that can matter, "
            "one by one.",
        )
    )


CHAPTER: Final = Chapter(
    "shootdown",
    "TLB shootdown between CPUs, and three ways to get it wrong",
    ("vmsmp.mmu.shootdown", "vmsmp.mmu.unit"),
    write,
)
