"""Batches of a campaign: one scenario in one way, with one seed, for so many schedules.

A batch of the controlled engine comes to the same wherever and whenever it is run: what has been run once
need not be run again.  It is done in a worker process, as a job.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from vmsmp.campaign.certificate import Certificate
from vmsmp.campaign.findings import explain
from vmsmp.campaign.free_run import free_rounds
from vmsmp.campaign.outcome import Failure
from vmsmp.campaign.search import search
from vmsmp.campaign.way import Way
from vmsmp.engine.free import HANG_S as FREE_HANG_S
from vmsmp.engine.hang import HANG_S
from vmsmp.engine.options import Options
from vmsmp.engine.verdict import FailureKind
from vmsmp.errors import VmsmpError
from vmsmp.library import Scenario, scenario_at
from vmsmp.patches.catalogue import REPAIR_BY_NAME

#: Failures after which a free batch ends.
FREE_FAILURES: Final = 3
#: Seconds after which one ends, too.
FREE_S: Final = 5.0
#: Rows of the longest story that comes back with a failure; a longer one is told again once it is minimized.
LONGEST_STORY: Final = 2_000
#: Kinds of failures that end a batch: no two runs of their lines are the same.
ENDS: Final = (FailureKind.NONDETERMINISM, FailureKind.HANG)

#: What a job calls now and then, so that nobody takes it to hang.
Alive = Callable[[], None]


class Job(Protocol):
    """What a worker process does for a campaign."""

    def do(self, alive: Alive) -> Any:
        """Do it, and return what it came to; `alive` is called every second or so."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One piece of work: a scenario, a way, a seed, schedules (rounds of the free engine), options.

    `turn` is the round of the campaign that it belongs to.  `seconds` is what time is left for it: a batch
    that is cut short is not complete (None: it takes what it needs).  `hang_s` is when a run hangs; None: as
    is usual for its engine.  `place` is by what a worker finds the scenario, if not by its name.
    """

    scenario: str
    way: Way
    seed: int
    schedules: int
    options: Options
    turn: int = 0
    seconds: float | None = None
    hang_s: float | None = None
    place: str = ""

    @property
    def free(self) -> bool:
        """Whether it runs in the free engine, where no batch comes out twice alike."""
        return self.way.engine == "free"

    @property
    def words(self) -> str:
        """Its options beside what its way says, as on a schedule line."""
        repairs = self.options.repairs - frozenset(REPAIR_BY_NAME if self.way.repaired else ())
        return "+".join(replace(self.options, repairs=repairs).words())

    def __str__(self) -> str:
        return f"{self.scenario} ({self.way}, seed {self.seed})"

    def do(self, alive: Alive) -> Report:
        """Run it."""
        scenario = scenario_at(self.place or self.scenario)
        start = time.monotonic()
        try:
            report = (self._freely if self.free else self._controlled)(scenario, alive)
        except VmsmpError as error:
            report = Report(self, error=f"{type(error).__name__}: {error}")
        return replace(report, seconds=time.monotonic() - start)

    def _controlled(self, scenario: Scenario, alive: Alive) -> Report:
        result = search(
            scenario,
            self.options,
            sched=self.way.sched,
            schedules=self.schedules,
            seed=self.seed,
            stop="never",
            time_s=self.seconds,
            progress=lambda _result: alive(),
            hang_s=HANG_S if self.hang_s is None else self.hang_s,
        )
        return Report(
            self,
            result.executions,
            result.steps,
            failures=tuple(_to_send(failure, self.options) for failure in result.failures),
            counts=result.counts,
            certificate=result.certificate,
            complete=not self._is_cut(result.seconds)
            and (result.executions >= self.schedules or any(one.kind in ENDS for one in result.failures)),
        )

    def _freely(self, scenario: Scenario, alive: Alive) -> Report:
        seconds = FREE_S if self.seconds is None else min(self.seconds, FREE_S)
        rounds = free_rounds(
            scenario,
            time_s=seconds,
            most=self.schedules,
            options=self.options,
            seed=self.seed,
            stop_at=FREE_FAILURES,
            progress=lambda _rounds: alive(),
            hang_s=FREE_HANG_S if self.hang_s is None else self.hang_s,
        )
        return Report(
            self,
            rounds.rounds,
            rounds.operations,
            failures=tuple(rounds.failures),
            counts=rounds.counts,
            complete=not self._is_cut(rounds.seconds),
        )

    def _is_cut(self, seconds: float) -> bool:
        """Whether its time was up after so many seconds: what is looked at last may have been cut short."""
        return self.seconds is not None and seconds >= self.seconds


def _to_send(failure: Failure, options: Options) -> Failure:
    """A failure without a story that nobody will read."""
    story = failure.story
    if story is None or (len(story.rows) <= LONGEST_STORY and explain(failure, options.repairs) is None):
        return failure
    return replace(failure, story=None)


@dataclass(frozen=True, slots=True)
class Report:
    """What a batch came to.

    `failures` are the first of each signature, `counts` how often each came.  `error` says why it could not
    be run; it is not `complete` then, nor if it was cut short.  `proofs` has by signature the known finding
    that was shown to cause a failure no list explains, and how, when the batch was run before.
    """

    batch: Batch
    executions: int = 0
    operations: int = 0
    seconds: float = 0.0
    failures: tuple[Failure, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    certificate: Certificate = field(default_factory=Certificate)
    complete: bool = False
    error: str = ""
    proofs: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def times(self, failure: Failure) -> int:
        """How often the signature of one of its failures came."""
        return self.counts.get(failure.signature, 1)
