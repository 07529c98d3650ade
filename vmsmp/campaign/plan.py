"""The plan of a campaign: which batches, in which order, as a function of what earlier rounds came to.

Round after round, and a round in laps.  In a lap every scenario goes one way, each its own, and in the next
lap the way after it: so even a campaign that ends in its first lap has seen all scenarios and all ways, the
free engine among them.  The first round is a glance.  From then on each scenario has a batch every way again,
sized to take about as long as any other, so that none is starved; and as many batches more are handed out by
how many new traces the round before has shown.  Nothing here looks at a clock or at who finished first, so a
campaign that is stopped and started again goes on in the very same plan.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Final

from vmsmp.campaign.batch import Batch, Report
from vmsmp.campaign.way import PLENTY, Scarcity, Way
from vmsmp.library import Scenario, own_place

#: Schedules of a controlled batch in the first round, and rounds of a free one.
GLANCE: Final = 8
FREE_GLANCE: Final = 2
#: Operations that a later batch should take, and its schedules at most.
CONTROLLED_OPERATIONS: Final = 100_000
FREE_OPERATIONS: Final = 400_000
MOST: Final = 1_024
#: How many batches beyond the first a strand may have in a round.
MOST_EXTRA: Final = 8
#: Batches after which the engines take turns: few, so that both have theirs in a short campaign.
STRETCH: Final = 40

#: One scenario in one way.
Strand = tuple[str, Way]


@dataclass(frozen=True, slots=True)
class Phase:
    """Batches that may run side by side.  `free`: they are of the free engine.

    `last`: their round is over with them, and the next phase is planned by what its batches came to.
    """

    batches: tuple[Batch, ...]
    free: bool
    last: bool = False


@dataclass
class Plan:
    """The batches of a campaign without end, or (`schedules`) until so many schedules are planned.

    `fresh` says how many new traces a round has shown, by scenario and way.  `learn` is told what each batch
    came to.
    """

    scenarios: Sequence[Scenario]
    seed: int
    repairs: Iterable[str] = ()
    mutants: Iterable[str] = ()
    scarcity: Scarcity = PLENTY
    hang_s: float | None = None
    schedules: int | None = None
    fresh: Callable[[int], Mapping[tuple[str, str], int]] = lambda _turn: {}
    _operations: Counter[Strand] = field(default_factory=Counter, init=False)
    _executions: Counter[Strand] = field(default_factory=Counter, init=False)
    _batches: Counter[Strand] = field(default_factory=Counter, init=False)

    @property
    def first_round(self) -> int:
        """How many batches the first round has."""
        return len(self.scenarios) * len(self.scarcity.ways)

    def learn(self, report: Report) -> None:
        """Remember how long the runs of a batch are, if it is one of the first round."""
        if report.batch.turn == 0:
            strand = report.batch.scenario, report.batch.way
            self._operations[strand] += report.operations
            self._executions[strand] += report.executions

    def phases(self) -> Iterator[Phase]:
        """The phases, one after another; ask for the next after a `last` one when all batches are done."""
        left = self.schedules
        turn = 0
        while left != 0:
            batches = self._round(turn)
            stretch: Sequence[Batch] = ()
            while following := [*islice(batches, STRETCH)]:
                if stretch:
                    yield from _phases(stretch, last=False)
                stretch, left = _first(following, left)
                if left == 0:
                    break
            yield from _phases(stretch, last=True)
            turn += 1

    def _round(self, turn: int) -> Iterator[Batch]:
        """The batches of a round, lap after lap."""
        extra = self._extra(turn)
        ways = self.scarcity.ways
        start = random.Random(f"{self.seed}/ways").randrange(len(ways))
        for lap in range(start, start + len(ways)):
            for n, scenario in enumerate(self.scenarios):
                yield from self._of_strand(scenario, ways[(lap + n) % len(ways)], turn, extra)

    def _of_strand(
        self, scenario: Scenario, way: Way, turn: int, extra: Mapping[Strand, int]
    ) -> Iterator[Batch]:
        strand = scenario.__name__, way
        options = way.options_for(
            scenario,
            self.repairs,
            self.mutants,
            pages=self.scarcity.amount(turn),
            pressure=self.scarcity.pressure,
        )
        for _ in range(1 + extra.get(strand, 0)):
            seed = self.seed + self._batches[strand]
            self._batches[strand] += 1
            schedules = self._size(strand, turn)
            yield Batch(
                *(scenario.__name__, way, seed, schedules, options, turn),
                hang_s=self.hang_s,
                place=own_place(scenario),
            )

    def _size(self, strand: Strand, turn: int) -> int:
        """How many schedules a batch has: a power of two."""
        free = strand[1].engine == "free"
        least = FREE_GLANCE if free else GLANCE
        if turn == 0:
            return least
        wanted = FREE_OPERATIONS if free else CONTROLLED_OPERATIONS
        operations = max(1, self._operations[strand])
        schedules = wanted * self._executions[strand] // operations
        return max(least, min(MOST, 1 << max(0, schedules.bit_length() - 1)))

    def _extra(self, turn: int) -> dict[Strand, int]:
        """The batches beyond the first of each strand, handed out by the new traces of the round before."""
        if turn == 0:
            return {}
        fresh = self.fresh(turn - 1)
        found = {
            (scenario.__name__, way): fresh.get((scenario.__name__, str(way)), 0)
            for way in self.scarcity.ways
            for scenario in self.scenarios
        }
        total = sum(found.values())
        if not total:
            return {}
        return {strand: min(MOST_EXTRA, count * len(found) // total) for strand, count in found.items()}


def _phases(batches: Sequence[Batch], *, last: bool) -> Iterator[Phase]:
    """The same batches, those of one engine after those of the other."""
    controlled, free = _by_engine(batches)
    if controlled:
        yield Phase(controlled, False, last and not free)
    if free:
        yield Phase(free, True, last)


def _by_engine(batches: Iterable[Batch]) -> tuple[tuple[Batch, ...], tuple[Batch, ...]]:
    """The controlled batches, and the free ones."""
    batches = [*batches]
    return tuple(batch for batch in batches if not batch.free), tuple(
        batch for batch in batches if batch.free
    )


def _first(batches: Sequence[Batch], left: int | None) -> tuple[Sequence[Batch], int | None]:
    """The batches until so many controlled schedules are planned, the last one cut; how many are left.

    The free engine has its share of what is kept.
    """
    if left is None:
        return batches, None
    controlled, free = _by_engine(batches)
    kept = []
    for batch in controlled:
        if left == 0:
            break
        kept.append(replace(batch, schedules=min(batch.schedules, left)))
        left -= kept[-1].schedules
    share = len(free) * len(kept) // len(controlled) if controlled else len(free)
    return [*kept, *free[:share]], left
