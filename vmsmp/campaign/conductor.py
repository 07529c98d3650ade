"""Who conducts a campaign: hands out the plan's batches, keeps what comes back, and sees to the errands.

What was found before is replayed first.  A new failure is shortened before any more batches begin.  A batch
whose worker was killed is tried once more; one that hangs its worker, or takes too much memory, costs itself.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from vmsmp.campaign.batch import ENDS, Batch, Job, Report
from vmsmp.campaign.crew import Ended, Fleet
from vmsmp.campaign.errand import Recheck, Rechecked, Shortened, Shortening
from vmsmp.campaign.outcome import replaying
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
        self._errands: deque[Job] = deque()
        self._asked: dict[str, Asked] = {}
        #: Batches whose worker died, and those that have been tried again already.
        self._again: deque[Batch] = deque()
        self._tried: set[Batch] = set()

    def run(self) -> None:
        """Go through the plan until it ends or the time is up."""
        self._look_back()
        for phase in self.plan.phases():
            self._hand_out(phase)
            if phase.last:
                self._settle()
            if self._is_late():
                break
        self._settle()
        self._finish()

    def _look_back(self) -> None:
        """Replay what was found before, and shorten what nobody has shortened."""
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
                self._count(replace(before, failures=placed))
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
            if not self._wait_for(self.fleet):
                return False
            self.fleet.begin(self._errands.popleft())
        if batch is None:
            return True
        fleet = self.free if batch.free else self.fleet
        if not self._wait_for(fleet):
            return False
        left = self.until - RESERVE_S - time.monotonic()
        fleet.begin(batch if left == float("inf") else replace(batch, seconds=left))
        return True

    def _wait_for(self, fleet: Fleet) -> bool:
        """Wait until a fleet has room and no other one works; False if it gets too late for that."""
        other = self.free if fleet is self.fleet else self.fleet
        while not self._is_late():
            if fleet.room and (other is fleet or not other.busy):
                return True
            self._collect()
        return False

    def _finish(self) -> None:
        """Wait for what is under way, as long as there is time."""
        while self._busy and time.monotonic() < self.until:
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
            case _:
                self._lost(ended)

    def _lost(self, ended: Ended) -> None:
        """A job could not be done."""
        job = ended.job
        why = ended.error.splitlines()[-1]
        if not isinstance(job, Batch):
            self.campaign.errors.append(f"{job}: {why}")
            return
        batch = replace(job, seconds=None)
        if ended.died and batch not in self._tried:
            self._tried.add(batch)
            self._again.append(batch)
        else:
            self._keep(Report(batch, error=why))

    def _count(self, report: Report) -> dict[str, str]:
        explained = self.campaign.add(report)
        self.plan.learn(report)
        return explained

    def _keep(self, report: Report) -> None:
        """Count a batch and keep it; what is new in it is to be shortened."""
        explained = self._count(report)
        for failure in self.store.keep(report, explained):
            if failure.schedule and failure.kind not in ENDS:
                self._errands.append(Shortening(failure, self.plan.hang_s))
        self.on_report(report)

    def _shortened(self, done: Shortened) -> None:
        if done.short is None:
            self.campaign.errors.append(f"{done.first.program}: {done.first.schedule}: {done.error}")
            return
        self.campaign.shorten(done.short)
        self.store.replace(done.first, done.short)

    def _rechecked(self, done: Rechecked) -> None:
        """A line of the corpus was replayed."""
        asked, failure = self._asked[done.asked.ident], done.failure
        if done.error:
            self.store.checked(asked, done.error, "")
            return
        finding = None
        if failure is not None:
            finding = self.campaign.explain(failure, Schedule.parse(asked.line).options.repairs)
            if finding is not None:
                self.campaign.add_known(finding, failure, 1)
            else:
                self.campaign.add_new(failure, 1)
        if failure is None:
            outcome = PASSES
        elif failure.signature == asked.signature:
            outcome = FAILS
        else:
            outcome = failure.signature
            self.store.note(failure, finding.name if finding is not None else "")
        status = self.store.checked(asked, outcome, finding.name if finding is not None else "")
        if status == FIXED:
            self.campaign.fixed.append(f"{asked.scenario}: {asked.signature}")
        elif status == UNSTEADY:
            self.campaign.errors.append(
                f"{asked.scenario}: {asked.signature}: its line fails no more on the code that it failed on, "
                "which is a defect of vmsmp itself: "
                + replaying(asked.scenario, asked.line, listed=True, place=self._place(asked.scenario))
            )
