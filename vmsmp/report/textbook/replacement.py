"""Replacement: FIFO step by step, all policies on known reference strings, Belady's anomaly."""

from __future__ import annotations

from typing import Final

from vmsmp.mmu.textbook.replacement import POLICIES, anomalies, faults, replay
from vmsmp.report.textbook.page import Chapter, Page, Plot, Table

#: Belady's string: with FIFO a fourth frame makes it worse.
BELADY: Final = (1, 2, 3, 4, 1, 2, 5, 1, 2, 3, 4, 5)
#: The string of Silberschatz, Galvin and Gagne, Operating System Concepts, chapter Virtual Memory.
SILBERSCHATZ: Final = (7, 0, 1, 2, 0, 3, 0, 4, 2, 3, 0, 3, 2, 1, 2, 0, 1, 7, 0, 1)
#: The string of Stallings, Operating Systems, chapter Virtual Memory.
STALLINGS: Final = (2, 3, 2, 1, 5, 2, 4, 5, 3, 2, 5, 2)
_STRINGS: Final = {"Belady": BELADY, "Silberschatz": SILBERSCHATZ, "Stallings": STALLINGS}
_FRAMES: Final = 3
_MOST: Final = 7


def _steps(name: str) -> Table:
    return Table(
        f"{name} with {_FRAMES} frames on Silberschatz's string",
        ("page", "", "evicted", "in the frames afterwards"),
        [
            (
                one.page,
                "fault" if one.fault else "hit",
                "-" if one.evicted is None else one.evicted,
                " ".join(map(str, one.frames)),
            )
            for one in replay(name, SILBERSCHATZ, _FRAMES)
        ],
    )


def _anomalies(frames: list[int]) -> str:
    if not frames:
        return "never"
    return ", ".join(f"from {n} to {n + 1} frames" for n in frames)


def write() -> Page:
    curves = {name: [faults(name, BELADY, n) for n in range(1, _MOST + 1)] for name in POLICIES}
    return Page(
        (
            "When a fault finds no free frame, a page must leave. FIFO evicts the one that came first; LRU "
            "the one used last longest ago; OPT the one that is used again latest, which only who knows the "
            "future can do: it is the bound for all others. CLOCK comes near LRU with one bit a page: a hand "
            "sweeps over the frames, clears the accessed bits that are set, and evicts the first page whose "
            "bit is clear.",
            _steps("FIFO"),
            Table(
                f"Faults with {_FRAMES} frames",
                ("string", "references", *POLICIES),
                [
                    (name, len(string), *(faults(policy, string, _FRAMES) for policy in POLICIES))
                    for name, string in _STRINGS.items()
                ],
            ),
            Table(
                f"Faults of Belady's string {' '.join(map(str, BELADY))}, by number of frames",
                ("frames", *POLICIES),
                [(n, *(curves[name][n - 1] for name in POLICIES)) for n in range(1, _MOST + 1)],
            ),
            "More frames should mean fewer faults. With LRU and OPT they do, for what is in n frames is also "
            "in n + 1. With FIFO they need not: Belady's anomaly. CLOCK is FIFO where every bit is set.",
            Table(
                "Where one frame more means more faults, on Belady's string",
                ("policy", "more faults"),
                [(name, _anomalies(anomalies(name, BELADY, _MOST))) for name in POLICIES],
            ),
        ),
        Plot(
            "Faults of Belady's string",
            "frames",
            "faults",
            [str(n) for n in range(1, _MOST + 1)],
            curves,
        ),
    )


CHAPTER: Final = Chapter(
    "replacement",
    "OPT, LRU, FIFO and CLOCK; Belady's anomaly",
    ("vmsmp.mmu.textbook.replacement",),
    write,
    picture="the faults of each policy by frames",
)
