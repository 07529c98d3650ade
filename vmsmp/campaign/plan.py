"""The plan of a campaign: which batches, in which order, as a function of what earlier rounds came to.

Round after round.  In the first one each scenario has a glance in every way.  From then on each has a batch
every way again, sized to take about as long as any other, so that none is starved; and as many batches more
are handed out by how many new traces the round before has shown.  Nothing here looks at a clock or at who
finished first, so a campaign that is stopped and started again goes on in the very same plan.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
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

#: One scenario in one way.
Strand = tuple[str, Way]


@dataclass(frozen=True, slots=True)
class Phase:
    """Batches that may run side by side; those before them are done.  `free`: they are of the free engine."""

    batches: tuple[Batch, ...]
    free: bool


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
        """The phases, one after another; ask for the next when the batches of the last are done."""
        left = self.schedules
        turn = 0
        while True:
            extra = self._extra(turn)
            for free, ways in groupby(self.scarcity.ways, lambda way: way.engine == "free"):
                batches = [
                    batch
                    for way in ways
                    for scenario in self.scenarios
                    for batch in self._of_strand(scenario, way, turn, extra)
                ]
                if left is not None and not free:
                    batches, left = _first(batches, left)
                if batches:
                    yield Phase(tuple(batches), free)
                if left == 0:
                    return
            turn += 1

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


def _first(batches: list[Batch], left: int) -> tuple[list[Batch], int]:
    """The batches until so many schedules are planned, the last one cut; and how many are left to plan."""
    kept = []
    for batch in batches:
        if not left:
            break
        batch = replace(batch, schedules=min(batch.schedules, left))
        left -= batch.schedules
        kept.append(batch)
    return kept, left
