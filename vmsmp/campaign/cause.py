"""The cause of a failure: which known finding it comes from, shown by that finding's repair.

The defects of the kernel show in more scenarios, and in more ways, than a list can name.  A failure that no
entry of the list explains is new unless this proves that a known finding causes it:

  * *Its own line.*  With the finding's repair on, and nothing else changed, the line does not fail this way.
    A repair that changes nothing in that run, or does not help it, is not its cause.
  * *All repairs.*  With the repairs of all known findings on, many runs of the scenario never fail this way.
    One that does is enough to tell that it is something else: a defect that no repair mends is still there.
  * *All repairs but that one.*  Then it comes back, and near the line on which it does so often that it is no
    chance: if the repair made no difference, `HITS` failures in n runs without it and none in `TIMES` n runs
    with it would come once in (1 + TIMES) ** HITS cases.

A repair is left out if what is planted has changed the very lines that it mends; then the finding that it
belongs to is the cause of nothing.

Half of the runs are near a line that failed (`sched.vicinity`), since a search alone seldom finds again what
is rare; the others are such a search.  Where the signature is one that the finding's entry lists, it need not
come back: that it does is known.  Where a failure of its signature was proven before in its scenario, only
its own line is asked.  A failure of the free engine has no line: a short search under control finds one, and
in the end many free runs have to pass with all repairs.  One that only the free engine shows is compared
there, and fewer hits are enough (`LISTED_HITS`) where the finding's entry lists its signature; none are
needed where a line that fails so was shown to come from it.

Which runs are made, and what is made of them, follows from counts and seeds alone.  They are bounded, too:
what is not proven within the bounds is new.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from vmsmp.campaign.batch import ENDS
from vmsmp.campaign.findings import Finding, by_name, explain, findings
from vmsmp.campaign.free_arm import TIMES, FreeArm
from vmsmp.campaign.options import Program
from vmsmp.campaign.outcome import Failure, signature_of
from vmsmp.campaign.replay import parse_for
from vmsmp.campaign.runner import runner_for
from vmsmp.engine.hang import HANG_S
from vmsmp.engine.options import Options
from vmsmp.engine.schedule import Schedule
from vmsmp.engine.scheduler import Scheduler
from vmsmp.engine.trace import count_steps, digest
from vmsmp.errors import ReplayDiverged, VmsmpError
from vmsmp.patches.catalogue import REPAIR_BY_NAME, fitting_repairs
from vmsmp.sched.portfolio import Portfolio
from vmsmp.sched.replay import OpCounter, Preempting, Recorder
from vmsmp.sched.vicinity import Vicinity

#: How often a failure has to come back without the repair; `TIMES` as many runs have to pass with it.
HITS: Final = 5
#: How often a failure of the free engine has to come back whose signature the entry lists.
LISTED_HITS: Final = 3
#: Runs with all repairs before any without one of them, those of one repair before the next has its turn, and
#: those that pass in the end, at least.
GLANCE: Final = 40
#: Runs of a proof at most, and the operations that these may have together.
RUNS: Final = 1_500
OPERATIONS: Final = 2_000_000
#: The operations that a hint may take.
HINT: Final = 200_000
#: Runs under control in which a failure of the free engine has to be found, with checkers and without; more
#: of them where they have not had so many operations together.
SOUGHT: Final = 300
SOUGHT_OPERATIONS: Final = 300_000
#: Free runs with all repairs at most, and the seconds after which it is given up to make them; a failure that
#: only the free engine shows has as many to come back in.
FREE_RUNS: Final = 200
FREE_S: Final = 60.0

WITH_ALL: Final = "it comes with the repairs of all known findings on, too"
NO_HELP: Final = "its line fails all the same, whichever known finding is repaired"


#: Who is told the signature, the line and the log of each run, and says whether there is to be another.
Heard = Callable[[str, Schedule, list[int]], bool]


class Verdict(StrEnum):
    """What came of looking for the cause of a failure among the known findings."""

    PROVEN = "proven"
    REFUTED = "refuted"
    #: The bounds were reached before.
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Cause:
    """The verdict on a failure: the name of the finding that causes it ("" if none does), and why.

    `runs` is how many it took.
    """

    verdict: Verdict
    finding: str = ""
    evidence: str = ""
    runs: int = 0


def find_cause(
    scenario: Program,
    failure: Failure,
    options: Options,
    among: Sequence[Finding],
    *,
    faces: Iterable[str] = (),
    free_runs: int = 0,
    alive: Callable[[], None] = lambda: None,
    hang_s: float | None = None,
) -> Cause:
    """Look for the cause of a failure that came under these options.

    `faces` are the findings that were shown to cause others of its signature, which its line is tried with
    first.  After `free_runs` runs of the free engine, on average, a failure without a line came there.
    Raises: VmsmpError for what cannot be run.
    """
    inquiry = _Comparison(scenario, failure, options, among, alive, hang_s)
    try:
        return inquiry.verdict(frozenset(faces), free_runs)
    except _Bound:
        evidence = f"not decided in {inquiry.runs:,} schedules"
        return Cause(Verdict.UNDECIDED, evidence=evidence, runs=inquiry.runs)


def known_cause(
    program: Program, failure: Failure, options: Options, alive: Callable[[], None] = lambda: None
) -> Finding | None:
    """The known finding that a failure with a line is, by its entry, or that is proven to cause it."""
    finding = explain(failure, options.repairs)
    if finding is not None or failure.kind in ENDS:
        return finding
    return by_name(find_cause(program, failure, options, findings(), alive=alive).finding)


def suspects(
    scenario: Program, failure: Failure, options: Options, *, check: bool = True, hang_s: float | None = None
) -> tuple[Finding, ...]:
    """The known findings whose repair, alone, keeps a failure's line from failing so: a hint, no proof.

    There are none if it would take long, or Ctrl-C ends it.
    """
    if not failure.schedule or failure.kind in ENDS:
        return ()
    comparison = _Comparison(scenario, failure, options, findings(), lambda: None, hang_s)
    comparison.check = check
    comparison.operations = OPERATIONS - HINT
    try:
        return comparison.suspects()
    except (_Bound, VmsmpError, KeyboardInterrupt):
        return ()


class _Bound(Exception):
    """The bounds are reached."""


@dataclass(slots=True)
class _Arm:
    """Runs with some repairs on: how many there were, and how many of them failed as in question.

    Half of them are near `line`; `last` is the line of the last that failed, at first the same.
    """

    repairs: frozenset[str]
    line: Schedule
    last: Schedule
    near: Scheduler
    searching: Scheduler
    runs: int = 0
    hits: int = 0


class _Comparison:
    """One failure, and the runs that are made because of it."""

    def __init__(
        self,
        scenario: Program,
        failure: Failure,
        options: Options,
        among: Sequence[Finding],
        alive: Callable[[], None],
        hang_s: float | None,
    ) -> None:
        self.scenario = scenario
        self.failure = failure
        self.options = options
        self.every = fitting_repairs(options.mutants)
        self.among = _one_a_repair(among, self.every - options.repairs, failure)
        self.alive = alive
        self.hang_s = hang_s
        self.check = True
        self.schedule = Schedule(failure.program, options=options)
        self.free = FreeArm(scenario, failure.signature, options, alive, hang_s)
        self.runs = 0
        self.operations = 0
        self.most_runs: float = RUNS
        self.most_operations: float = OPERATIONS

    def verdict(self, faces: frozenset[str], free_runs: int) -> Cause:
        """Come to a verdict.

        Raises: _Bound if there is none within the bounds.
        """
        if not self.among:
            return self._refuted(WITH_ALL)
        if self.failure.schedule:
            self.schedule = replace(parse_for(self.scenario, self.failure.schedule), digest="")
        else:
            found = self._found_under_control()
            if found is None:
                shown = next((one for one in self.among if one.name in faces), None)
                return self._freely(self._shown(shown), free_runs) if shown else self._compared_freely()
            self.schedule = found
        now, signature = self._replay(())
        if signature != self.failure.signature:
            raise ReplayDiverged("its line fails otherwise than it did")
        for finding in self.among:
            if finding.name in faces and self._helps(finding):
                return self._proven(finding, f"its line does not fail so with repair {finding.repair}")
        likely = (one for one in self.among if one.shows_as(self.failure.signature) and self._helps(one))
        listed = next(likely, None)
        if listed is not None:
            cause = self._glanced_at(listed)
        else:
            candidates = list(self._helping(self.among, now))
            if not candidates:
                return self._refuted(NO_HELP)
            cause = self._compared(candidates)
        if cause.verdict == Verdict.PROVEN and not self.failure.schedule:
            return self._freely(cause, free_runs)
        return cause

    def suspects(self) -> tuple[Finding, ...]:
        """The findings whose repair, alone, keeps its line from failing so, those that show so first."""
        self.schedule = replace(parse_for(self.scenario, self.failure.schedule), digest="")
        now, signature = self._replay(())
        if not self.among or signature != self.failure.signature:
            return ()
        helping = self._helping(self.among, now)
        return tuple(sorted(helping, key=lambda one: not one.shows_as(signature)))

    def _shown(self, finding: Finding) -> Cause:
        """The verdict on a failure without a line, of whose signature one with a line was decided."""
        return self._proven(finding, f"a line of {self.scenario.__name__} that fails so comes from it")

    def _proven(self, finding: Finding, evidence: str) -> Cause:
        return Cause(Verdict.PROVEN, finding.name, evidence, self.runs)

    def _refuted(self, why: str) -> Cause:
        left_out = sorted(REPAIR_BY_NAME.keys() - self.every)
        if left_out:
            why += f"; left out for what is planted: {', '.join(left_out)}"
        return Cause(Verdict.REFUTED, evidence=why, runs=self.runs)

    # -- its own line -----------------------------------------------------------------------------

    def _helping(self, among: Sequence[Finding], before: str) -> Iterator[Finding]:
        """The findings whose repair, alone, keeps the line from failing so.

        Repairs that together change nothing in its run need not be tried one by one.
        """
        now, signature = self._replay(one.repair for one in among)
        if now == before:
            return
        if len(among) == 1:
            if signature != self.failure.signature:
                yield among[0]
            return
        half = len(among) // 2
        yield from self._helping(among[:half], before)
        yield from self._helping(among[half:], before)

    def _helps(self, finding: Finding) -> bool:
        return self._replay([finding.repair])[1] != self.failure.signature

    def _replay(self, repairs: Iterable[str]) -> tuple[str, str]:
        """The digest and the signature of the line's run with these repairs on, too."""
        options = self.schedule.options
        came: list[tuple[str, str]] = []

        def heard(signature: str, _line: Schedule, log: list[int]) -> bool:
            came.append((digest(log), signature))
            return False

        line = (Preempting(self.schedule.preemptions), self.schedule.seed)
        self._run(replace(options, repairs=options.repairs | frozenset(repairs)), [line], heard)
        return came[0]

    # -- many runs --------------------------------------------------------------------------------

    def _glanced_at(self, finding: Finding) -> Cause:
        """The verdict on a failure that shows as the finding does in its own scenario."""
        if self._go_on(self._arm(self.every, self.schedule), GLANCE, 1):
            return self._refuted(WITH_ALL)
        evidence = (
            f"it shows as in {finding.scenario}, its line does not fail so with repair {finding.repair}, "
            f"and none of {GLANCE} schedules with all repairs do"
        )
        return self._proven(finding, evidence)

    def _compared(self, candidates: Sequence[Finding]) -> Cause:
        every = self.every
        if self._go_on(self._arm(every, self.schedule), GLANCE, 1):
            return self._refuted(WITH_ALL)
        arms = [(one, self._arm(every - {one.repair}, self.schedule)) for one in candidates]
        finding, line = self._come_back(arms)
        failing = self._arm(every - {finding.repair}, line)
        while not self._go_on(failing, failing.runs + GLANCE, HITS):
            pass
        passing = self._arm(every, line)
        if self._go_on(passing, max(GLANCE, TIMES * failing.runs), 1):
            return self._refuted(WITH_ALL)
        evidence = (
            f"{failing.hits} of {failing.runs:,} schedules fail so without repair {finding.repair}, "
            f"none of {passing.runs:,} with all repairs"
        )
        return self._proven(finding, evidence)

    def _come_back(self, arms: Sequence[tuple[Finding, _Arm]]) -> tuple[Finding, Schedule]:
        """The first finding without whose repair alone the failure comes, and the line on which it does."""
        turn = GLANCE
        while True:
            for finding, arm in arms:
                if self._go_on(arm, turn, 1):
                    return finding, arm.last
            turn *= 2

    def _arm(self, repairs: frozenset[str], line: Schedule) -> _Arm:
        return _Arm(repairs, line, line, Vicinity(line.preemptions, line.seed), Portfolio(line.seed))

    def _go_on(self, arm: _Arm, runs: int, hits: int) -> bool:
        """Go on until there are so many runs or so many hits; whether there are as many hits.

        Raises: _Bound when the bounds are reached first.
        """

        def heard(signature: str, line: Schedule, _log: list[int]) -> bool:
            arm.runs += 1
            if signature == self.failure.signature:
                arm.hits += 1
                arm.last = line
            return arm.runs < runs and arm.hits < hits

        if arm.runs < runs and arm.hits < hits:
            self._run(replace(self.schedule.options, repairs=arm.repairs), _turns(arm), heard)
        return arm.hits >= hits

    def _run(self, options: Options, turns: Iterable[tuple[Scheduler, int]], heard: Heard) -> None:
        """Run in turn as long as `heard` wants more of it."""
        hang_s = HANG_S if self.hang_s is None else self.hang_s
        with runner_for(self.scenario, options, check=self.check, hang_s=hang_s) as runner:

            def drive() -> None:
                for scheduler, seed in turns:
                    self._count()
                    scheduler.begin()
                    recorder = Recorder(scheduler)
                    machine = runner.run(recorder, seed, (OpCounter(),))
                    found = machine.violation
                    machine.close()
                    if runner.engine.interrupted:
                        raise KeyboardInterrupt
                    log = runner.engine.execution.log
                    self.operations += count_steps(log)
                    line = replace(self.schedule, seed=seed, preemptions=tuple(recorder.preemptions))
                    if not heard(signature_of(found) if found is not None else "", line, log):
                        return

            runner.drive(drive)

    def _count(self) -> None:
        """One run more.

        Raises: _Bound if there may be none.
        """
        if self.runs >= self.most_runs or self.operations >= self.most_operations:
            raise _Bound
        self.runs += 1
        self.alive()

    # -- the free engine --------------------------------------------------------------------------

    def _found_under_control(self) -> Schedule | None:
        """A line that fails as the free run did; None if none is found soon.

        It does so with all checkers or, since some of them see earlier what comes of it there, with none.
        The bounds are those of what comes after it.
        """
        search = Portfolio(self.schedule.seed)
        found: list[Schedule] = []

        def heard(signature: str, line: Schedule, _log: list[int]) -> bool:
            if signature == self.failure.signature:
                found.append(line)
            return not found

        self.most_runs = self.most_operations = math.inf
        for self.check in (True, False):
            self._run(self.options, ((search, seed) for seed in self._sought()), heard)
            if found:
                break
        self.most_runs, self.most_operations = self.runs + RUNS, self.operations + OPERATIONS
        return found[0] if found else None

    def _sought(self) -> Iterator[int]:
        """The seeds of the runs under control in which a failure of the free engine is looked for."""
        before, seeds = self.operations, itertools.count(self.schedule.seed)
        for _ in range(SOUGHT):
            yield next(seeds)
        while self.operations - before < SOUGHT_OPERATIONS:
            yield next(seeds)

    def _compared_freely(self) -> Cause:
        """The cause of a failure that the free engine alone shows."""
        every = self.every
        until = time.monotonic() + FREE_S
        finding = self.free.suspect(self.among, every, until)
        without = hits = wanted = 0
        if finding is not None:
            wanted = LISTED_HITS if finding.shows_as(self.failure.signature) else HITS
            without, hits = self.free.come_back(every - {finding.repair}, wanted, until)
        if finding is None or hits < wanted:
            evidence = f"not found in {self.runs:,} schedules, and not decided by free runs"
            return Cause(Verdict.UNDECIDED, evidence=evidence, runs=self.runs)
        wanted = TIMES * without
        passed, hits_with = self.free.run(every, wanted, 1, time.monotonic() + FREE_S)
        if hits_with:
            return self._refuted(WITH_ALL)
        if passed < wanted:
            return self._too_few(passed, wanted)
        evidence = (
            f"{hits} of {without:,} free runs fail so without repair {finding.repair}, "
            f"none of {passed:,} with all repairs"
        )
        return self._proven(finding, evidence)

    def _too_few(self, passed: int, wanted: int) -> Cause:
        evidence = f"only {passed:,} of {wanted:,} free runs with all repairs were made in time"
        return Cause(Verdict.UNDECIDED, evidence=evidence, runs=self.runs)

    def _freely(self, cause: Cause, free_runs: int) -> Cause:
        """The same cause, if so many runs of the free engine pass with all repairs."""
        wanted = min(FREE_RUNS, TIMES * HITS * free_runs)
        passed, hits = self.free.run(self.every, wanted, 1, time.monotonic() + FREE_S)
        if hits:
            return self._refuted(WITH_ALL)
        if passed < wanted:
            return self._too_few(passed, wanted)
        return replace(cause, evidence=f"{cause.evidence}, and none of {wanted:,} free runs")


def _turns(arm: _Arm) -> Iterator[tuple[Scheduler, int]]:
    """Who decides in an arm's next runs, and their seeds: near the line and searching, in turn."""
    seed = arm.line.seed
    while True:
        yield (arm.searching, seed + arm.runs) if arm.runs % 2 else (arm.near, seed)


def _one_a_repair(among: Sequence[Finding], repairs: frozenset[str], failure: Failure) -> list[Finding]:
    """The findings that have one of these repairs; of several that have the same, who the failure looks like.

    Its signature tells more than its scenario.
    """
    kept: dict[str, tuple[tuple[bool, bool], Finding]] = {}
    for finding in among:
        likeness = finding.shows_as(failure.signature), failure.program == finding.scenario
        if finding.repair in repairs and (finding.repair not in kept or likeness > kept[finding.repair][0]):
            kept[finding.repair] = likeness, finding
    return [finding for _, finding in kept.values()]
