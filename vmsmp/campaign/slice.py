"""Slices of a campaign: one scenario, searched or run freely in one way, for a second or so.

A slice is done in a worker process.  A failure is minimized where it was found, so what comes back is a short
line.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from vmsmp.campaign.free_run import free_rounds
from vmsmp.campaign.minimize import minimize
from vmsmp.campaign.options import options_for
from vmsmp.campaign.outcome import Failure
from vmsmp.campaign.replay import replay
from vmsmp.campaign.search import search
from vmsmp.engine.options import Options
from vmsmp.engine.verdict import FailureKind
from vmsmp.errors import VmsmpError
from vmsmp.library import Scenario, find_scenario
from vmsmp.patches.catalogue import REPAIR_BY_NAME

#: Seconds of a slice, at least and at most.
SHORTEST_S = 0.2
LONGEST_S = 5.0
#: Runs that the shortening of a failure may take.
SHORTEN_RUNS = 300
#: Failures after which a free slice ends.
FREE_FAILURES = 3


@dataclass(frozen=True, slots=True)
class Way:
    """One way to put a scenario under stress.

    `injected`: timeouts and spurious wakeups are choices.  `repaired`: the repairs of all known findings are
    on, so that what lies behind them can be seen.
    """

    engine: str
    locks: str
    sched: str = "portfolio"
    injected: bool = False
    repaired: bool = False

    def __str__(self) -> str:
        words = ["free" if self.engine == "free" else self.sched, self.locks]
        words += ["injected"] if self.injected else []
        words += ["repaired"] if self.repaired else []
        return " ".join(words)

    def options_for(self, scenario: Scenario, repairs: Iterable[str], mutants: Iterable[str]) -> Options:
        """The options of a scenario's runs this way."""
        return options_for(
            scenario,
            locks=self.locks,
            timeouts="any" if self.injected else None,
            spurious=True if self.injected else None,
            repairs={*repairs, *(REPAIR_BY_NAME if self.repaired else ())},
            mutants=mutants,
        )


#: Every way, in the order of a round: as the kernel is, and with all known findings repaired.
WAYS = (
    Way("controlled", "exact"),
    Way("free", "exact"),
    Way("controlled", "exact", repaired=True),
    Way("controlled", "atomic"),
    Way("controlled", "atomic", repaired=True),
    Way("controlled", "exact", "random"),
    Way("controlled", "exact", "random", injected=True, repaired=True),
    Way("free", "exact", repaired=True),
    Way("free", "atomic"),
    Way("free", "atomic", repaired=True),
)


@dataclass(frozen=True, slots=True)
class Slice:
    """One piece of work: a scenario, a way, a seed, seconds to spend, and the options of its runs."""

    scenario: str
    way: Way
    seed: int
    seconds: float
    options: Options


@dataclass(frozen=True, slots=True)
class Report:
    """What a slice came to."""

    slice: Slice
    executions: int = 0
    operations: int = 0
    seconds: float = 0.0
    failures: tuple[Failure, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    error: str = ""


def work(piece: Slice) -> Report:
    """Do one slice; runs in a worker process."""
    scenario = find_scenario(piece.scenario)
    try:
        return (_free if piece.way.engine == "free" else _controlled)(piece, scenario)
    except VmsmpError as error:
        return Report(piece, error=f"{type(error).__name__}: {error}")


def _controlled(piece: Slice, scenario: Scenario) -> Report:
    start = time.monotonic()
    result = search(
        scenario,
        piece.options,
        sched=piece.way.sched,
        schedules=10**12,
        seed=piece.seed,
        stop="never",
        time_s=piece.seconds,
    )
    failures = tuple(_shortened(scenario, failure) for failure in result.failures)
    return Report(piece, result.executions, result.steps, time.monotonic() - start, failures, result.counts)


def _shortened(scenario: Scenario, failure: Failure) -> Failure:
    """The failure along the shortest schedule that was found."""
    if failure.kind == FailureKind.NONDETERMINISM:
        return failure
    told = replay(scenario, minimize(scenario, failure.schedule, budget=SHORTEN_RUNS)).failure
    if told is None:
        return failure
    return replace(told, execution=failure.execution, confirmation=failure.confirmation)


def _free(piece: Slice, scenario: Scenario) -> Report:
    start = time.monotonic()
    rounds = free_rounds(
        scenario, time_s=piece.seconds, options=piece.options, seed=piece.seed, stop_at=FREE_FAILURES
    )
    return Report(
        piece,
        rounds.rounds,
        rounds.operations,
        time.monotonic() - start,
        tuple(rounds.failures),
        rounds.counts,
    )


def pieces(
    scenarios: Sequence[Scenario],
    budget_s: float,
    seed: int,
    *,
    repairs: Iterable[str] = (),
    mutants: Iterable[str] = (),
) -> Iterator[Slice]:
    """Slices without end: round after round, the first sized so that it fits the budget."""
    per_round = len(scenarios) * len(WAYS)
    seconds = min(LONGEST_S, max(SHORTEST_S, 0.9 * budget_s / per_round))
    turn = 0
    while True:
        for way in WAYS:
            for scenario in scenarios:
                options = way.options_for(scenario, repairs, mutants)
                yield Slice(scenario.__name__, way, seed + turn, seconds, options)
        turn += 1
