"""Search: run schedule after schedule of a program until one fails.

`explore` is what a user calls, with keywords; `search` is the same with the options as one value.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

from vmsmp.campaign.confirm import confirmed
from vmsmp.campaign.options import Program, options_for
from vmsmp.campaign.outcome import Failure, Outcome, Result, signature_of
from vmsmp.campaign.runner import Runner, runner_for
from vmsmp.engine import trace
from vmsmp.engine.machine import Machine
from vmsmp.engine.options import MAX_STEPS, Options
from vmsmp.engine.schedule import program_name
from vmsmp.engine.scheduler import Scheduler
from vmsmp.engine.verdict import Violation
from vmsmp.errors import UsageError
from vmsmp.sched.names import make_scheduler
from vmsmp.sched.rendezvous import Breakpoint, Rendezvous
from vmsmp.sched.replay import Watched

#: Executions of a search where nobody says how many.
SCHEDULES: Final = 1_000
#: One execution in so many is run twice.
CHECK_EVERY: Final = 64
#: Targeted runs that a hint of the race detector is worth.
RUNS_FOR_A_HINT: Final = 3
#: Seconds between two calls of `progress`.
PROGRESS_S: Final = 0.5

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
    progress: Progress | None = None,
) -> Result:
    """Search the schedules of `program` for one that fails.

    How to search: `sched` names the scheduler, `schedules` bounds the executions and `time_s` the seconds;
    `stop="never"` goes on after a failure and keeps the first of each signature; `check=False` leaves the
    checkers out, so that only the program's own checks, its exceptions, deadlock and the step limit speak;
    `progress` is called with the growing result now and then.

    What to run: `locks` is "atomic" or "exact"; `timeouts="any"` and `spurious=True` let the scheduler end
    sleeps (None: what a scenario says of itself, else "atomic", "idle" and False); `races` adds the
    happens-before detector over plain cells; `cpus` and `rounds` are how many CPUs a scenario uses and how
    many turns its loops over `m.rounds` take at most (None: its own numbers); `max_steps` ends an endless
    run; `repairs` and `mutants` are patches to run with.

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
) -> Result:
    """Search as `explore` does, under options that are resolved already.

    Raises: UsageError for arguments that cannot be.
    """
    if stop not in ("first", "never"):
        raise UsageError(f"stop must be 'first' or 'never', not {stop!r}")
    if schedules < 1:
        raise UsageError(f"schedules must be at least 1, not {schedules}")
    scheduler = make_scheduler(sched, seed)
    result = Result(program_name(program), sched, options, seed)
    with runner_for(program, options, check=check) as runner:
        start = time.monotonic()

        def loop() -> None:
            searching = _Search(runner, scheduler, result, stop)
            try:
                searching.run(schedules, time_s, start, progress)
            finally:
                result.certificate.share = searching.share()
                result.seconds = time.monotonic() - start

        def interrupt() -> None:
            result.interrupted = True
            runner.engine.interrupt()

        try:
            runner.drive(loop, interrupt)
        except KeyboardInterrupt:
            result.interrupted = True
    return result


def first_run(
    program: Program, options: Options, *, sched: str = "portfolio", seed: int = 0, check: bool = True
) -> Outcome:
    """The first run that `search` would make, with its story.

    Raises: UsageError for arguments that cannot be.
    """
    scheduler = make_scheduler(sched, seed)
    told: list[Outcome] = []
    with runner_for(program, options, check=check) as runner:
        scheduler.begin()
        runner.drive(lambda: told.append(runner.tell(scheduler, _data_seed(seed, 0))[0]))
    return told[0]


def _data_seed(seed: int, execution: int) -> int:
    """The seed of what the program draws in one execution of a search."""
    return (seed * 1_000_003 + execution) & 0xFFFFFFFF


class _Search:
    """The loop of a search: one execution after another; `result` keeps what they come to."""

    def __init__(self, runner: Runner, scheduler: Scheduler, result: Result, stop: str) -> None:
        self.runner = runner
        self.scheduler = scheduler
        self.result = result
        self.stop = stop
        #: Targeted runs that hints of the race detector ask for, and the hints that have asked.
        self.targets: list[Rendezvous] = []
        self.tried: set[tuple[Breakpoint, ...]] = set()
        #: Whether an execution came into the half of its step limit where the scheduler is not asked.
        self.cut = False
        #: Whether the scheduler has no run left.
        self.used_up = False

    def share(self) -> float | None:
        """The share of its tree that an unfinished systematic search has explored; None for any other."""
        if not self.scheduler.systematic or self.result.exhausted:
            return None
        return 1.0 if self.used_up else self.scheduler.share()

    def run(self, schedules: int, time_s: float | None, start: float, progress: Progress | None) -> None:
        """Search until there are so many executions, the time is up, or nothing is left."""
        result = self.result
        next_progress = start + PROGRESS_S
        while result.executions < schedules and not result.interrupted:
            if not self._once():
                return
            if time_s is None and progress is None:
                continue
            now = time.monotonic()
            if progress is not None and now >= next_progress:
                next_progress = now + PROGRESS_S
                result.seconds = now - start
                progress(result)
            if time_s is not None and now - start >= time_s:
                return

    def _next(self) -> Scheduler | None:
        """Who decides about the next execution; None if all have been made."""
        if self.targets:
            target = self.targets.pop(0)
            target.begin()
            return target
        if not self.scheduler.begin():
            self.result.exhausted = self.scheduler.complete and not self.cut
            self.used_up = True
            return None
        return self.scheduler

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
        data_seed = _data_seed(result.seed, result.executions)
        machine = self.runner.run(scheduler, data_seed)
        self._count(machine)
        violation = machine.violation
        machine.close()
        if result.interrupted:
            return False
        if violation is not None:
            self._failed(violation, data_seed)
            return self.stop != "first"
        return self._passed(watched, data_seed, twice=twice)

    def _count(self, machine: Machine) -> None:
        """Add an execution to the result's numbers."""
        execution, result = self.runner.engine.execution, self.result
        result.executions += 1
        if len(execution.log) > self.runner.options.fair_from:
            self.cut = True
        steps = trace.count_steps(execution.log)
        result.steps += steps
        result.longest = max(result.longest, steps)
        result.certificate.add(result.executions, execution.log, execution.draws, len(machine.cpus))

    def _passed(self, watched: Watched | None, data_seed: int, *, twice: bool) -> bool:
        """Look closer at a clean execution: its choices, and (`twice`) whether it comes again.

        Returns whether to go on.
        """
        runner = self.runner
        if watched is not None:
            self.result.certificate.watch(mask.bit_count() for mask in watched.candidates)
            failure = runner.compare(watched, data_seed) if twice else None
            if failure is not None:
                self._keep(failure)
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
        failure = confirmed(runner, failure, violation, data_seed)
        if not result.interrupted:
            self._keep(failure)

    def _keep(self, failure: Failure) -> None:
        counts = self.result.counts
        if failure.signature not in counts:
            self.result.failures.append(replace(failure, execution=self.result.executions))
        counts[failure.signature] = counts.get(failure.signature, 0) + 1

    def _follow_hints(self, hints: list[tuple[Breakpoint, Breakpoint]]) -> None:
        """Plan a few runs for each new pair of accesses that no lock protects."""
        for places in hints:
            if places not in self.tried:
                self.tried.add(places)
                self.targets += [Rendezvous(places, self.result.seed + n) for n in range(RUNS_FOR_A_HINT)]
