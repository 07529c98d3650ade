"""A campaign: every scenario in both engines and at both depths, slice by slice, on every core.

The time there is is cut into slices of a second or so; each is one scenario searched or run freely
in one way, in a process of its own.  Rounds of slices repeat with new seeds until the time is up.
A failure is minimized where it was found, so what reaches the summary is a short line.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

from vmsmp.campaign.free_run import free_rounds
from vmsmp.campaign.minimize import minimize
from vmsmp.campaign.outcome import Failure
from vmsmp.campaign.search import explore, options_for, replay
from vmsmp.engine.schedule import Options
from vmsmp.engine.verdict import FailureKind
from vmsmp.errors import VmsmpError
from vmsmp.findings import Finding, explain, repair_names
from vmsmp.library import find_scenario, matching

if TYPE_CHECKING:
    from multiprocessing.queues import SimpleQueue

#: Seconds of a slice, at least and at most.
SHORTEST_S = 0.2
LONGEST_S = 5.0
#: Runs that the shortening of a failure may take.
SHORTEN_RUNS = 300
#: Seconds kept back at the end for the slices under way and the summary.
RESERVE_S = 1.0


@dataclass(frozen=True, slots=True)
class Way:
    """One way to put a scenario under stress."""

    engine: str
    locks: str
    sched: str = "portfolio"
    injected: bool = False
    repaired: bool = False

    def __str__(self) -> str:
        if self.engine == "free":
            return f"free {self.locks}"
        extra = [" injected"] if self.injected else []
        extra += [" repaired"] if self.repaired else []
        return f"{self.sched} {self.locks}{''.join(extra)}"


#: Every way, in the order of a round.  "injected": timeouts and spurious wakeups are choices.
WAYS = (
    Way("controlled", "exact"),
    Way("free", "exact"),
    Way("controlled", "atomic"),
    Way("controlled", "exact", "random"),
    Way("controlled", "exact", "random", injected=True, repaired=True),
    Way("free", "atomic"),
)


@dataclass(frozen=True, slots=True)
class Slice:
    """One piece of work: a scenario, a way, a seed, and seconds to spend."""

    scenario: str
    way: Way
    seed: int
    seconds: float
    mutants: tuple[str, ...] = ()
    repairs: tuple[str, ...] = ()

    def all_repairs(self) -> frozenset[str]:
        """The repairs that its runs have on."""
        return frozenset(self.repairs) | frozenset(repair_names() if self.way.repaired else ())


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


@dataclass
class Row:
    """One scenario in the summary."""

    schedules: int = 0
    steps: int = 0
    rounds: int = 0
    operations: int = 0
    failed: int = 0
    known: int = 0


@dataclass
class Campaign:
    """Everything that came out so far."""

    rows: dict[str, Row] = field(default_factory=dict)
    new: dict[str, Failure] = field(default_factory=dict)
    known: dict[str, tuple[Finding, Failure, int]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    seconds: float = 0.0
    workers: int = 0
    slices: int = 0
    planned: int = 0
    interrupted: bool = False

    def add(self, report: Report) -> None:
        """Count one slice."""
        self.slices += 1
        row = self.rows.setdefault(report.slice.scenario, Row())
        if report.slice.way.engine == "free":
            row.rounds += report.executions
            row.operations += report.operations
        else:
            row.schedules += report.executions
            row.steps += report.operations
        if report.error:
            self.errors.append(f"{report.slice.scenario} ({report.slice.way}): {report.error}")
        for failure in report.failures:
            times = report.counts.get(failure.signature, 1)
            finding = explain(failure.signature, failure.program, report.slice.all_repairs())
            if finding is not None:
                row.known += times
                _, first, before = self.known.get(finding.name, (finding, failure, 0))
                self.known[finding.name] = (finding, first, before + times)
                continue
            row.failed += times
            key = f"{failure.program} {failure.signature}"
            kept = self.new.get(key)
            if kept is None or (not kept.schedule and failure.schedule):
                self.new[key] = failure
            self.counts[key] = self.counts.get(key, 0) + times


def work(piece: Slice) -> Report:
    """Do one slice; runs in a worker process."""
    scenario = find_scenario(piece.scenario)
    way = piece.way
    start = time.monotonic()
    try:
        options = options_for(
            scenario,
            locks=way.locks,
            timeouts="any" if way.injected else None,
            spurious=True if way.injected else None,
            repairs=piece.all_repairs(),
            mutants=piece.mutants,
        )
        if way.engine == "free":
            return _free(piece, scenario, options, start)
        result = explore(
            scenario,
            sched=way.sched,
            schedules=10**12,
            seed=piece.seed,
            locks=options.locks,
            timeouts=options.timeouts,
            spurious=options.spurious,
            repairs=options.repairs,
            mutants=options.mutants,
            stop="never",
            time_s=piece.seconds,
        )
        failures = tuple(_shortened(scenario, failure) for failure in result.failures)
        return Report(
            piece, result.executions, result.steps, time.monotonic() - start, failures, result.counts
        )
    except VmsmpError as error:
        return Report(piece, error=f"{type(error).__name__}: {error}")


def _shortened(scenario: Any, failure: Failure) -> Failure:
    """The failure along its shortest schedule."""
    if failure.kind == FailureKind.NONDETERMINISM:
        return failure
    told = replay(scenario, minimize(scenario, failure.schedule, budget=SHORTEN_RUNS)).failure
    if told is None:
        return failure
    return replace(told, execution=failure.execution, confirmation=failure.confirmation)


def _free(piece: Slice, scenario: Any, options: Options, start: float) -> Report:
    rounds = free_rounds(scenario, time_s=piece.seconds, options=options, seed=piece.seed, stop_at=3)
    return Report(
        piece,
        rounds.rounds,
        rounds.operations,
        time.monotonic() - start,
        tuple(rounds.failures),
        rounds.counts,
    )


def pieces(
    scenarios: list[str],
    budget_s: float,
    seed: int,
    mutants: tuple[str, ...] = (),
    repairs: tuple[str, ...] = (),
) -> Iterator[Slice]:
    """Slices without end: round after round, the first sized so that it fits the budget."""
    per_round = len(scenarios) * len(WAYS)
    seconds = min(LONGEST_S, max(SHORTEST_S, 0.9 * budget_s / per_round))
    turn = 0
    while True:
        for way in WAYS:
            for name in scenarios:
                yield Slice(name, way, seed + turn, seconds, mutants, repairs)
        turn += 1


def _settle(cores: SimpleQueue[int]) -> None:
    """A worker's beginning: a core of its own for controlled runs, Ctrl-C left to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["VMSMP_CORE"] = str(cores.get())


def run_campaign(
    glob: str,
    *,
    seconds: float,
    workers: int,
    seed: int = 0,
    mutants: tuple[str, ...] = (),
    repairs: tuple[str, ...] = (),
    progress: Callable[[Campaign], None] = lambda _campaign: None,
    on_report: Callable[[Report], None] = lambda _report: None,
) -> Campaign:
    """Stress the scenarios that match `glob` for that long, in that many processes.

    Raises: UsageError if none matches, or a mutant or repair is unknown.
    """
    names = [s.__name__ for s in matching(glob)]
    options_for(find_scenario(names[0]), repairs=repairs, mutants=mutants)
    campaign = Campaign(rows={name: Row() for name in names}, workers=workers)
    campaign.planned = len(names) * len(WAYS)
    start = time.monotonic()
    context = get_context("spawn")
    cores = context.SimpleQueue()
    for core in range(workers):
        cores.put(core)
    source = pieces(names, max(1.0, seconds - RESERVE_S) * workers, seed, mutants, repairs)
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_settle, initargs=(cores,))
    running: set[Future[Report]] = set()
    try:
        while True:
            left = seconds - RESERVE_S - (time.monotonic() - start)
            while left > SHORTEST_S and len(running) < workers:
                piece = next(source)
                running.add(pool.submit(work, replace(piece, seconds=min(piece.seconds, left))))
            if not running:
                break
            done, running = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
            for future in done:
                report = future.result()
                campaign.add(report)
                on_report(report)
            campaign.seconds = time.monotonic() - start
            progress(campaign)
    except KeyboardInterrupt:
        campaign.interrupted = True
        for process in list(pool._processes.values()):  # the executor has no public way to stop
            process.terminate()
    finally:
        pool.shutdown(wait=not campaign.interrupted, cancel_futures=True)
    campaign.seconds = time.monotonic() - start
    return campaign
