"""Search: run schedule after schedule of a program until one fails.

`explore` is what a user calls, with keywords; `search` is the same with the options as one value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

from vmsmp.campaign.certificate import Certificate
from vmsmp.campaign.confirm import confirmed
from vmsmp.campaign.deadline import Deadline
from vmsmp.campaign.hang import hang_failure
from vmsmp.campaign.options import Program, options_for, words_for
from vmsmp.campaign.outcome import Failure, Outcome, Result, signature_of
from vmsmp.campaign.runner import Runner, runner_for
from vmsmp.engine import trace
from vmsmp.engine.hang import HANG_S, Hang
from vmsmp.engine.machine import Machine
from vmsmp.engine.options import MAX_STEPS, Options
from vmsmp.engine.schedule import program_name
from vmsmp.engine.scheduler import Scheduler
from vmsmp.engine.verdict import FailureKind, Violation
from vmsmp.errors import HostHang, ReplayDiverged, UsageError
from vmsmp.sched.names import make_scheduler
from vmsmp.sched.rendezvous import Breakpoint, Rendezvous
from vmsmp.sched.replay import Watched
from vmsmp.sched.witness import Witness

#: Executions of a search where nobody says how many.
SCHEDULES: Final = 1_000
#: One execution in so many is run twice.
CHECK_EVERY: Final = 64
#: Targeted runs that a hint of the race detector is worth.
RUNS_FOR_A_HINT: Final = 3
#: Seconds between two calls of `progress`.
PROGRESS_S: Final = 0.5
#: Seconds that an execution may still take when the time of its search is up.
GRACE_S: Final = 5.0

#: A share that is not the whole.
LESS_THAN_ALL: Final = math.nextafter(1.0, 0.0)
# why a search that has no run left has not seen everything
EARLY: Final = "sleeps may end early"
CUT: Final = "runs reached the half of the step limit in which nothing is chosen"
RANDOM: Final = "m.rng draws the numbers of one seed alone"

Progress = Callable[[Result], None]


def explore(
    program: Program,
    *,
    sched: str = "portfolio",
    schedules: int = SCHEDULES,
    seed: int = 0,
    cpus: int | None = None,
    locks: str | None = None,
    stop: str = "first",
    races: bool = False,
    max_steps: int = MAX_STEPS,
    timeouts: str | None = None,
    spurious: bool | None = None,
    check: bool = True,
    time_s: float | None = None,
    repairs: Iterable[str] = (),
    mutants: Iterable[str] = (),
    rounds: int | None = None,
    pages: int | None = None,
    pressure: bool = False,
    progress: Progress | None = None,
    hang_s: float = HANG_S,
) -> Result:
    """Search the schedules of `program` for one that fails.

    How to search: `sched` names the scheduler, `schedules` bounds the executions and `time_s` the seconds;
    `stop="never"` goes on after a failure and keeps the first of each signature; `check=False` leaves the
    checkers out, so that only the program's own checks, its exceptions, deadlock and the step limit speak;
    `progress` is called with the growing result now and then.  A CPU that uses `hang_s` seconds of processor
    time in one step, or sleeps somewhat longer in the host, is a failure of kind "hang", which ends the
    search (0: it may take as long as it likes).

    What to run: `locks` is "atomic" or "exact"; `timeouts="any"` and `spurious=True` let the scheduler end
    sleeps (None: what a scenario says of itself, else "atomic", "idle" and False); `races` adds the
    happens-before detector over plain cells; `cpus` and `rounds` are how many CPUs a scenario uses and how
    many turns its loops over `m.rounds` take at most (None: its own numbers); `pages` is how many pages are
    free as its CPUs start (None: what it has left), and with `pressure` another CPU allocates pages to the
    last and frees them, again and again; `max_steps` ends an endless run; `repairs` and `mutants` are patches
    to run with, which searches in other threads do not see.

    Raises: UsageError for arguments that cannot be.
    """
    options = options_for(
        program,
        locks=locks,
        timeouts=timeouts,
        spurious=spurious,
        races=races,
        cpus=cpus,
        rounds=rounds,
        pages=pages,
        pressure=pressure,
        max_steps=max_steps,
        repairs=repairs,
        mutants=mutants,
    )
    return search(
        program,
        options,
        sched=sched,
        schedules=schedules,
        seed=seed,
        stop=stop,
        check=check,
        time_s=time_s,
        progress=progress,
        hang_s=hang_s,
    )


def search(
    program: Program,
    options: Options,
    *,
    sched: str = "portfolio",
    schedules: int = SCHEDULES,
    seed: int = 0,
    stop: str = "first",
    check: bool = True,
    time_s: float | None = None,
    progress: Progress | None = None,
    hang_s: float = HANG_S,
) -> Result:
    """Search as `explore` does, under options that are resolved already.

    Raises: UsageError for arguments that cannot be.
    """
    if stop not in ("first", "never"):
        raise UsageError(f"stop must be 'first' or 'never', not {stop!r}")
    if schedules < 1:
        raise UsageError(f"schedules must be at least 1, not {schedules}")
    scheduler = make_scheduler(sched, seed)
    arguments = (*words_for(program, options), *(() if check else ("--no-check",)))
    result = Result(program_name(program), sched, options, seed, arguments=arguments)
    hung: Hang | None = None
    with runner_for(program, options, check=check, hang_s=hang_s) as runner:
        until = Deadline(time_s)
        searching = _Search(runner, scheduler, result, stop, until)

        def loop() -> None:
            try:
                with until.alarm(searching.cut_short, GRACE_S):
                    searching.run(schedules, progress)
            finally:
                searching.sum_up()

        def interrupt() -> None:
            result.interrupted = True
            runner.engine.interrupt()

        try:
            runner.drive(loop, interrupt)
        except KeyboardInterrupt:
            result.interrupted = True
        except HostHang as error:
            hung = error.hang
    if hung is not None:
        result.seconds = until.elapsed
        result.executions += 1
        _keep(result, hang_failure(program, options, hung, check=check))
    return result


def _keep(result: Result, failure: Failure) -> None:
    """Count a failure, and keep it if it is the first of its signature."""
    counts = result.counts
    if failure.signature not in counts:
        result.failures.append(replace(failure, execution=result.executions))
    counts[failure.signature] = counts.get(failure.signature, 0) + 1


def first_run(
    program: Program,
    options: Options,
    *,
    sched: str = "portfolio",
    seed: int = 0,
    check: bool = True,
    hang_s: float = HANG_S,
) -> Outcome:
    """The first run that `search` would make, with its story.

    Raises: UsageError for arguments that cannot be, HostHang if it hangs.
    """
    scheduler = make_scheduler(sched, seed)
    told: list[Outcome] = []
    with runner_for(program, options, check=check, hang_s=hang_s) as runner:
        scheduler.begin()
        runner.drive(lambda: told.append(runner.tell(scheduler, _data_seed(seed, 0))[0]))
    return told[0]


def _data_seed(seed: int, execution: int) -> int:
    """The seed of what the program draws in one execution of a search."""
    return (seed * 1_000_003 + execution) & 0xFFFFFFFF


class _Search:
    """The loop of a search: one execution after another; `result` keeps what they come to."""

    def __init__(
        self, runner: Runner, scheduler: Scheduler, result: Result, stop: str, until: Deadline
    ) -> None:
        self.runner = runner
        self.scheduler = scheduler
        self.result = result
        self.stop = stop
        self.until = until
        scheduler.is_over = self.is_over  # type: ignore[method-assign]  # it has no clock of its own
        #: Sees what steps do beside their operations, so that traces are told apart by it.
        self.witness = Witness()
        #: Whether an execution of the search itself is under way, and not one that looks closer at another.
        self.exploring = False
        #: Targeted runs that hints of the race detector ask for, and the hints that have asked.
        self.targets: list[Rendezvous] = []
        self.tried: set[tuple[Breakpoint, ...]] = set()
        #: Whether an execution came into the half of its step limit where the scheduler is not asked.
        self.cut = False
        #: Whether the program drew from `m.rng`, whose numbers no search enumerates.
        self.random = False
        #: Whether the scheduler has no run left.
        self.used_up = False

    def is_over(self) -> bool:
        """Whether the time is up, or somebody wants no more."""
        return self.result.interrupted or self.until.passed()

    def cut_short(self) -> None:
        """End the execution under way, if it is one of the search itself; called from another thread."""
        execution = self.runner.engine.execution
        if self.exploring:
            execution.interrupt()

    def sum_up(self) -> None:
        """Write down how far the search has come."""
        result = self.result
        result.seconds = self.until.elapsed
        if self.scheduler.systematic and not self.used_up:
            result.certificate.share = min(self.scheduler.share(), LESS_THAN_ALL)
        if self.used_up:
            result.certificate.limits = self._limits()

    def run(self, schedules: int, progress: Progress | None) -> None:
        """Search until there are so many executions, the time is up, or nothing is left."""
        result = self.result
        next_progress = PROGRESS_S
        while result.executions < schedules and not result.interrupted:
            if not self._once():
                return
            if progress is not None and self.until.elapsed >= next_progress:
                result.seconds = self.until.elapsed
                next_progress = result.seconds + PROGRESS_S
                progress(result)
            if self.until.passed():
                return

    def _next(self) -> Scheduler | None:
        """Who decides about the next execution; None if all have been made."""
        if self.targets:
            target = self.targets.pop(0)
            target.begin()
            return target
        if not self.scheduler.begin():
            self.used_up = True
            self.result.exhausted = not self._limits()
            return None
        return self.scheduler

    def _limits(self) -> tuple[str, ...]:
        """Why a search that has no run left has not seen everything."""
        limits = {EARLY: not self.scheduler.complete, CUT: self.cut, RANDOM: self.random}
        return tuple(limit for limit, holds in limits.items() if holds)

    def _once(self) -> bool:
        """One execution; whether to go on."""
        result = self.result
        scheduler = self._next()
        if scheduler is None:
            return False
        watched = None
        twice = result.executions % CHECK_EVERY == CHECK_EVERY - 1
        if twice or not result.executions:
            scheduler = watched = Watched(scheduler, sees_all=scheduler.sees_all)
        # A systematic search goes through the schedules of one program, so what it draws stays the same.
        data_seed = _data_seed(result.seed, 0 if self.scheduler.systematic else result.executions)
        try:
            machine = self._explore(scheduler, data_seed)
        except ReplayDiverged as diverged:
            result.executions += 1
            _keep(self.result, self.runner.diverged(data_seed, str(diverged)))
            return False
        violation = machine.violation
        if violation is not None and violation.kind is FailureKind.INTERRUPTED:
            machine.close()
            return False
        self._count(machine)
        machine.close()
        if result.interrupted:
            return False
        if violation is not None:
            self._failed(violation, data_seed)
            return self.stop != "first"
        return self._passed(watched, data_seed, twice=twice)

    def _explore(self, scheduler: Scheduler, data_seed: int) -> Machine:
        """Run an execution that may be cut short."""
        self.exploring = True
        try:
            if not self.witness.needed or not Certificate.looks_at(self.result.executions + 1):
                return self.runner.run(scheduler, data_seed)
            return self.runner.run(self.witness.around(scheduler), data_seed, (self.witness,))
        finally:
            self.exploring = False

    def _count(self, machine: Machine) -> None:
        """Add an execution to the result's numbers."""
        execution, result = self.runner.engine.execution, self.result
        result.executions += 1
        if len(execution.log) > self.runner.options.fair_from:
            self.cut = True
        self.random = self.random or any("rng" in cpu.rngs for cpu in machine.cpus)
        steps = trace.count_steps(execution.log)
        result.steps += steps
        result.longest = max(result.longest, steps)
        certificate = result.certificate
        certificate.cpus = max(certificate.cpus, len(machine.cpus))
        effects = None
        if certificate.looks_at(result.executions):
            effects = self.witness.finish(machine)
            if self.witness.learned:
                certificate.start_anew()
                return
        certificate.add(result.executions, execution.log, execution.draws, len(machine.cpus), effects)

    def _passed(self, watched: Watched | None, data_seed: int, *, twice: bool) -> bool:
        """Look closer at a clean execution: its choices, and (`twice`) whether it comes again.

        Returns whether to go on.
        """
        runner = self.runner
        if watched is not None:
            self.result.certificate.watch(mask.bit_count() for mask in watched.candidates)
            failure = runner.compare(watched, data_seed) if twice else None
            if failure is not None:
                _keep(self.result, failure)
                return self.stop != "first"
        if runner.races is not None and not self.scheduler.systematic:
            self._follow_hints(runner.races.hints)
        return not self.result.interrupted

    def _failed(self, violation: Violation, data_seed: int) -> None:
        """Confirm a failure that is the first of its signature, and count it."""
        runner, result = self.runner, self.result
        signature = signature_of(violation)
        if signature in result.counts:
            result.counts[signature] += 1
            return
        execution = runner.engine.execution
        log, draws = execution.log[: execution.violation_at], execution.draws
        failure = runner.confirm(log, draws, data_seed, violation)
        failure = confirmed(runner, failure, violation, data_seed, self.is_over)
        if not result.interrupted:
            _keep(result, failure)

    def _follow_hints(self, hints: list[tuple[Breakpoint, Breakpoint]]) -> None:
        """Plan a few runs for each new pair of accesses that no lock protects."""
        for places in hints:
            if places not in self.tried:
                self.tried.add(places)
                self.targets += [Rendezvous(places, self.result.seed + n) for n in range(RUNS_FOR_A_HINT)]
