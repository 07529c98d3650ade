"""Cases: the failures of a campaign that no list explains, until it is decided what each of them is.

A case is a signature in a scenario.  Its failures are decided one after another, each by an inquiry into its
cause (`campaign.cause`), in the order in which the jobs that met them began: so it makes no difference which
worker is done first.  The first that is no face of a known finding closes the case, and what comes after
it is new without more ado: the campaign fails anyway.  So does one that comes while all repairs are on.

A failure of the free engine has no line, and may be too rare there to be decided.  It closes nothing: it is
put by until a line of its case is shown to be a face of a known finding, and is looked into again then.  What
is still put by in the end is new.
"""

from __future__ import annotations

import math
from bisect import insort
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Final

from vmsmp.campaign.batch import ENDS, Batch
from vmsmp.campaign.cause import WITH_ALL, Cause, Verdict
from vmsmp.campaign.errand import Inquired, Inquiry
from vmsmp.campaign.findings import findings
from vmsmp.campaign.outcome import Failure
from vmsmp.campaign.store.write import Asked
from vmsmp.engine.options import Options

#: Why a failure is new that nobody can look into.
NEVER_TWICE: Final = "no two runs of its line are the same"


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """A failure to be decided, which came so many `times` under these options.

    It is of a batch, or of a line of the store, `asked`.  `free_runs`: of how many runs of the free engine it
    came in one, if it came there.  `job` is the number of the job that met it, in the order of their begin.
    """

    failure: Failure
    options: Options
    times: int = 1
    free_runs: int = 0
    batch: Batch | None = None
    asked: Asked | None = None
    job: int = 0


@dataclass(slots=True)
class _Case:
    """One case: what waits to be decided, earlier jobs' first, and what was decided so far.

    `faces` are the findings that cause some of its failures.  `closed` says why it is closed.  `put_by` are
    the failures without a line that could not be decided, and why not.
    """

    waiting: deque[Sighting] = field(default_factory=deque)
    put_by: list[tuple[Sighting, Cause]] = field(default_factory=list)
    under_way: Sighting | None = None
    faces: list[str] = field(default_factory=list)
    closed: str = ""

    def wait(self, sighting: Sighting) -> None:
        """Have it decided in its turn."""
        insort(self.waiting, sighting, key=lambda one: one.job)

    def put_off(self, sighting: Sighting, cause: Cause) -> None:
        """Put by a failure without a line, and those that wait."""
        self.put_by.append((sighting, cause))
        self.put_by += [(one, cause) for one in self.waiting if not one.failure.schedule]
        self.waiting = deque(one for one in self.waiting if one.failure.schedule)

    def take_up(self) -> None:
        """Have what was put by decided after all."""
        for sighting, _ in self.put_by:
            self.wait(sighting)
        self.put_by.clear()


class Cases:
    """All cases of a campaign.  Entries that expire by `today` excuse nothing."""

    def __init__(self, today: date, hang_s: float | None) -> None:
        self._among = tuple(finding for finding in findings() if not finding.expired(today))
        self._hang_s = hang_s
        self._cases: dict[tuple[str, str], _Case] = {}

    def remember(self, scenario: str, signature: str, known: str, evidence: str) -> None:
        """A failure was decided before: it was a face of the finding `known`, or ("") new."""
        case = self._cases.setdefault((scenario, signature), _Case())
        if not known:
            case.closed = case.closed or evidence
        elif known not in case.faces:
            case.faces.append(known)

    def why_new(self, failure: Failure, options: Options) -> str | None:
        """Why a failure is new that no list explains; None if that has to be decided."""
        if failure.kind in ENDS:
            return NEVER_TWICE
        case = self._case(failure)
        if all(finding.repair in options.repairs for finding in self._among):
            case.closed = WITH_ALL
        return case.closed or None

    def open(self, sighting: Sighting) -> None:
        """A failure has to be decided."""
        case = self._case(sighting.failure)
        if case.put_by and not sighting.failure.schedule:
            case.put_by.append((sighting, case.put_by[0][1]))
        else:
            case.wait(sighting)

    def inquiries(self, before: float = math.inf) -> Iterator[Inquiry]:
        """The inquiries that may begin: of each case one at a time.

        All jobs `before` that one are over, so no failure of an earlier job than theirs will come.
        """
        for case in self._cases.values():
            if case.waiting and case.under_way is None and case.waiting[0].job < before:
                case.under_way = sighting = case.waiting.popleft()
                yield Inquiry(
                    replace(sighting.failure, story=None, history=None),
                    sighting.options,
                    self._among,
                    tuple(case.faces),
                    sighting.free_runs,
                    self._hang_s,
                )

    def answer(self, inquired: Inquired) -> list[tuple[Sighting, Cause]]:
        """What an inquiry has decided: its failure, and if it closes the case what waits there."""
        case, cause = self._case(inquired.asked.failure), inquired.cause
        sighting, case.under_way = case.under_way, None
        if sighting is None:  # nobody waits for it
            return []
        if case.closed:  # meanwhile, by what came with all repairs on
            cause = Cause(Verdict.REFUTED, evidence=case.closed)
        if cause.verdict == Verdict.PROVEN:
            if cause.finding not in case.faces:
                case.faces.append(cause.finding)
                case.take_up()
            return [(sighting, cause)]
        if cause.verdict == Verdict.UNDECIDED and not sighting.failure.schedule:
            case.put_off(sighting, cause)
            return []
        case.closed = cause.evidence
        case.take_up()
        decided = [(one, cause) for one in (sighting, *case.waiting)]
        case.waiting.clear()
        return decided

    def give_up(self) -> list[tuple[Sighting, Cause]]:
        """What was put by and is new, since nothing has decided it."""
        left = [one for case in self._cases.values() for one in case.put_by]
        for case in self._cases.values():
            case.put_by.clear()
        return left

    @property
    def put_by(self) -> int:
        """How many failures were put by."""
        return sum(len(case.put_by) for case in self._cases.values())

    @property
    def undecided(self) -> tuple[Sighting, ...]:
        """What is not decided yet, and will be."""
        return tuple(
            one for case in self._cases.values() for one in (case.under_way, *case.waiting) if one is not None
        )

    def _case(self, failure: Failure) -> _Case:
        return self._cases.setdefault((failure.program, failure.signature), _Case())
