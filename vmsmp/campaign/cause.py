"""The cause of a failure: which known finding it comes from, shown by that finding's repair.

The defects of the kernel show in more scenarios, and in more ways, than a list can name.  A failure that no
entry of the list explains is new unless this proves that it is a further face of a known finding:

  * *Its own line*: with the finding's repair on, and nothing else changed, the line does not fail this way.
    A repair that changes nothing in that run, or does not help it, is not its cause.
  * *With the repairs of all known findings* many runs of the scenario never fail this way.  Once is enough to
    tell that it is something else: a defect that no repair mends is still there.
  * *With all repairs but that one* they do, again and again, so that chance is no explanation: of `HITS`
    failures in n runs with all but one and none in `TIMES` n runs with all, one could say in
    (1 + TIMES) ** HITS cases by chance, if the repair made no difference.

Half of the runs are a search as a campaign makes it, half are near the failure's own line, which finds again
what the search finds seldom.  What is run depends on counts and seeds alone, and is bounded by them: a failure
that is not proven within the bounds is new.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from vmsmp.campaign.findings import Finding
from vmsmp.campaign.outcome import Failure, signature_of
from vmsmp.campaign.replay import follow, parse_for
from vmsmp.campaign.runner import runner_for
from vmsmp.engine.hang import HANG_S
from vmsmp.engine.schedule import Schedule
from vmsmp.engine.scheduler import Scheduler
from vmsmp.engine.trace import count_steps
from vmsmp.errors import UsageError
from vmsmp.library import Scenario
from vmsmp.patches.catalogue import REPAIR_BY_NAME
from vmsmp.sched.portfolio import Portfolio
from vmsmp.sched.replay import OpCounter
from vmsmp.sched.vicinity import Vicinity

#: How often a failure has to come back without the repair, and how many times as many runs are clean with it.
HITS: Final = 5
TIMES: Final = 4
#: Runs with all repairs before anything else is tried.
GLANCE: Final = 40
#: Runs of a proof at most, and the operations that these may have together.
RUNS: Final = 1_500
OPERATIONS: Final = 2_000_000


class Verdict(StrEnum):
    """What became of the attempt to show that a failure comes from a known finding."""

    PROVEN = "proven"
    #: It comes with all repairs on, or with none of them does its own line change.
    REFUTED = "refuted"
    #: The bounds were reached before.
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Cause:
    """The verdict on a failure: the name of the finding that causes it ("" if none does), and `evidence`.

    `runs` is how many it took.
    """

    verdict: Verdict
    finding: str = ""
    evidence: str = ""
    runs: int = 0


@dataclass(slots=True)
class _Arm:
    """Runs with some repairs on: how many there were, and how many of them failed as in question."""

    repairs: frozenset[str]
    near: Scheduler
    searching: Scheduler
    runs: int = 0
    hits: int = 0


class _Bound(Exception):
    """The bounds are reached."""


def find_cause(
    scenario: Scenario,
    failure: Failure,
    among: Sequence[Finding],
    *,
    alive: Callable[[], None] = lambda: None,
    hang_s: float = HANG_S,
) -> Cause:
    """Look for the finding that causes a failure with a line.  Mutants on its line stay planted.

    Raises: VmsmpError for a line that cannot be run.
    """
    return _Inquiry(scenario, failure, among, alive, hang_s).verdict()


class _Inquiry:
    def __init__(
        self,
        scenario: Scenario,
        failure: Failure,
        among: Sequence[Finding],
        alive: Callable[[], None],
        hang_s: float,
    ) -> None:
        self.scenario = scenario
        self.signature = failure.signature
        self.schedule = replace(parse_for(scenario, failure.schedule), digest="")
        self.among = [one for one in among if one.repair not in self.schedule.options.repairs]
        self.alive = alive
        self.hang_s = hang_s
        self.runs = 0
        self.operations = 0

    def verdict(self) -> Cause:
        every = frozenset(REPAIR_BY_NAME)
        if not self.among:
            return Cause(Verdict.REFUTED, evidence="the repairs of all known findings are on")
        candidates = self._candidates()
        if not candidates:
            return Cause(Verdict.REFUTED, evidence="no repair keeps its line from failing", runs=self.runs)
        clean = self._arm(every)
        try:
            return self._compare(clean, [(one, self._arm(every - {one.repair})) for one in candidates])
        except _Bound:
            return Cause(Verdict.UNDECIDED, evidence=f"not decided in {self.runs} schedules", runs=self.runs)

    def _compare(self, clean: _Arm, without: Sequence[tuple[Finding, _Arm]]) -> Cause:
        self._go_on(clean, GLANCE, 1)
        if clean.hits:
            return self._with_all(clean)
        finding, arm = self._decisive(without)
        self._go_on(clean, TIMES * arm.runs, 1)
        if clean.hits:
            return self._with_all(clean)
        evidence = (
            f"without repair {finding.repair} {arm.hits} of {arm.runs} schedules fail so, "
            f"with all repairs none of {clean.runs}"
        )
        return Cause(Verdict.PROVEN, finding.name, evidence, self.runs)

    def _decisive(self, without: Sequence[tuple[Finding, _Arm]]) -> tuple[Finding, _Arm]:
        """The first finding without whose repair the failure comes often enough."""
        most = GLANCE
        while True:
            for finding, arm in without:
                self._go_on(arm, most, HITS)
                if arm.hits >= HITS:
                    return finding, arm
            most *= 2

    def _with_all(self, clean: _Arm) -> Cause:
        evidence = f"it comes with the repairs of all known findings, too (schedule {clean.runs})"
        return Cause(Verdict.REFUTED, evidence=evidence, runs=self.runs)

    # -- its own line -----------------------------------------------------------------------------

    def _candidates(self) -> list[Finding]:
        """The findings whose repair, alone, keeps the failure's own line from failing as it does."""
        first = self._replay(())
        if first[1] != self.signature:
            raise UsageError("this schedule does not fail as it should, so nothing can cause that")
        return list(self._helping(self.among, first[0]))

    def _helping(self, among: Sequence[Finding], digest: str) -> Iterator[Finding]:
        """Those of the findings that help; a group whose repairs together change nothing has none."""
        now, signature = self._replay(one.repair for one in among)
        if now == digest:
            return
        if len(among) == 1:
            if signature != self.signature:
                yield among[0]
            return
        half = len(among) // 2
        yield from self._helping(among[:half], digest)
        yield from self._helping(among[half:], digest)

    def _replay(self, repairs: Iterator[str] | Sequence[str]) -> tuple[str, str]:
        """The digest and the signature of the failure's line with these repairs on, too."""
        self.alive()
        self.runs += 1
        options = self.schedule.options
        more = replace(options, repairs=options.repairs | frozenset(repairs))
        outcome = follow(self.scenario, replace(self.schedule, options=more), hang_s=self.hang_s)
        return outcome.digest, outcome.failure.signature if outcome.failure is not None else ""

    # -- many runs --------------------------------------------------------------------------------

    def _arm(self, repairs: frozenset[str]) -> _Arm:
        seed = self.schedule.seed
        return _Arm(repairs, Vicinity(self.schedule.preemptions, seed), Portfolio(seed))

    def _go_on(self, arm: _Arm, runs: int, hits: int) -> None:
        """Go on until an arm has so many runs or so many hits.

        Raises: _Bound when the bounds are reached first.
        """
        if arm.runs >= runs or arm.hits >= hits:
            return
        options = replace(self.schedule.options, repairs=arm.repairs)
        with runner_for(self.scenario, options, check=True, hang_s=self.hang_s) as runner:

            def drive() -> None:
                while arm.runs < runs and arm.hits < hits:
                    if self.runs >= RUNS or self.operations >= OPERATIONS:
                        raise _Bound
                    if runner.engine.interrupted:
                        raise KeyboardInterrupt
                    self.alive()
                    near = arm.runs % 2 == 0
                    scheduler = arm.near if near else arm.searching
                    scheduler.begin()
                    machine = runner.run(scheduler, self.schedule.seed + (0 if near else arm.runs), (OpCounter(),))
                    found = machine.violation
                    machine.close()
                    arm.runs += 1
                    self.runs += 1
                    self.operations += count_steps(runner.engine.execution.log)
                    arm.hits += found is not None and signature_of(found) == self.signature

            runner.drive(drive)
