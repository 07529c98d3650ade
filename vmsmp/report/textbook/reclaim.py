"""Reclaim: a machine fills up, and frames are taken back in their order until a process is killed."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from typing import Final

from vmsmp.mmu.textbook.reclaim import Frame, Freed, Holds, Memory
from vmsmp.report.textbook.page import Chapter, Page, Table

_FRAMES, _SWAP = 16, 3
#: What is in memory when the hog begins.
_THERE: Final = (
    *(Frame(Holds.FILE, "editor") for _ in range(2)),
    Frame(Holds.FILE, "editor", dirty=True),
    *(Frame(Holds.ANONYMOUS, "editor") for _ in range(2)),
    Frame(Holds.ANONYMOUS, "keys", locked=True),
    *(Frame(Holds.CACHE) for _ in range(3)),
)


def until_killed() -> Memory:
    """Have a process, the hog, touch pages of its own until it is killed."""
    memory = Memory(_FRAMES, _SWAP)
    for frame in _THERE:
        memory.allocate(replace(frame))
    while memory.allocate(Frame(Holds.ANONYMOUS, "hog")):
        pass
    return memory


def _kind(frame: Frame) -> tuple[str, str]:
    """Return what a frame holds, in words, and whose it is."""
    notes = [note for note, holds in (("dirty", frame.dirty), ("locked", frame.locked)) if holds]
    return ", ".join((frame.holds.value, *notes)), frame.process or "-"


def _row(freed: Freed, count: int) -> tuple[str, str, int]:
    return freed.means.value, freed.process or "-", freed.frames * count


def write() -> Page:
    memory = until_killed()
    steps = [(freed, len([*same])) for freed, same in groupby(memory.log)]
    return Page(
        (
            "When no frame is free, the kernel takes some back, in the order of what that costs. File-backed "
            "pages first: a clean one is dropped, its file has it; a dirty one is written to its file "
            "before. Then anonymous pages, which have no file: they are written to swap, as long as there is "
            "room. Then the file system's own caches. Last a process is killed (OOM killer), the one with "
            "the most pages. Locked pages (mlock) are passed by.",
            Table(
                f"{_FRAMES} frames and {_SWAP} swap slots, before the hog begins",
                ("what", "whose", "frames"),
                [(what, whose, len([*same])) for (what, whose), same in groupby(_THERE, key=_kind)],
            ),
            Table(
                "What reclaim does while a process, the hog, touches more and more pages",
                ("how", "whose", "frames freed"),
                [_row(freed, count) for freed, count in steps],
            ),
        )
    )


CHAPTER: Final = Chapter(
    "reclaim", "the order of reclaim, and the OOM killer", ("vmsmp.mmu.textbook.reclaim",), write
)
