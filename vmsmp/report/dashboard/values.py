"""What a report of campaigns shows: the contents of a store, and what other commands have measured beside it.

A bug is a signature in a scenario, as the store groups findings.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from vmsmp.campaign.findings import findings
from vmsmp.campaign.outcome import Failure
from vmsmp.campaign.store.measured import Colours
from vmsmp.campaign.store.read import FIXED, KNOWN, NEW, UNSTEADY
from vmsmp.engine.schedule import Schedule
from vmsmp.errors import UsageError, quoted
from vmsmp.library import all_scenarios

if TYPE_CHECKING:
    from vmsmp.campaign.findings import Finding
    from vmsmp.campaign.kill_table import Verdict
    from vmsmp.campaign.store.read import Contents, Found, Row, Signature

#: What each status means to a reader, in the order in which bugs are shown.
MEANING: Final = {
    NEW: "no known finding explains it",
    UNSTEADY: "it did not come again on the same code: a defect of vmsmp itself",
    KNOWN: "a known finding explains it",
    FIXED: "its lines fail no longer on this code",
}
#: The statuses of bugs that somebody has to look at.
ALARMING: Final = (NEW, UNSTEADY)


@dataclass(frozen=True, slots=True)
class Bug:
    """A signature in a scenario.  `name` is the same everywhere; `times` says how often each run met it."""

    name: str
    signature: Signature
    times: tuple[int, ...]

    @property
    def title(self) -> str:
        """Its signature, in one line."""
        return " ".join(self.signature.text.split())

    @property
    def found(self) -> Found:
        """The finding that shows it best."""
        return self.signature.findings[0]

    @property
    def failure(self) -> Failure:
        """That finding as a failure, without a story."""
        return failure_of(self.found)

    @property
    def entry(self) -> Finding | None:
        """The known finding that it is, if the list still has it."""
        return next((one for one in findings() if one.name == self.signature.known), None)

    @property
    def reason(self) -> str:
        """Why it is known, or why it is not, as far as that was asked."""
        known, entry, proof = self.signature.known, self.entry, self.found.proof
        if entry is None:
            return known or (f"new: {proof}" if proof else "")
        until = f" (excused until {entry.expires})" if entry.expires is not None else ""
        by_repair = f" (known by its repair: {proof})" if proof else ""
        return f"{known}: {entry.reason}{until}{by_repair}"

    @property
    def preemptions(self) -> int | None:
        """How many preemptions its line has; None without a line, or with one of another version."""
        try:
            return len(Schedule.parse(self.found.line))
        except UsageError:
            return None


@dataclass(frozen=True, slots=True)
class Point:
    """How many traces and bugs were known after so many schedules of all runs."""

    executions: int
    traces: int
    bugs: int


@dataclass(frozen=True, slots=True)
class Searched:
    """What ran of one scenario, in all ways together; `unseen` is the chance that one more run is a new one.

    It is None where no run was looked at.
    """

    scenario: str
    schedules: int
    rounds: int
    operations: int
    traces: int
    unseen: float | None


@dataclass(frozen=True, slots=True)
class Dashboard:
    """Everything that a report shows; `source` names the store.

    `verdicts` and `colours` are what else was measured: the store's own, unless files were given.
    """

    source: str
    contents: Contents
    verdicts: tuple[Verdict, ...] = ()
    colours: tuple[Colours, ...] = ()

    @property
    def bugs(self) -> tuple[Bug, ...]:
        """All bugs by status; of one status, those seen last come first."""
        order = [*MEANING]
        found = [self._bug(one) for one in self.contents.signatures]
        found.sort(key=lambda bug: bug.name)
        found.sort(key=lambda bug: (order.index(bug.signature.status), -bug.signature.last))
        return tuple(found)

    def _bug(self, signature: Signature) -> Bug:
        history = dict(signature.history)
        name = sha256(f"{signature.scenario} {signature.known} {signature.text}".encode("utf-8", "replace"))
        times = tuple(history.get(run.token, 0) for run in self.contents.runs)
        return Bug(name.hexdigest()[:12], signature, times)

    @property
    def executions(self) -> tuple[int, int]:
        """Schedules and free rounds of all runs."""
        runs = self.contents.runs
        return sum(run.schedules for run in runs), sum(run.rounds for run in runs)

    @property
    def counts(self) -> dict[str, int]:
        """How many bugs there are of each status."""
        statuses = [one.status for one in self.contents.signatures]
        return {status: statuses.count(status) for status in MEANING}

    @property
    def alarming(self) -> bool:
        """Whether there is a bug that somebody has to look at."""
        return any(self.counts[status] for status in ALARMING)

    @property
    def in_words(self) -> str:
        """The same in words."""
        return ", ".join(f"{n:,} {status}" for status, n in self.counts.items() if n) or "no bugs"


def failure_of(found: Found) -> Failure:
    """A finding as a failure, without a story."""
    digest = f":{found.digest}" if found.digest else ""
    return Failure(
        kind=found.kind,
        message=found.message,
        signature=found.signature,
        schedule=found.line.removesuffix(digest),
        digest=found.digest,
        facts=found.facts,
        program=found.scenario,
        engine=found.engine,
        listed=found.scenario in all_scenarios(),
        place=found.place,
        trace=found.trace,
        step=found.step,
    )


def searched(rows: Iterable[Row]) -> list[Searched]:
    """What ran of each scenario, by name."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.scenario, []).append(row)
    return [_together(scenario, groups[scenario]) for scenario in sorted(groups)]


def _together(scenario: str, rows: list[Row]) -> Searched:
    free = [row for row in rows if row.engine == "free"]
    others = [row for row in rows if row.engine != "free"]
    sampled = sum(row.sampled for row in others)
    return Searched(
        scenario,
        sum(row.executions for row in others),
        sum(row.executions for row in free),
        sum(row.operations for row in rows),
        sum(row.traces for row in others),
        sum(row.once for row in others) / sampled if sampled else None,
    )


def discovery(contents: Contents, most: int) -> list[Point]:
    """The discovery curve of all runs one after another, with at most so many points, the last among them."""
    points = list(_discovered(contents))
    stride = -(-len(points) // most) or 1
    return points[::-stride][::-1]


def _discovered(contents: Contents) -> Iterator[Point]:
    began = {run.token: run.began for run in contents.runs}
    firsts = sorted(one.first for one in contents.signatures)
    run, before, here, bugs = "", (0, 0), (0, 0), 0
    for point in contents.discovery:
        if point.run != run:
            run, before, here = point.run, (before[0] + here[0], before[1] + here[1]), (0, 0)
        here = point.executions, point.traces
        while bugs < len(firsts) and firsts[bugs] <= began[run] + point.seconds:
            bugs += 1
        yield Point(before[0] + here[0], before[1] + here[1], bugs)


def day(seconds: float) -> str:
    """A moment of the Unix epoch as a reader writes it, in UTC."""
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(seconds))


def colours_of(content: Any, name: str) -> tuple[Colours, ...]:
    """The curve over colours in a file that `vmsmp bench --plot PLOT --json` has written.

    Raises: UsageError in one sentence for any other content.
    """
    entries = content.get("colours") if isinstance(content, dict) else None
    try:
        curve = tuple(
            Colours(int(one["colours"]), float(one["rate"]), float(one["contested"])) for one in entries or ()
        )
    except (TypeError, ValueError, KeyError):
        curve = ()
    if not curve:
        raise UsageError(
            f"{quoted(name, 300)} has no curve over colours: `vmsmp bench --plot PLOT --json` does"
        )
    return curve
