"""What a campaign does beside its batches.

It looks for the cause of a failure among the known findings, shortens what is new, and replays what was found
before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from vmsmp.campaign.batch import Alive
from vmsmp.campaign.cause import Cause, Verdict, find_cause
from vmsmp.campaign.findings import Finding, explain
from vmsmp.campaign.minimize import minimize
from vmsmp.campaign.outcome import Failure
from vmsmp.campaign.replay import follow, parse_for, replay
from vmsmp.engine.hang import HANG_S
from vmsmp.engine.options import Options
from vmsmp.engine.schedule import Schedule
from vmsmp.errors import ReplayDiverged, VmsmpError
from vmsmp.library import Scenario, scenario_at

#: Runs that the shortening of a failure may take.
SHORTEN_RUNS: Final = 300


@dataclass(frozen=True, slots=True)
class Inquiry:
    """Find out whether a known finding causes a failure that came under these options.

    `among` are the findings that may, `faces` those that were shown to cause others of its signature.
    `free_runs`: of how many runs of the free engine it came in one, if it came there.
    """

    failure: Failure
    options: Options
    among: tuple[Finding, ...]
    faces: tuple[str, ...] = ()
    free_runs: int = 0
    hang_s: float | None = None

    @property
    def free(self) -> bool:
        """Whether it is made where the free engine runs."""
        return bool(self.free_runs)

    def __str__(self) -> str:
        return f"looking for the cause of {self.failure.schedule or self.failure.signature}"

    def do(self, alive: Alive) -> Inquired:
        """Make it."""
        try:
            cause = find_cause(
                scenario_at(self.failure.place or self.failure.program),
                self.failure,
                self.options,
                self.among,
                faces=self.faces,
                free_runs=self.free_runs,
                alive=alive,
                hang_s=self.hang_s,
            )
        except VmsmpError as error:
            cause = Cause(Verdict.UNDECIDED, evidence=f"not decided: {error}")
        return Inquired(self, cause)


@dataclass(frozen=True, slots=True)
class Inquired:
    """What came of an inquiry."""

    asked: Inquiry
    cause: Cause


@dataclass(frozen=True, slots=True)
class Shortening:
    """Find the shortest schedule of a failure, with no repair that makes no difference, in so many `runs`."""

    failure: Failure
    hang_s: float | None = None
    runs: int = SHORTEN_RUNS

    def __str__(self) -> str:
        return f"shortening {self.failure.schedule}"

    def do(self, alive: Alive) -> Shortened:
        """Shorten it."""
        scenario = scenario_at(self.failure.place or self.failure.program)
        hang_s = HANG_S if self.hang_s is None else self.hang_s
        try:
            short = minimize(
                scenario,
                self.failure.schedule,
                budget=self.runs,
                hang_s=hang_s,
                progress=lambda _runs, _shortest: alive(),
            )
            short = _with_few_repairs(scenario, short, alive, hang_s)
            told = replay(scenario, short, hang_s=hang_s).failure
            if told is None or told.signature != self.failure.signature:
                raise ReplayDiverged("the minimized schedule failed once and not again")
        except VmsmpError as error:
            return Shortened(self.failure, error=f"{type(error).__name__}: {error}")
        first = self.failure
        return Shortened(first, replace(told, execution=first.execution, confirmation=first.confirmation))


def _with_few_repairs(scenario: Scenario, schedule: Schedule, alive: Alive, hang_s: float) -> Schedule:
    """The same run with as few repairs of known findings as it takes.

    All are left out at once, then halves, quarters and so on.  A run that a known finding explains as soon as
    its repair is off keeps that repair.
    """
    kept = sorted(schedule.options.repairs)
    wanted = replay(scenario, schedule, hang_s=hang_s).digest if kept else ""
    size = len(kept)
    while size:
        n = 0
        while n < len(kept):
            alive()
            rest = [*kept[:n], *kept[n + size :]]
            less = replace(schedule, options=replace(schedule.options, repairs=frozenset(rest)))
            outcome = replay(scenario, less, hang_s=hang_s)
            if outcome.digest == wanted and outcome.failure and explain(outcome.failure, rest) is None:
                kept, schedule = rest, less
            else:
                n += size
        size //= 2
    return schedule


@dataclass(frozen=True, slots=True)
class Shortened:
    """What came of a failure: a shorter one, or why there is none."""

    first: Failure
    short: Failure | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Recheck:
    """Replay a line that showed a finding; `ident` is its name, `scenario` by what a worker finds its own."""

    ident: str
    line: str
    scenario: str
    hang_s: float | None = None

    def __str__(self) -> str:
        return f"replaying {self.line}"

    def do(self, alive: Alive) -> Rechecked:
        """Replay it."""
        alive()
        try:
            scenario = scenario_at(self.scenario)
            hang_s = HANG_S if self.hang_s is None else self.hang_s
            outcome = follow(scenario, parse_for(scenario, self.line), hang_s=hang_s)
        except VmsmpError as error:
            return Rechecked(self, error=f"{type(error).__name__}: {error}")
        return Rechecked(self, outcome.failure)


@dataclass(frozen=True, slots=True)
class Rechecked:
    """What a line comes to today; `error` says why it cannot be replayed."""

    asked: Recheck
    failure: Failure | None = None
    error: str = ""
