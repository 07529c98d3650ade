"""The kill table: which guard removals the scenarios show, and within how many schedules.

Each mutant is tried on the scenario that it names, each removal on the scenarios that run its line, under a
budget of schedules a scenario, with the repairs of the known findings on, so that none of these hides it.
All its scenarios are tried for a few schedules before any is tried for all, since most removals show soon
where they show at all.
Trials run in worker processes, since a removal may leave a CPU in a loop that never comes to a scheduling
point: such a worker is stopped, and the removal counts as shown by a hang.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from vmsmp.campaign.batch import Alive
from vmsmp.campaign.cause import known_cause
from vmsmp.campaign.crew import Crew, Ended
from vmsmp.campaign.options import options_for
from vmsmp.campaign.outcome import Failure, Result
from vmsmp.campaign.reach import Place, Reach
from vmsmp.campaign.replay import follow
from vmsmp.campaign.search import search
from vmsmp.engine.schedule import Schedule
from vmsmp.errors import HostError, VmsmpError
from vmsmp.library import find_scenario
from vmsmp.patches.catalogue import find_mutant, fitting_repairs
from vmsmp.patches.patch import Mutant
from vmsmp.patches.removals import Removal

#: Schedules that a mutant is given on each scenario, where nobody says how many.
BUDGET: Final = 2_000
#: Schedules on each scenario before any is tried for the whole budget.
GLANCE: Final = 10
#: Seconds without an execution that comes to its end after which a trial counts as a hang.
HANG_S: Final = 120.0
#: Seconds between two looks at who is done.
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

    `outcome` is "found", "raised" (a run could not go on, and nobody made a failure of that), "hang",
    "survived", "not reached" (no scenario runs the line) or "error" (the trial could not be made).
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
        return self.outcome in ("found", "raised", "hang")

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


def judge(trial: Trial, alive: Alive = lambda: None) -> Verdict:
    """Try a mutant on its scenarios until one shows it.  `alive` is called while executions end."""
    if not trial.places:
        return Verdict(trial.ident, "not reached")
    repairs = fitting_repairs([trial.ident])
    tried = 0
    for place, budget in _turns(trial):
        try:
            executions, failure = _tried_on(place, replace(trial, budget=budget), repairs, alive)
        except _Raised as error:
            return Verdict(trial.ident, "raised", str(place), tried, signature=str(error))
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
                _shortest_line(place, failure),
            )
    return Verdict(trial.ident, "survived", tried=tried)


class _Raised(Exception):
    """A search ended with an error of vmsmp, which without the mutant it does not."""


def _turns(trial: Trial) -> Iterator[tuple[Place, int]]:
    """Each scenario for a few schedules, then each for the whole budget; the same ones come first."""
    if trial.budget > GLANCE and len(trial.places) > 1:
        yield from ((place, GLANCE) for place in trial.places)
    yield from ((place, trial.budget) for place in trial.places)


def _tried_on(
    place: Place, trial: Trial, repairs: frozenset[str], alive: Alive
) -> tuple[int, Failure | None]:
    """How many schedules were run, and the first failure that is no known finding's."""
    scenario = find_scenario(place.scenario)
    options = options_for(scenario, locks=place.locks, repairs=repairs, mutants={trial.ident})

    def tried(stop: str) -> Result:
        try:
            return search(
                scenario, options, schedules=trial.budget, stop=stop, progress=lambda _result: alive()
            )
        except HostError:
            raise
        except VmsmpError as error:
            raise _Raised(f"{type(error).__name__}: {error}") from error

    def is_known(failure: Failure) -> bool:
        return known_cause(scenario, failure, options, alive) is not None

    result = tried("first")
    alive()
    if result.failure is None or not is_known(result.failure):
        return result.executions, result.failure
    result = tried("never")
    return result.executions, next((one for one in result.failures if not is_known(one)), None)


def _shortest_line(place: Place, failure: Failure) -> str:
    """The failure's line without the repairs, if it fails so without them; else its own, which names all."""
    scenario = find_scenario(place.scenario)
    schedule = Schedule.parse(failure.schedule)
    plain = replace(schedule, digest="", options=replace(schedule.options, repairs=frozenset()))
    try:
        outcome = follow(scenario, plain)
    except VmsmpError:
        return failure.schedule
    if outcome.failure is None or outcome.failure.signature != failure.signature:
        return failure.schedule
    return str(replace(plain, digest=outcome.digest))


# -- many, in worker processes --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Judgement:
    """A trial as a job."""

    trial: Trial

    def do(self, alive: Alive) -> Verdict:
        """Judge it."""
        return judge(self.trial, alive)


def kill_table(trials: Sequence[Trial], workers: int, hang_s: float = HANG_S) -> Iterator[Verdict]:
    """Judge the trials in that many processes; yield verdicts as they come."""
    left = [Judgement(trial) for trial in trials][::-1]
    crew = Crew(workers, patience_s=hang_s)
    try:
        while left or crew.busy:
            while left and crew.room:
                crew.begin(left.pop())
            for ended in crew.wait(POLL_S):
                yield _verdict(ended)
    finally:
        crew.stop()


def _verdict(ended: Ended) -> Verdict:
    """What a job came to, or how it could not be done."""
    if isinstance(ended.result, Verdict):
        return ended.result
    assert isinstance(ended.job, Judgement)
    ident = ended.job.trial.ident
    return (
        Verdict(ident, "hang")
        if ended.hung
        else Verdict(ident, "error", signature=ended.error.splitlines()[-1])
    )
