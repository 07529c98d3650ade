"""Working sets: their size over time, who may run, and how skewed accesses are."""

from __future__ import annotations

import random
from typing import Final

from vmsmp.mmu.textbook.working_set import may_run, phases, share_of_hottest, sizes, skewed, working_set
from vmsmp.report.textbook.page import Chapter, Page, Plot, Table

#: A short string that a student can follow, and the window over it.
_STRING: Final = (1, 2, 1, 3, 2, 1, 2, 7, 7, 8, 7, 8, 8, 7, 9, 7)
_WINDOW: Final = 5
#: A long one: three localities, and windows of several lengths.
_LOCALITIES: Final = (range(10), range(10, 40), range(40, 45))
_STAY: Final = 150
_WINDOWS: Final = (10, 50, 100)
_SAMPLE: Final = 10
_FRAMES: Final = 40
_PAGES: Final = 100
_SKEW: Final = 1.2
_SEED: Final = 1968


def write() -> Page:
    rng = random.Random(_SEED)
    string = phases(_LOCALITIES, _STAY, rng)
    curves = {f"window {window}": sizes(string, window)[::_SAMPLE] for window in _WINDOWS}
    demands = [max(sizes(string[n * _STAY : (n + 1) * _STAY], _WINDOWS[1])) for n in range(len(_LOCALITIES))]
    accesses = skewed(_PAGES, _SKEW, 10_000, rng)
    return Page(
        (
            "The working set of a process is what it has used within a window of the last references "
            "(Denning 1968). A process may run only while all of that is in memory; without the memory it "
            "would not compute, it would fault.",
            Table(
                f"A process changes its locality; window {_WINDOW}",
                ("time", "page", "working set", "size"),
                [
                    (now, page, " ".join(map(str, sorted(pages))), len(pages))
                    for now, page in enumerate(_STRING)
                    for pages in [working_set(_STRING, now, _WINDOW)]
                ],
            ),
            f"A longer string: {', then '.join(f'{len(one)} pages' for one in _LOCALITIES)}, {_STAY} "
            "references each. While it moves from one locality to the next the working set holds some of "
            "both. A window too short misses pages that are in use; one too long keeps pages that are not.",
            Table(
                "Size of the working set over time",
                ("time", *curves),
                [
                    (n * _SAMPLE, *(curve[n] for curve in curves.values()))
                    for n in range(0, len(string) // _SAMPLE, 3)
                ],
            ),
            Table(
                f"Three processes, one for each locality, on {_FRAMES} frames; window {_WINDOWS[1]}",
                ("process", "working set", "may run"),
                [
                    (f"P{n}", demand, "yes" if runs else "no: it waits for memory")
                    for n, (demand, runs) in enumerate(
                        zip(demands, may_run(demands, _FRAMES), strict=True), 1
                    )
                ],
            ),
            f"The rule of thumb that 20% of the pages get 80% of the accesses: of {len(accesses):,} accesses "
            f"to {_PAGES} pages, page n with a share in proportion to 1/n^{_SKEW}, the most used 20% get "
            f"{share_of_hottest(accesses, _PAGES, 0.2):.0%}.",
        ),
        Plot(
            "Size of the working set over time",
            "references",
            "pages",
            [str(n * _SAMPLE) for n in range(len(string) // _SAMPLE)],
            curves,
        ),
    )


CHAPTER: Final = Chapter(
    "working-set",
    "working sets over a window, and who may run",
    ("vmsmp.mmu.textbook.working_set",),
    write,
    picture="the size of the working set over time",
)
