"""Replacement: which page leaves when a fault finds no free frame.

FIFO evicts what came first, LRU what was used last longest ago, OPT (Belady's, which knows the future) what
is used again latest or never.  CLOCK approximates LRU: a hand sweeps over the frames, clears accessed bits,
and evicts the first page whose bit is clear.
Models: one process with a fixed number of frames, and a string of page references.
Locks: none; `clock` is CLOCK beside CPUs that fault.
Deviations: none.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol


class Policy(Protocol):
    """Decides which page leaves; it is told of every reference."""

    def hit(self, page: int, now: int) -> None:
        """The reference number `now` is to a page that is resident."""

    def victim(self, now: int) -> int:
        """Return the page to evict for the fault of reference number `now`, and forget it."""

    def load(self, page: int, now: int) -> None:
        """The page is resident from now on."""


class Fifo:
    """First in, first out."""

    def __init__(self, references: Sequence[int]) -> None:
        self._queue: list[int] = []

    def hit(self, page: int, now: int) -> None:
        """A use changes nothing."""

    def victim(self, now: int) -> int:
        return self._queue.pop(0)

    def load(self, page: int, now: int) -> None:
        self._queue.append(page)


class Lru:
    """Least recently used."""

    def __init__(self, references: Sequence[int]) -> None:
        self._used: OrderedDict[int, None] = OrderedDict()

    def hit(self, page: int, now: int) -> None:
        self._used.move_to_end(page)

    def victim(self, now: int) -> int:
        return self._used.popitem(last=False)[0]

    def load(self, page: int, now: int) -> None:
        self._used[page] = None


class Opt:
    """Used again latest, or never; of those that are never used again, the one that came first."""

    def __init__(self, references: Sequence[int]) -> None:
        self._references = references
        self._resident: list[int] = []

    def hit(self, page: int, now: int) -> None:
        """A use that was known beforehand."""

    def victim(self, now: int) -> int:
        page = max(self._resident, key=lambda one: self._next_use(one, now))
        self._resident.remove(page)
        return page

    def _next_use(self, page: int, now: int) -> int:
        later = self._references[now:]
        return later.index(page) if page in later else len(self._references)

    def load(self, page: int, now: int) -> None:
        self._resident.append(page)


class Clock:
    """A hand that sweeps over the frames; a page's accessed bit is set when it comes and when it is used."""

    def __init__(self, references: Sequence[int]) -> None:
        self._frames: list[int | None] = []
        self._accessed: dict[int, bool] = {}
        self._hand = 0

    def hit(self, page: int, now: int) -> None:
        self._accessed[page] = True

    def victim(self, now: int) -> int:
        while True:
            page = self._frames[self._hand]
            assert page is not None
            if not self._accessed[page]:
                self._frames[self._hand] = None
                del self._accessed[page]
                return page
            self._accessed[page] = False
            self._advance()

    def load(self, page: int, now: int) -> None:
        self._accessed[page] = True
        if None in self._frames:
            self._frames[self._hand] = page
            self._advance()
        else:
            self._frames.append(page)

    def _advance(self) -> None:
        self._hand = (self._hand + 1) % len(self._frames)


POLICIES: Final[dict[str, type[Fifo | Lru | Opt | Clock]]] = {
    "FIFO": Fifo,
    "LRU": Lru,
    "OPT": Opt,
    "CLOCK": Clock,
}


@dataclass(frozen=True, slots=True)
class Reference:
    """One reference: whether it faulted, what left for it, and what is in the frames after it."""

    page: int
    fault: bool
    evicted: int | None
    frames: tuple[int, ...]


def replay(name: str, references: Sequence[int], frames: int) -> list[Reference]:
    """Serve a reference string with that many frames under the policy of that name."""
    policy: Policy = POLICIES[name](references)
    resident: list[int] = []
    served = []
    for now, page in enumerate(references):
        fault = page not in resident
        evicted = None
        if not fault:
            policy.hit(page, now)
        else:
            if len(resident) == frames:
                evicted = policy.victim(now)
                resident[resident.index(evicted)] = page
            else:
                resident.append(page)
            policy.load(page, now)
        served.append(Reference(page, fault, evicted, tuple(resident)))
    return served


def faults(name: str, references: Sequence[int], frames: int) -> int:
    """Return how many references fault."""
    return sum(one.fault for one in replay(name, references, frames))


def anomalies(name: str, references: Sequence[int], most: int) -> list[int]:
    """Return the numbers of frames up to `most` at which one frame more means more faults."""
    counts = [faults(name, references, frames) for frames in range(1, most + 2)]
    return [n + 1 for n in range(most) if counts[n + 1] > counts[n]]
