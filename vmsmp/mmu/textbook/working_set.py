"""Working sets: the pages that a process has used within the last so many references (Denning 1968).

A process may run only while all of its working set is in memory.
Models: the working set over a window of references, as it changes with time.
Locks: none.
Deviations: time is counted in references.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence


def working_set(references: Sequence[int], now: int, window: int) -> frozenset[int]:
    """Return the pages of the last `window` references, the one at `now` included."""
    return frozenset(references[max(0, now + 1 - window) : now + 1])


def sizes(references: Sequence[int], window: int) -> list[int]:
    """Return the size of the working set after each reference."""
    return [len(working_set(references, now, window)) for now in range(len(references))]


def may_run(demands: Sequence[int], frames: int) -> list[bool]:
    """Return which processes may run: in order, as far as their working sets fit into the frames."""
    left = frames
    admitted = []
    for demand in demands:
        admitted.append(demand <= left)
        left -= demand if demand <= left else 0
    return admitted


def phases(localities: Sequence[Sequence[int]], length: int, rng: random.Random) -> list[int]:
    """Draw a string that stays `length` references in each locality, and then moves to the next."""
    return [rng.choice(locality) for locality in localities for _ in range(length)]


def skewed(pages: int, exponent: float, length: int, rng: random.Random) -> list[int]:
    """Draw references of which page n gets a share in proportion to 1/n**exponent (Zipf)."""
    weights = [1 / n**exponent for n in range(1, pages + 1)]
    return rng.choices(range(pages), weights, k=length)


def share_of_hottest(references: Sequence[int], pages: int, share: float) -> float:
    """Return which share of the references goes to that share of the pages, the most used ones."""
    hottest = Counter(references).most_common(round(pages * share))
    return sum(count for _, count in hottest) / len(references)
