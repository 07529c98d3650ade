"""What a campaign has come to so far, in numbers and failures."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path

from vmsmp.campaign.batch import Report
from vmsmp.campaign.cases import Sighting
from vmsmp.campaign.cause import Cause
from vmsmp.campaign.findings import Finding, by_name, explain
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


@dataclass(frozen=True, slots=True)
class Face:
    """Failures of one signature in a scenario that a finding causes whose entry does not name them.

    `failure` is the first of them, `evidence` says how that was shown.
    """

    finding: Finding
    failure: Failure
    times: int
    evidence: str


@dataclass
class Campaign:
    """Everything that came out so far.

    `before` counts the batches that the store had already, `lost` those that were under way at the end.
    `fixed` are lines of the store that fail no longer on this code.  `parallel`: free runs were so.  `store`
    is the file that keeps it all.  `undecided` counts the failures of which it is not known yet whether they
    are new; `why` says of new ones why they are not known.  `inquiries` is how often that was looked into,
    and `compared` how many runs that took.
    """

    rows: dict[str, Row] = field(default_factory=dict)
    new: dict[str, Failure] = field(default_factory=dict)
    known: dict[str, tuple[Finding, Failure, int]] = field(default_factory=dict)
    faces: dict[tuple[str, str, str], Face] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)
    undecided: int = 0
    inquiries: int = 0
    compared: int = 0
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

    def add(
        self, report: Report, why_new: Callable[[Failure], str | None] = lambda _failure: ""
    ) -> dict[str, str]:
        """Count one batch; by signature, the known finding that explains it, or "".

        `why_new` says of a failure that nothing explains why it is new.  If it says None that is not decided
        yet, and the failure is not counted yet either.
        """
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
            times = report.times(failure)
            finding = self.explain(failure, report.batch.options.repairs)
            if finding is not None:
                self.add_known(finding, failure, times)
            else:
                name, evidence = report.proofs.get(failure.signature, ("", ""))
                finding = self.entry(name)
                if finding is not None:
                    self.add_face(finding, failure, times, evidence)
                elif (why := why_new(failure)) is not None:
                    row.failed += times
                    self.add_new(failure, times, why)
            row.known += times if finding is not None else 0
            explained[failure.signature] = finding.name if finding is not None else ""
        return explained

    def entry(self, name: str) -> Finding | None:
        """The known finding of that name, if it excuses anything today."""
        finding = by_name(name)
        return None if finding is None or finding.expired(self.today) else finding

    def decide(self, sighting: Sighting, cause: Cause) -> Finding | None:
        """A failure that no list explains is decided: the finding that causes it, None if it is new."""
        failure, times = sighting.failure, sighting.times
        finding = self.entry(cause.finding)
        row = self.rows.setdefault(failure.program, Row()) if sighting.batch is not None else Row()
        if finding is not None:
            row.known += times
            self.add_face(finding, failure, times, cause.evidence)
        else:
            row.failed += times
            self.add_new(failure, times, cause.evidence)
        return finding

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
        self.known[finding.name] = (finding, _shown(first), before + times)

    def add_face(self, finding: Finding, failure: Failure, times: int, evidence: str) -> None:
        """Count a failure that comes from a known finding, as was shown."""
        self.add_known(finding, failure, times)
        key = failure.program, failure.signature, finding.name
        before = self.faces.get(key)
        if before is None:
            self.faces[key] = Face(finding, _shown(failure), times, evidence)
        else:
            self.faces[key] = replace(before, times=before.times + times)

    def add_new(self, failure: Failure, times: int, why: str = "") -> None:
        """Count a failure that nothing explains; of several that replay the shortest line is kept."""
        key = _key(failure)
        kept = self.new.get(key)
        if kept is None or (failure.schedule and _length(failure) < _length(kept)):
            self.new[key] = failure
        self.counts[key] = self.counts.get(key, 0) + times
        self.why.setdefault(key, why)

    def shorten(self, short: Failure) -> None:
        """A failure was minimized; the shortest of each kind is the one that is shown."""
        kept = self.new.get(_key(short))
        if kept is not None and _length(short) <= _length(kept):
            self.new[_key(short)] = short
        for key, face in self.faces.items():
            if key[:2] == (short.program, short.signature) and _length(short) <= _length(face.failure):
                self.faces[key] = replace(face, failure=short)


def _shown(failure: Failure) -> Failure:
    """A failure of which the summary shows the line alone: a campaign keeps many."""
    return failure if failure.story is None else replace(failure, story=None)


def _length(failure: Failure) -> float:
    """How long its line is; without one it is longer than any."""
    return len(failure.schedule) if failure.schedule else math.inf


def _key(failure: Failure) -> str:
    return f"{failure.program} {failure.signature}"
