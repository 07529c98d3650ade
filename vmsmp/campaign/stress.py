"""A campaign: every scenario in both engines and at both depths, slice by slice, on every core.

The time is cut into slices; rounds of slices repeat with new seeds until it is up.  Known findings mask what
comes after them, so each scenario runs as the kernel is and with the repairs of all known findings on.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from multiprocessing.queues import SimpleQueue

from vmsmp.campaign.findings import Finding, explain
from vmsmp.campaign.outcome import Failure
from vmsmp.campaign.slice import SHORTEST_S, WAYS, Report, Slice, pieces, work
from vmsmp.library import matching
from vmsmp.patches.catalogue import check_mutants, check_repairs

#: Seconds kept back at the end for the slices under way and the summary.
RESERVE_S = 1.0
#: Seconds between two calls of `progress`, at most.
PROGRESS_S = 0.5


@dataclass
class Row:
    """One scenario in the summary; `repaired` counts schedules with repairs on, `schedules` the others."""

    schedules: int = 0
    repaired: int = 0
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
            if report.slice.options.repairs:
                row.repaired += report.executions
            else:
                row.schedules += report.executions
            row.steps += report.operations
        if report.error:
            self.errors.append(f"{report.slice.scenario} ({report.slice.way}): {report.error}")
        for failure in report.failures:
            times = report.counts.get(failure.signature, 1)
            finding = explain(failure, report.slice.options.repairs)
            if finding is not None:
                row.known += times
                self._add_known(finding, failure, times)
            else:
                row.failed += times
                self._add_new(failure, times)

    @property
    def executions(self) -> tuple[int, int]:
        """Controlled schedules and free rounds of all scenarios together."""
        rows = self.rows.values()
        return sum(row.schedules + row.repaired for row in rows), sum(row.rounds for row in rows)

    def _add_known(self, finding: Finding, failure: Failure, times: int) -> None:
        _, first, before = self.known.get(finding.name, (finding, failure, 0))
        self.known[finding.name] = (finding, first, before + times)

    def _add_new(self, failure: Failure, times: int) -> None:
        """Count the failure; one that can be replayed displaces one that cannot."""
        key = f"{failure.program} {failure.signature}"
        kept = self.new.get(key)
        if kept is None or (not kept.schedule and failure.schedule):
            self.new[key] = failure
        self.counts[key] = self.counts.get(key, 0) + times


def run_campaign(
    glob: str,
    *,
    seconds: float,
    workers: int,
    seed: int = 0,
    mutants: Collection[str] = (),
    repairs: Collection[str] = (),
    progress: Callable[[Campaign], None] = lambda _campaign: None,
    on_report: Callable[[Report], None] = lambda _report: None,
) -> Campaign:
    """Stress the scenarios that match `glob` for that long, in that many processes.

    Raises: UsageError if none matches, or a mutant or repair is unknown.
    """
    scenarios = matching(glob)
    patches = {"repairs": check_repairs(repairs), "mutants": check_mutants(mutants)}
    campaign = Campaign(rows={s.__name__: Row() for s in scenarios}, workers=workers)
    campaign.planned = len(scenarios) * len(WAYS)
    start = time.monotonic()
    source = pieces(scenarios, max(1.0, seconds - RESERVE_S) * workers, seed, **patches)
    pool = _pool(workers)
    try:
        for reports in _batches(pool, workers, source, start + seconds - RESERVE_S):
            for report in reports:
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


def _pool(workers: int) -> ProcessPoolExecutor:
    """Worker processes, each with a core of its own for controlled runs."""
    context = get_context("spawn")
    cores = context.SimpleQueue()
    for core in range(workers):
        cores.put(core)
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_settle, initargs=(cores,))


def _settle(cores: SimpleQueue[int]) -> None:
    """Take a core, and leave Ctrl-C to the parent; runs as a worker begins."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    os.environ["VMSMP_CORE"] = str(cores.get())


def hand_out(pool: ProcessPoolExecutor, piece: Slice) -> Future[Report]:
    """Give a worker that slice.

    A worker that starts for it starts with SIGINT blocked, so that Ctrl-C cannot reach it before it has
    settled; the parent sees Ctrl-C when this is over.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.submit(work, piece)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _batches(
    pool: ProcessPoolExecutor, workers: int, source: Iterator[Slice], deadline: float
) -> Iterator[list[Report]]:
    """Keep the workers busy until the deadline; what has come back since the last look, maybe nothing."""
    running: set[Future[Report]] = set()
    while True:
        left = deadline - time.monotonic()
        while left > SHORTEST_S and len(running) < workers:
            piece = next(source)
            running.add(hand_out(pool, replace(piece, seconds=min(piece.seconds, left))))
        if not running:
            return
        done, running = wait(running, timeout=PROGRESS_S, return_when=FIRST_COMPLETED)
        yield [future.result() for future in done]
