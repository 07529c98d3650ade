"""The kill table: which guard removals the scenarios show, and within how many schedules.

Each mutant is tried on the scenario that it names, each removal on the scenarios that run its line, under a
budget of schedules a scenario, with the repairs of the known findings on, so that none of these hides it.
Trials run in worker processes, since a removal may leave a CPU in a loop that never comes to a scheduling
point: such a worker is stopped, and the removal counts as shown by a hang.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Final

from vmsmp.campaign.findings import explain
from vmsmp.campaign.options import options_for
from vmsmp.campaign.outcome import Failure
from vmsmp.campaign.reach import Place, Reach
from vmsmp.campaign.search import search
from vmsmp.errors import VmsmpError
from vmsmp.library import find_scenario
from vmsmp.patches.catalogue import REPAIR_BY_NAME, find_mutant
from vmsmp.patches.patch import Mutant
from vmsmp.patches.removals import Removal

#: Schedules that a mutant is given on each scenario, where nobody says how many.
BUDGET: Final = 2_000
#: Seconds after which a trial that does not come to an end counts as a hang.
HANG_S: Final = 120.0
POLL_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Trial:
    """A mutant or removal, and the scenarios to try it on, in order."""

    ident: str
    places: tuple[Place, ...]
    budget: int = BUDGET


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a trial came to.

    `outcome` is "found", "survived", "not reached" (no scenario runs the line), "hang" or "error".
    """

    ident: str
    outcome: str
    #: The scenario that shows it, and its depth.
    place: str = ""
    #: Schedules tried in all, and those on that scenario.
    tried: int = 0
    schedules: int = 0
    signature: str = ""
    schedule: str = ""

    @property
    def killed(self) -> bool:
        """Whether the mutant was noticed."""
        return self.outcome in ("found", "hang")

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def trial_of(ident: str, reach: Reach, budget: int) -> Trial:
    """Return the trial of one mutant or removal.

    Raises: UsageError for an id that is neither's.
    """
    mutant = find_mutant(ident)
    if isinstance(mutant, Removal):
        return Trial(ident, reach.get((mutant.function, mutant.line), ()), budget)
    return Trial(ident, tuple(_places_of(mutant)), budget)


def _places_of(mutant: Mutant) -> Iterator[Place]:
    """The scenario that a written mutant names, at its own depth first."""
    scenario = find_scenario(mutant.scenario)
    yield Place(scenario.__name__, scenario.locks)
    yield Place(scenario.__name__, "exact" if scenario.locks == "atomic" else "atomic")


# -- one trial ------------------------------------------------------------------------------------


def judge(trial: Trial) -> Verdict:
    """Try a mutant on its scenarios until one shows it."""
    if not trial.places:
        return Verdict(trial.ident, "not reached")
    repairs = _repairs_beside(trial.ident)
    tried = 0
    for place in trial.places:
        try:
            executions, failure = _tried_on(place, trial, repairs)
        except VmsmpError as error:
            return Verdict(trial.ident, "error", str(place), tried, signature=str(error))
        tried += executions
        if failure is not None:
            return Verdict(
                trial.ident,
                "found",
                str(place),
                tried,
                failure.execution or executions,
                failure.signature,
                failure.schedule,
            )
    return Verdict(trial.ident, "survived", tried=tried)


def _repairs_beside(ident: str) -> frozenset[str]:
    """The repairs that change no function that the mutant changes, too."""
    changed = {edit.function for edit in find_mutant(ident).edits()}
    return frozenset(
        name
        for name, repair in REPAIR_BY_NAME.items()
        if changed.isdisjoint(edit.function for edit in repair.edits())
    )


def _tried_on(place: Place, trial: Trial, repairs: frozenset[str]) -> tuple[int, Failure | None]:
    """How many schedules were run, and the first failure that no known finding explains."""
    scenario = find_scenario(place.scenario)
    options = options_for(scenario, locks=place.locks, repairs=repairs, mutants={trial.ident})
    result = search(scenario, options, schedules=trial.budget)
    if result.failure is not None and explain(result.failure, repairs):
        result = search(scenario, options, schedules=trial.budget, stop="never")
    fresh = (f for f in result.failures if explain(f, repairs) is None)
    return result.executions, next(fresh, None)


# -- many, in worker processes --------------------------------------------------------------------


def kill_table(trials: Sequence[Trial], workers: int, hang_s: float = HANG_S) -> Iterator[Verdict]:
    """Judge the trials in that many processes; yield verdicts as they come."""
    left = iter(trials)
    crew: dict[Connection, _Worker] = {}
    try:
        for core in range(min(workers, len(trials))):
            worker = _Worker(core)
            crew[worker.pipe] = worker
            worker.begin(next(left, None))
        while any(worker.trial is not None for worker in crew.values()):
            ready = wait([pipe for pipe, worker in crew.items() if worker.trial is not None], POLL_S)
            for pipe in list(crew):
                worker = crew[pipe]
                if pipe in ready:
                    yield worker.verdict()
                elif worker.trial is not None and worker.late(hang_s):
                    yield Verdict(worker.trial.ident, "hang")
                    worker.stop()
                    del crew[pipe]
                    worker = _Worker(worker.core)
                    crew[worker.pipe] = worker
                else:
                    continue
                worker.begin(next(left, None))
    finally:
        for worker in crew.values():
            worker.stop()


class _Worker:
    """A process that judges one trial after another."""

    def __init__(self, core: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.core = core
        self.pipe, theirs = context.Pipe()
        self.trial: Trial | None = None
        self._since = 0.0
        self._process = context.Process(target=_serve, args=(theirs, core), daemon=True)
        self._process.start()
        theirs.close()

    def begin(self, trial: Trial | None) -> None:
        """Give it a trial; None if there is none left."""
        self.trial = trial
        self._since = time.monotonic()
        if trial is not None:
            self.pipe.send(trial)

    def verdict(self) -> Verdict:
        """What it says of its trial; an error if it has died of it."""
        assert self.trial is not None
        try:
            verdict: Verdict = self.pipe.recv()
        except EOFError:
            return Verdict(self.trial.ident, "error", signature="the worker process ended")
        return verdict

    def late(self, hang_s: float) -> bool:
        """Whether its trial has taken that long."""
        return time.monotonic() - self._since > hang_s

    def stop(self) -> None:
        """End the process."""
        self.pipe.close()
        self._process.kill()
        self._process.join()


def _serve(pipe: Connection, core: int) -> None:
    """What a worker process does."""
    os.environ["VMSMP_CORE"] = str(core)
    with closing(pipe):
        while True:
            try:
                trial = pipe.recv()
                pipe.send(judge(trial))
            except (EOFError, OSError, KeyboardInterrupt):
                return
