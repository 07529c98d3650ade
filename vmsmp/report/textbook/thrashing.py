"""Thrashing: the cliff where the hot set outgrows memory, and the detector that names it."""

from __future__ import annotations

import random
from typing import Final

from vmsmp.mmu.textbook.thrashing import FAULT_COST, LEAST_USEFUL, cliff, loop, scatter
from vmsmp.report.textbook.page import Chapter, Page, Plot, Table

_FRAMES: Final = 40
#: Hot sets, in pages.
_HOT: Final = (10, 20, 30, 36, 40, 41, 42, 44, 50, 60, 80, 200)
_LENGTH: Final = 2000
_SEED: Final = 1968


def write() -> Page:
    rng = random.Random(_SEED)
    curves = {
        "loop": cliff(loop, _FRAMES, _HOT, _LENGTH, rng),
        "scattered": cliff(scatter, _FRAMES, _HOT, _LENGTH, rng),
    }
    tables = [
        Table(
            f"{name.capitalize()} accesses to a hot set, {_FRAMES} frames, LRU",
            ("hot set", "over memory", "accesses a fault", "CPU useful", "the detector says"),
            [
                (
                    point.pages,
                    point.pages / _FRAMES,
                    point.load.per_fault if point.load.faults else "no fault",
                    f"{point.load.useful:.1%}",
                    point.verdict or "",
                )
                for point in points
            ],
        )
        for name, points in curves.items()
    ]
    return Page(
        (
            f"A fault that reads from the disk takes as long as {FAULT_COST:,} accesses. So it needs only a "
            "few faults in a thousand accesses, and the CPU waits most of the time: the disk is busy at "
            "100%, the CPU at 0%, and nothing useful is done. That is thrashing. It begins where the hot set "
            "outgrows memory, and not gradually: it is a cliff.",
            *tables,
            f"The detector looks at the last accesses. It speaks when less than {LEAST_USEFUL:.0%} of the "
            "time is useful and those accesses are to more pages than there are frames; faults alone say "
            "nothing, since every program begins with them. If nearly all accesses are to different pages, "
            "there is no temporal locality, and no memory would do; otherwise a hot set is larger than "
            "memory.",
        ),
        Plot(
            f"Useful share of the CPU's time, {_FRAMES} frames",
            "hot set over memory",
            "percent",
            [f"{pages / _FRAMES:.2f}" for pages in _HOT],
            {name: [100 * point.load.useful for point in points] for name, points in curves.items()},
        ),
    )


CHAPTER: Final = Chapter(
    "thrashing",
    "thrashing: the cliff, and a detector that names it",
    ("vmsmp.mmu.textbook.thrashing", "vmsmp.mmu.textbook.replacement"),
    write,
    picture="useful CPU time by hot set over memory",
)
