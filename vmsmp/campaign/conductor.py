"""Who conducts a campaign: hands out the plan's batches, keeps what comes back, and sees to the errands.

What was found before is replayed first.  Of a failure that no list explains it is found out whether a known
finding causes it (`campaign.cases`), and what is new is shortened, before more batches begin; faces of known
findings are shortened when a round is over.  What is not decided when the time is up has `GRACE_S` seconds
more.  A batch whose worker was killed is tried once more; one that hangs its worker, or takes too much
memory, costs itself.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from vmsmp.campaign.batch import ENDS, Batch, Job, Report
from vmsmp.campaign.cases import Cases, Sighting
from vmsmp.campaign.cause import Cause, Verdict
from vmsmp.campaign.crew import Ended, Fleet
from vmsmp.campaign.errand import (
    SHORTEN_RUNS,
    Inquired,
    Inquiry,
    Recheck,
    Rechecked,
    Shortened,
    Shortening,
)
from vmsmp.campaign.outcome import Failure, replaying
from vmsmp.campaign.plan import Phase, Plan
from vmsmp.campaign.store.read import FIXED, UNSTEADY
from vmsmp.campaign.store.write import FAILS, PASSES, Asked, Store
from vmsmp.campaign.tally import Campaign
from vmsmp.engine.schedule import Schedule
from vmsmp.library import own_place

#: Seconds kept back at the end for the batches under way and the summary.
RESERVE_S: Final = 1.0
#: Seconds of the shortest batch that is worth a beginning.
SHORTEST_S: Final = 0.2
#: Seconds between two calls of `progress`, at most.
PROGRESS_S: Final = 0.5
#: Seconds after the end in which what is not decided yet may be.
GRACE_S: Final = 30.0
#: Runs that the shortening of a known finding's face may take: its line is to be read, and no more.
FACE_RUNS: Final = 60
#: Why a failure is new that may be a known one's.
TOO_LATE: Final = "whether a known finding causes it was not decided in time"


class Conductor:
    """One campaign under way.  `free` are who run the free engine: the same fleet, or one that runs alone.

    `until` is when all must be over, on the monotonic clock.
    """

    def __init__(
        self,
        plan: Plan,
        store: Store,
        campaign: Campaign,
        fleet: Fleet,
        free: Fleet,
        *,
        until: float,
        progress: Callable[[], None],
        on_report: Callable[[Report], None],
    ) -> None:
        self.plan = plan
        self.store = store
        self.campaign = campaign
        self.fleet = fleet
        self.free = free
        self.until = until
        self.progress = progress
        self.on_report = on_report
        self.cases = Cases(campaign.today, plan.hang_s)
        self._errands: deque[Job] = deque()
        #: What can wait until a round is over.
        self._later: deque[Job] = deque()
        self._asked: dict[str, Asked] = {}
        #: Batches whose worker died, and those that have been tried again already.
        self._again: deque[Batch] = deque()
        self._tried: set[Batch] = set()
        #: How many jobs that may meet a failure have begun, and the number of each that is under way.
        self._begun = 0
        self._numbers: dict[Batch | Recheck, int] = {}

    def run(self) -> None:
        """Go through the plan until it ends or the time is up, and decide what is left."""
        try:
            self._look_back()
            for phase in self.plan.phases():
                self._hand_out(phase)
                if phase.last:
                    self._errands += self._later
                    self._later.clear()
                    self._settle()
                if self._is_late():
                    break
            self._settle()
            for sighting, cause in self.cases.give_up():
                self._decide(sighting, cause)
            self._finish()
        finally:
            late = Cause(Verdict.UNDECIDED, evidence=TOO_LATE)
            for sighting, cause in (*self.cases.give_up(), *((one, late) for one in self.cases.undecided)):
                self.campaign.decide(sighting, cause)
            self.campaign.undecided = 0

    def _look_back(self) -> None:
        """Replay what was found before, and shorten what nobody has shortened."""
        for scenario, signature, line, known, proof in self.store.decided():
            # Without a line it may have come with other mutants, or none; and one that comes may decide it.
            if line and self._is_ours(scenario, line):
                self.cases.remember(scenario, signature, known, proof)
        for asked in self.store.corpus():
            if self._is_ours(asked.scenario, asked.line):
                self._asked[asked.ident] = asked
                where = self._place(asked.scenario) or asked.scenario
                self._errands.append(Recheck(asked.ident, asked.line, where, self.plan.hang_s))
        for failure in self.store.unminimized():
            if self._is_ours(failure.program, failure.schedule):
                placed = replace(failure, place=self._place(failure.program))
                self._errands.append(Shortening(placed, self.plan.hang_s))

    def _place(self, scenario: str) -> str:
        """Where the plan's scenario of that name is, if it is a user's own."""
        return next(own_place(one) for one in self.plan.scenarios if one.__name__ == scenario)

    def _is_ours(self, scenario: str, line: str) -> bool:
        """Whether a line of the store is one that this campaign could have found."""
        if all(scenario != one.__name__ for one in self.plan.scenarios):
            return False
        return Schedule.parse(line).options.mutants == frozenset(self.plan.mutants)

    # -- handing out ------------------------------------------------------------------------------

    def _hand_out(self, phase: Phase) -> None:
        """Begin all batches of a phase that have not been run, or as many as there is time for."""
        for batch in phase.batches:
            before = self.store.done(batch)
            if before is not None:
                self.campaign.before += 1
                placed = tuple(replace(failure, place=batch.place) for failure in before.failures)
                report = replace(before, failures=placed)
                self._look_into(report, self._count(report), self._next())
                self._inquire()
            elif not self._start(batch):
                return

    def _settle(self) -> None:
        """Wait until all that has begun is done, with what has to follow it, or it is too late."""
        while not self._is_late() and (self._busy or self._again or self._errands):
            if self._again:
                self._start(self._again.popleft())
            elif self._errands:
                self._start(None)
            else:
                self._collect()

    @property
    def _busy(self) -> int:
        return self.fleet.busy + (self.free.busy if self.free is not self.fleet else 0)

    def _is_late(self) -> bool:
        """Whether nothing more may begin."""
        return self.until - RESERVE_S - time.monotonic() < SHORTEST_S

    def _start(self, batch: Batch | None) -> bool:
        """Begin all errands, then the batch if there is one; whether there was time for it."""
        while self._errands:
            errand = self._errands[0]
            fleet = self.free if isinstance(errand, Inquiry) and errand.free else self.fleet
            if not self._wait_for(fleet):
                return False
            if errand is self._errands[0]:  # nothing more urgent has come meanwhile
                self._errands.popleft()
                if isinstance(errand, Recheck):
                    self._numbers[errand] = self._next()
                fleet.begin(errand)
        if batch is None:
            return True
        fleet = self.free if batch.free else self.fleet
        if not self._wait_for(fleet):
            return False
        left = self.until - RESERVE_S - time.monotonic()
        self._numbers[batch] = self._next()
        fleet.begin(batch if left == float("inf") else replace(batch, seconds=left))
        return True

    def _next(self) -> int:
        """The number of the job that begins now."""
        self._begun += 1
        return self._begun

    def _wait_for(self, fleet: Fleet) -> bool:
        """Wait until a fleet has room and no other one works; False if it gets too late for that."""
        other = self.free if fleet is self.fleet else self.fleet
        while not self._is_late():
            if fleet.room and (other is fleet or not other.busy):
                return True
            self._collect()
        return False

    def _finish(self) -> None:
        """Wait for what is under way, as long as there is time, and a little longer for what is undecided."""
        while self._busy and time.monotonic() < self.until:
            self._collect()
        self.until += GRACE_S
        self._numbers.clear()  # what is under way yet is lost
        self._inquire()
        while self.cases.undecided and not self._is_late():
            self._errands = deque(job for job in self._errands if isinstance(job, Inquiry))
            if self._errands:
                self._start(None)
            else:
                self._collect()
        self.campaign.lost = self._busy

    # -- taking in --------------------------------------------------------------------------------

    def _collect(self) -> None:
        """Take in what is over, or wait for it a moment."""
        fleet = self.fleet if self.fleet.busy else self.free
        for ended in fleet.wait(min(PROGRESS_S, max(0.0, self.until - time.monotonic()))):
            self._take_in(ended)
        self.progress()

    def _take_in(self, ended: Ended) -> None:
        match ended.result:
            case Report() as report:
                self._keep(replace(report, batch=replace(report.batch, seconds=None)))
            case Shortened() as shortened:
                self._shortened(shortened)
            case Rechecked() as rechecked:
                self._rechecked(rechecked)
            case Inquired() as inquired:
                self._answered(inquired)
            case _:
                self._lost(ended)
        self._inquire()

    def _lost(self, ended: Ended) -> None:
        """A job could not be done."""
        job = ended.job
        why = ended.error.splitlines()[-1]
        if isinstance(job, Inquiry):
            self._answered(Inquired(job, Cause(Verdict.UNDECIDED, evidence=f"not decided: {why}")))
            return
        if not isinstance(job, Batch):
            if isinstance(job, Recheck):
                self._numbers.pop(job, None)
            self.campaign.errors.append(f"{job}: {why}")
            return
        batch = replace(job, seconds=None)
        if ended.died and batch not in self._tried:
            self._numbers.pop(batch, None)
            self._tried.add(batch)
            self._again.append(batch)
        else:
            self._keep(Report(batch, error=why))

    def _count(self, report: Report) -> dict[str, str]:
        options = report.batch.options
        explained = self.campaign.add(report, lambda failure: self.cases.why_new(failure, options))
        self.plan.learn(report)
        return explained

    def _keep(self, report: Report) -> None:
        """Count a batch and keep it; what is new in it is to be shortened."""
        number = self._numbers.pop(report.batch, self._begun)
        explained = self._count(report)
        self.store.keep(report, explained)
        self._look_into(report, explained, number)
        self.on_report(report)

    # -- deciding ---------------------------------------------------------------------------------

    def _look_into(self, report: Report, explained: Mapping[str, str], number: int) -> None:
        """See to the failures of a batch that nothing explains; it was the job of that number."""
        for failure in report.failures:
            if not explained[failure.signature]:
                times, batch = report.times(failure), report.batch
                free_runs = math.ceil(report.executions / times) if batch.free else 0
                sighting = Sighting(failure, batch.options, times, free_runs, batch, job=number)
                why = self.cases.why_new(failure, batch.options)
                if why is None:
                    self.cases.open(sighting)
                else:
                    self._keep_decision(sighting, "", why)

    def _answered(self, inquired: Inquired) -> None:
        """An inquiry is over."""
        self.campaign.inquiries += 1
        self.campaign.compared += inquired.cause.runs
        for sighting, cause in self.cases.answer(inquired):
            self._decide(sighting, cause)

    def _inquire(self) -> None:
        """Have the next inquiries made before anything else."""
        self._errands.extendleft(self.cases.inquiries(min(self._numbers.values(), default=math.inf)))
        self.campaign.undecided = len(self.cases.undecided) + self.cases.put_by

    def _decide(self, sighting: Sighting, cause: Cause) -> None:
        """A failure is new, or a known finding causes it."""
        finding = self.campaign.decide(sighting, cause)
        known = finding.name if finding is not None else ""
        if sighting.asked is not None:
            self._judge(sighting.asked, sighting.failure, known, cause.evidence)
        else:
            self._keep_decision(sighting, known, cause.evidence)

    def _keep_decision(self, sighting: Sighting, known: str, why: str) -> None:
        """Keep what a failure is; one that stands for others is shortened."""
        failure = sighting.failure
        first = self.store.decide(failure, known, why, sighting.batch)
        if first and failure.schedule and failure.kind not in ENDS:
            if known:
                self._later.append(Shortening(failure, self.plan.hang_s, FACE_RUNS))
            else:
                self._errands.append(Shortening(failure, self.plan.hang_s, SHORTEN_RUNS))

    def _shortened(self, done: Shortened) -> None:
        if done.short is None:
            self.campaign.errors.append(f"{done.first.program}: {done.first.schedule}: {done.error}")
            return
        self.campaign.shorten(done.short)
        self.store.replace(done.first, done.short)

    def _rechecked(self, done: Rechecked) -> None:
        """A line of the corpus was replayed."""
        number = self._numbers.pop(done.asked, self._begun)
        asked, failure = self._asked[done.asked.ident], done.failure
        if done.error:
            self.store.checked(asked, done.error, "")
            return
        if failure is None:
            self._judge(asked, None, "")
            return
        options = Schedule.parse(asked.line).options
        finding = self.campaign.explain(failure, options.repairs)
        proven = self.campaign.entry(asked.known) if asked.proof else None
        if finding is not None:
            self.campaign.add_known(finding, failure, 1)
            self._judge(asked, failure, finding.name)
        elif proven is not None and failure.signature == asked.signature:
            self.campaign.add_face(proven, failure, 1, asked.proof)
            self._judge(asked, failure, proven.name, asked.proof)
        else:
            self._see(Sighting(failure, options, asked=asked, job=number))

    def _see(self, sighting: Sighting) -> None:
        """A failure that no list explains, of a line: it is new, or that has to be decided."""
        why = self.cases.why_new(sighting.failure, sighting.options)
        if why is None:
            self.cases.open(sighting)
        else:
            self._decide(sighting, Cause(Verdict.REFUTED, evidence=why))

    def _judge(self, asked: Asked, failure: Failure | None, known: str, proof: str = "") -> None:
        """A line of the corpus fails no more, or so, which the finding `known` explains."""
        if failure is None:
            outcome = PASSES
        elif failure.signature == asked.signature:
            outcome = FAILS
        else:
            outcome = failure.signature
            self.store.note(failure, known)
        status = self.store.checked(asked, outcome, known, proof)
        if status == FIXED:
            self.campaign.fixed.append(f"{asked.scenario}: {asked.signature}")
        elif status == UNSTEADY:
            self.campaign.errors.append(
                f"{asked.scenario}: {asked.signature}: its line fails no more on the code that it failed on, "
                "which is a defect of vmsmp itself: "
                + replaying(asked.scenario, asked.line, listed=True, place=self._place(asked.scenario))
            )
