"""What a campaign has come to so far, in numbers and failures."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

from vmsmp.campaign.batch import Report
from vmsmp.campaign.findings import Finding, explain
from vmsmp.campaign.outcome import Failure
from vmsmp.campaign.way import PLENTY, Scarcity


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
    """Everything that came out so far.

    `before` counts the batches that the store had already, `lost` those that were under way at the end.
    `fixed` are lines of the store that fail no longer on this code.  `parallel`: free runs were so.  `store`
    is the file that keeps it all.
    """

    rows: dict[str, Row] = field(default_factory=dict)
    new: dict[str, Failure] = field(default_factory=dict)
    known: dict[str, tuple[Finding, Failure, int]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    fixed: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    seconds: float = 0.0
    workers: int = 0
    batches: int = 0
    before: int = 0
    lost: int = 0
    planned: int = 0
    interrupted: bool = False
    parallel: bool = False
    store: Path | None = None
    #: What the command line was told to choose what runs.
    chosen: tuple[str, ...] = ()
    scarcity: Scarcity = PLENTY
    #: The day by which entries of the list of known findings expire.
    today: date = field(default_factory=lambda: datetime.now(UTC).date())

    def add(self, report: Report) -> dict[str, str]:
        """Count one batch; by signature, the known finding that explains it, or ""."""
        self.batches += 1
        row = self.rows.setdefault(report.batch.scenario, Row())
        if report.batch.free:
            row.rounds += report.executions
            row.operations += report.operations
        else:
            if report.batch.options.repairs:
                row.repaired += report.executions
            else:
                row.schedules += report.executions
            row.steps += report.operations
        if report.error:
            self.errors.append(f"{report.batch.scenario} ({report.batch.way}): {report.error}")
        explained = {}
        for failure in report.failures:
            times = report.counts.get(failure.signature, 1)
            finding = self.explain(failure, report.batch.options.repairs)
            explained[failure.signature] = finding.name if finding is not None else ""
            if finding is not None:
                row.known += times
                self.add_known(finding, failure, times)
            else:
                row.failed += times
                self.add_new(failure, times)
        return explained

    def explain(self, failure: Failure, repairs: frozenset[str]) -> Finding | None:
        """The known finding that excuses a failure today."""
        finding = explain(failure, repairs)
        return None if finding is None or finding.expired(self.today) else finding

    @property
    def executions(self) -> tuple[int, int]:
        """Controlled schedules and free rounds of all scenarios together."""
        rows = self.rows.values()
        return sum(row.schedules + row.repaired for row in rows), sum(row.rounds for row in rows)

    @property
    def outcome(self) -> str:
        """How it ended, in a word."""
        if self.new:
            return "failed"
        if self.interrupted:
            return "interrupted"
        return "error" if self.errors else "clean"

    def add_known(self, finding: Finding, failure: Failure, times: int) -> None:
        """Count a failure that a known finding explains."""
        _, first, before = self.known.get(finding.name, (finding, failure, 0))
        self.known[finding.name] = (finding, first, before + times)

    def add_new(self, failure: Failure, times: int) -> None:
        """Count a failure that nothing explains; of several that replay the shortest line is kept."""
        key = _key(failure)
        kept = self.new.get(key)
        if kept is None or (failure.schedule and _length(failure) < _length(kept)):
            self.new[key] = failure
        self.counts[key] = self.counts.get(key, 0) + times

    def shorten(self, short: Failure) -> None:
        """A failure was minimized; the shortest of each kind is the one that is shown."""
        kept = self.new.get(_key(short))
        if kept is not None and _length(short) <= _length(kept):
            self.new[_key(short)] = short


def _length(failure: Failure) -> float:
    """How long its line is; without one it is longer than any."""
    return len(failure.schedule) if failure.schedule else math.inf


def _key(failure: Failure) -> str:
    return f"{failure.program} {failure.signature}"
