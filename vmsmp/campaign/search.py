"""Search and replay: what a user calls.

A search keeps nothing of an execution but its log of integers.  When one fails it is run again with
that log replayed, recording places, values and preemptions, and a third time from the preemptions
alone; only if all three agree, step for step, is it reported as what it is.  If they do not, the
program draws on something outside the schedule, and that is the failure.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from copy import copy
from dataclasses import replace
from typing import Any, Final

from vmsmp.campaign.confirm import confirmed
from vmsmp.campaign.outcome import Failure, Outcome, Result, signature_of, without_addresses
from vmsmp.check import checkers
from vmsmp.check.happens_before import HappensBefore
from vmsmp.engine import trace
from vmsmp.engine.controlled import ControlledEngine
from vmsmp.engine.hooks import Hooks
from vmsmp.engine.observer import Observer
from vmsmp.engine.schedule import MAX_STEPS, Options, Schedule, program_name
from vmsmp.engine.scheduler import Scheduler
from vmsmp.engine.verdict import FailureKind, Violation
from vmsmp.engine.workers import WorkerPool, current_core
from vmsmp.errors import ReplayDiverged, UsageError
from vmsmp.findings import check_repairs
from vmsmp.library import is_scenario
from vmsmp.machine import Machine
from vmsmp.mutants.patch import check_mutants, planted
from vmsmp.report.story import Storyteller
from vmsmp.sched import normal_form
from vmsmp.sched.base import make_scheduler
from vmsmp.sched.rendezvous import Place, Rendezvous
from vmsmp.sched.replay import LogReplay, OpCounter, Preempting, Recorder, Watched

#: One execution in so many is run twice.
CHECK_EVERY: Final = 64
#: Targeted runs that a hint of the race detector is worth.
RUNS_FOR_A_HINT: Final = 3

Program = Callable[[Machine], Any]
Progress = Callable[[Result], None]


class Runner:
    """One pool and one engine, set up to run one program again and again under given options."""

    def __init__(self, pool: WorkerPool, program: Program, options: Options, *, check: bool) -> None:
        self.engine = ControlledEngine(pool, max_steps=options.max_steps)
        self.program = program
        self.declared = getattr(program, "cpus", None)
        self.listed = is_scenario(program)
        self._set_up(options, check=check)

    def _set_up(self, options: Options, *, check: bool) -> None:
        self.options = options
        self.check = check
        self.checkers = checkers(check, races=options.races, exact=options.locks == "exact")
        self.hooks = Hooks(self.checkers)
        #: The race detector, if there is one.
        self.races = next((c for c in self.checkers if isinstance(c, HappensBefore)), None)

    def with_options(self, options: Options, *, check: bool | None = None) -> Runner:
        """The same program on the same engine with other options."""
        other = copy(self)
        other._set_up(options, check=self.check if check is None else check)
        return other

    def unchecked(self) -> Runner:
        """The same without checkers: only the program itself and the engine speak."""
        return self.with_options(replace(self.options, races=False), check=False)

    def run(self, scheduler: Scheduler, seed: int, observers: tuple[Observer, ...] = ()) -> Machine:
        """One execution; the log is in `engine.execution`.  Runs on the pool's boot thread."""
        hooks = Hooks((*observers, *self.checkers)) if observers else self.hooks
        execution = self.engine.prepare(scheduler)
        machine = Machine(execution, seed=seed, options=self.options, hooks=hooks)
        machine.declared = self.declared
        execution.execute(machine, self.program)
        self.engine.pool.check()
        return machine

    def tell(self, scheduler: Scheduler, seed: int) -> tuple[Outcome, Recorder, list[int]]:
        """One execution with its story, its schedule and, if it failed, its failure."""
        recorder = Recorder(scheduler)
        teller = Storyteller()
        machine = self.run(recorder, seed, (OpCounter(), teller))
        log = self.engine.execution.log
        name = program_name(self.program)
        schedule = Schedule(name, seed, tuple(recorder.preemptions), self.options)
        story = teller.finish(machine)
        failure = None
        if machine.violation is not None:
            culprit = None if machine.violation.kind.of_all else machine.violation.cpu
            failure = self._failure(
                machine.violation,
                schedule,
                digest=trace.digest(log),
                story=story,
                trace=normal_form.digest(log, culprit),
            )
        outcome = Outcome(
            name,
            trace.digest(log),
            trace.count_steps(log),
            failure,
            str(schedule),
            story=story,
            rolling=tuple(trace.rolling(log)),
        )
        machine.close()
        return outcome, recorder, log

    def confirm(self, log: list[int], draws: list[int], seed: int, violation: Violation) -> Failure:
        """Tell the failed execution again and prove that its schedule line brings it back."""
        try:
            told, recorder, again = self.tell(LogReplay(log, draws), seed)
        except ReplayDiverged as diverged:
            return self._nondeterministic(violation, seed, str(diverged))
        parted = trace.divergence(log, again)
        before, now = violation.message, told.failure.message if told.failure is not None else ""
        if parted is None and without_addresses(before) != without_addresses(now):
            parted = "the same steps, but another verdict"
        if parted is not None or told.failure is None:
            return self._nondeterministic(violation, seed, parted or "it did not fail again")
        proof = self.run(Recorder(Preempting(tuple(recorder.preemptions))), seed, (OpCounter(),))
        parted = trace.divergence(log, self.engine.execution.log)
        proof.close()
        if parted is not None:
            return self._nondeterministic(violation, seed, parted)
        return told.failure

    def compare(self, watched: Watched, seed: int) -> Failure | None:
        """Run the clean execution just made once more: a failure if anything differs."""
        execution = self.engine.execution
        log, draws = execution.log, execution.draws
        again = Watched(LogReplay(log, draws), sees_all=watched.sees_all)
        parted: str | None
        try:
            machine = self.run(again, seed)
            machine.close()
        except ReplayDiverged as diverged:
            parted = str(diverged)
        else:
            # In the second half of the step limit picks are fair, and no scheduler is asked for them.
            asked = len(log) <= self.options.fair_from
            parted = trace.divergence(log, self.engine.execution.log)
            parted = parted or _other_candidates(watched, again, asked)
            if parted is None and machine.violation is not None:
                parted = f"the same steps, but now {machine.violation.kind}: {machine.violation.message}"
        self.engine.execution = execution
        if parted is None or self.engine.interrupted:
            return None
        return self._nondeterministic(Violation(FailureKind.CLEAN_RUN, "nothing failed"), seed, parted)

    def _nondeterministic(self, violation: Violation, seed: int, parted: str) -> Failure:
        schedule = Schedule(program_name(self.program), seed, (), self.options)
        facts = (
            f"the first run ended with {violation.kind}: {violation.message}",
            f"run again with the same choices it went another way: {parted}",
            "the program draws on something that is not in its schedule: wall time, random, id(), "
            "the order of a set, or state that outlives an execution",
        )
        found = Violation(
            FailureKind.NONDETERMINISM, "the same schedule gives different runs", facts, violation.cpu
        )
        return self._failure(found, schedule)

    def _failure(
        self,
        violation: Violation,
        schedule: Schedule,
        *,
        digest: str = "",
        story: Any = None,
        trace: str = "",
    ) -> Failure:
        """The violation as a failure of this program, with what is known of its run."""
        return Failure(
            kind=violation.kind,
            message=violation.message,
            signature=signature_of(violation),
            schedule=str(schedule),
            digest=digest,
            facts=violation.facts,
            program=schedule.program,
            cpu=violation.cpu,
            story=story,
            listed=self.listed,
            trace=trace,
        )


def _other_candidates(watched: Watched, again: Watched, asked: bool) -> str | None:
    """Where the CPUs that could run were not the same in two runs of the same steps.

    `asked` says that both were asked about every choice.
    """
    for n, (was, now) in enumerate(zip(watched.candidates, again.candidates, strict=False)):
        if was != now:
            return f"at choice {n} other CPUs could run: {_cpus(was)}, then {_cpus(now)}"
    first, second = len(watched.candidates), len(again.candidates)
    return None if first == second or not asked else f"there were {first} choices, then {second}"


def _cpus(mask: int) -> str:
    return ", ".join(f"cpu{n}" for n in range(mask.bit_length()) if mask >> n & 1) or "none"


def options_for(
    program: Program,
    *,
    locks: str | None = None,
    timeouts: str | None = None,
    spurious: bool | None = None,
    cpus: int | None = None,
    rounds: int | None = None,
    max_steps: int = MAX_STEPS,
    repairs: Iterable[str] = (),
    mutants: Iterable[str] = (),
    races: bool = False,
) -> Options:
    """The options of a run, with what a scenario says of itself where the caller says nothing.

    Raises: UsageError for options that cannot be, or not for this scenario.
    """
    own = getattr(program, "cpus", None)
    if cpus is not None and getattr(program, "fixed", False) and cpus != own:
        raise UsageError(f"scenario {program_name(program)!r} runs on {own} CPUs, not on {cpus}")
    return Options(
        locks=locks or str(getattr(program, "locks", "atomic")),
        timeouts=timeouts or str(getattr(program, "timeouts", "idle")),
        spurious=getattr(program, "spurious", False) if spurious is None else spurious,
        cpus=cpus,
        rounds=rounds,
        max_steps=max_steps,
        repairs=check_repairs(repairs),
        mutants=check_mutants(mutants),
        races=races,
    )


def explore(
    program: Program,
    *,
    sched: str = "portfolio",
    schedules: int = 100,
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

    `sched` names the scheduler, `schedules` bounds the executions and `time_s` the seconds;
    `stop="never"` goes on after a failure and keeps the first of each signature.  `races` adds the
    happens-before detector over plain cells.  `locks` is
    "atomic" or "exact", `timeouts="any"` and `spurious=True` let the scheduler end sleeps (None: what
    a scenario says of itself, else "atomic", "idle" and False).  `check=False` leaves the checkers
    out: then only the program's own checks, its exceptions, deadlock and the step limit speak.
    `cpus` is how many CPUs a scenario is to use, `rounds` how many turns its loops over `m.rounds` may
    take (None: its own numbers).
    `progress` is called with the growing result now and then.

    Raises: UsageError for arguments that cannot be.
    """
    if stop not in ("first", "never"):
        raise UsageError(f"stop must be 'first' or 'never', not {stop!r}")
    if schedules < 1:
        raise UsageError(f"schedules must be at least 1, not {schedules}")
    options = options_for(
        program,
        locks=locks,
        timeouts=timeouts,
        spurious=spurious,
        cpus=cpus,
        rounds=rounds,
        max_steps=max_steps,
        repairs=repairs,
        mutants=mutants,
        races=races,
    )
    scheduler = make_scheduler(sched, seed)
    name = program_name(program)
    result = Result(name, sched, Schedule(name, seed, (), options))
    with planted(options.mutants), WorkerPool(current_core()) as pool:
        runner = Runner(pool, program, options, check=check)
        start = time.monotonic()

        def loop() -> None:
            try:
                _Search(runner, scheduler, result, seed, stop).run(schedules, time_s, start, progress)
            finally:
                result.seconds = time.monotonic() - start

        def interrupt() -> None:
            result.interrupted = True
            runner.engine.interrupt()

        try:
            pool.drive(loop, interrupt)
        except KeyboardInterrupt:
            result.interrupted = True
    return result


class _Search:
    """The loop of `explore`: one execution after another, what they came to in `result`."""

    def __init__(self, runner: Runner, scheduler: Scheduler, result: Result, seed: int, stop: str) -> None:
        self.runner = runner
        self.scheduler = scheduler
        self.result = result
        self.seed = seed
        self.stop = stop
        #: Targeted runs that hints of the race detector ask for, and which have been asked for.
        self.targets: list[Rendezvous] = []
        self.tried: set[tuple[Place, ...]] = set()
        #: Whether an execution came into the half of its step limit where the scheduler is not asked.
        self.cut = False

    def run(self, schedules: int, time_s: float | None, start: float, progress: Progress | None) -> None:
        """Search until there are so many executions, the time is up, or nothing is left."""
        result = self.result
        next_word = start + 0.5
        while result.executions < schedules and not result.interrupted:
            if not self._once():
                return
            if time_s is not None or progress is not None:
                now = time.monotonic()
                if progress is not None and now >= next_word:
                    next_word = now + 0.5
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
            return None
        return self.scheduler

    def _once(self) -> bool:
        """One execution; whether to go on."""
        runner, result = self.runner, self.result
        engine = runner.engine
        scheduler = self._next()
        if scheduler is None:
            return False
        watched = None
        twice = result.executions % CHECK_EVERY == CHECK_EVERY - 1
        if twice or not result.executions:
            scheduler = watched = Watched(scheduler, sees_all=scheduler.sees_all)
        data_seed = (self.seed * 1_000_003 + result.executions) & 0xFFFFFFFF
        machine = runner.run(scheduler, data_seed)
        result.executions += 1
        log, draws = engine.execution.log, engine.execution.draws
        if len(log) > runner.options.fair_from:
            self.cut = True
        steps = trace.count_steps(log)
        result.steps += steps
        result.longest = max(result.longest, steps)
        result.certificate.add(result.executions, log, draws, len(machine.cpus))
        violation = machine.violation
        machine.close()
        if result.interrupted:
            return False
        if violation is not None:
            self._failed(violation, data_seed)
            return self.stop != "first"
        if watched is not None:
            result.certificate.watch(mask.bit_count() for mask in watched.candidates)
            failure = runner.compare(watched, data_seed) if twice else None
            if failure is not None:
                self._keep(failure)
                return self.stop != "first"
        if runner.races is not None and not self.scheduler.systematic:
            self._follow_hints(runner.races.hints)
        return not result.interrupted

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

    def _follow_hints(self, hints: list[tuple[Place, Place]]) -> None:
        """Plan a few runs for each pair of accesses that no lock protects, the first time it is seen."""
        for places in hints:
            if places not in self.tried:
                self.tried.add(places)
                self.targets += [Rendezvous(places, self.seed + n) for n in range(RUNS_FOR_A_HINT)]


def parse_for(program: Program, line: str | Schedule) -> Schedule:
    """Read a schedule line and see that it is one of `program`.

    Raises: UsageError if it is malformed or another program's.
    """
    schedule = line if isinstance(line, Schedule) else Schedule.parse(line)
    name = program_name(program)
    if schedule.program != name:
        raise UsageError(f"this schedule is of program {schedule.program!r}, not of {name!r}")
    check_repairs(schedule.options.repairs)
    check_mutants(schedule.options.mutants)
    return schedule


def replay(program: Program, line: str | Schedule, *, check: bool = True) -> Outcome:
    """Run `program` once more along a schedule line, with its story.

    Raises: UsageError (a ValueError) for a malformed line, one of another program, or one with a
    repair or mutant that there is not.
    """
    schedule = parse_for(program, line)
    with planted(schedule.options.mutants), WorkerPool(current_core()) as pool:
        runner = Runner(pool, program, schedule.options, check=check)
        told: list[Outcome] = []
        pool.drive(lambda: told.append(runner.tell(Preempting(schedule.preemptions), schedule.seed)[0]))
    return told[0]
