"""Search and replay: what a user calls.

A search keeps nothing of an execution but its log of integers.  When one fails it is run again with
that log as a tape, recording places, values and preemptions, and a third time from the preemptions
alone; only if all three agree, step for step, is it reported as what it is.  If they do not, the
program draws on something outside the schedule, and that is the failure.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from vmsmp.campaign.outcome import Failure, Outcome, Result, signature_of, without_addresses
from vmsmp.campaign.witness import witnessed
from vmsmp.check import checkers
from vmsmp.engine import trace
from vmsmp.engine.controlled import ControlledEngine
from vmsmp.engine.crew import Crew, current_core
from vmsmp.engine.machine import Trouble
from vmsmp.engine.observer import Hooks, Observer
from vmsmp.engine.schedule import MAX_STEPS, Options, Schedule, program_name
from vmsmp.engine.scheduler import Scheduler
from vmsmp.errors import ReplayDiverged, UsageError
from vmsmp.findings import check_repairs
from vmsmp.machine import Machine
from vmsmp.mutants.patch import check_mutants, planted
from vmsmp.report.story import Storyteller
from vmsmp.sched.base import make_scheduler
from vmsmp.sched.replay import OpCounter, Preempting, Recorder, Tape

Program = Callable[[Machine], Any]
Progress = Callable[[Result], None]


class Bench:
    """One crew and one engine, set up to run one program again and again under given options."""

    def __init__(self, crew: Crew, program: Program, options: Options, *, check: bool) -> None:
        self.engine = ControlledEngine(crew, max_steps=options.max_steps)
        self.program = program
        self.options = options
        self.checkers = checkers(check, races=options.races)
        self.hooks = Hooks(self.checkers)
        self.declared = getattr(program, "cpus", None)

    def unchecked(self) -> Bench:
        """The same without checkers: only the program itself and the engine speak."""
        return Bench(self.engine.crew, self.program, self.options, check=False)

    def run(self, scheduler: Scheduler, seed: int, observers: tuple[Observer, ...] = ()) -> Machine:
        """One execution; the log is in `engine.log`.  Runs on the crew's boot thread."""
        hooks = Hooks((*observers, *self.checkers)) if observers else self.hooks
        machine = Machine(self.engine, seed=seed, options=self.options, hooks=hooks)
        machine.declared = self.declared
        self.engine.execute(machine, self.program, scheduler)
        self.engine.crew.check()
        return machine

    def tell(self, scheduler: Scheduler, seed: int) -> tuple[Outcome, Recorder, list[int]]:
        """One execution with its story, its schedule and, if it failed, its failure."""
        recorder = Recorder(scheduler)
        teller = Storyteller()
        machine = self.run(recorder, seed, (OpCounter(), teller))
        log = self.engine.log
        name = program_name(self.program)
        schedule = Schedule(name, seed, tuple(recorder.preemptions), self.options)
        story = teller.finish(machine)
        failure = None
        if machine.trouble is not None:
            failure = _failure(machine.trouble, schedule, trace.digest(log), story)
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

    def confirm(self, log: list[int], draws: list[int], seed: int, trouble: Trouble) -> Failure:
        """Tell the failed execution again and prove that its schedule line brings it back."""
        try:
            told, recorder, again = self.tell(Tape(log, draws), seed)
        except ReplayDiverged as diverged:
            return self._nondeterministic(trouble, seed, str(diverged))
        parted = trace.divergence(log, again)
        before, now = trouble.message, told.failure.message if told.failure is not None else ""
        if parted is None and without_addresses(before) != without_addresses(now):
            parted = "the same steps, but another verdict"
        if parted is not None or told.failure is None:
            return self._nondeterministic(trouble, seed, parted or "it did not fail again")
        proof = self.run(Recorder(Preempting(tuple(recorder.preemptions))), seed, (OpCounter(),))
        parted = trace.divergence(log, self.engine.log)
        proof.close()
        if parted is not None:
            return self._nondeterministic(trouble, seed, parted)
        return told.failure

    def _nondeterministic(self, trouble: Trouble, seed: int, parted: str) -> Failure:
        schedule = Schedule(program_name(self.program), seed, (), self.options)
        facts = (
            f"the first run ended with {trouble.kind}: {trouble.message}",
            f"run again with the same choices it went another way: {parted}",
            "the program draws on something that is not in its schedule: wall time, random, id(), "
            "the order of a set, or state that outlives an execution",
        )
        found = Trouble("nondeterminism", "the same schedule gives different runs", facts, trouble.cpu)
        return _failure(found, schedule, "", None)


def _failure(trouble: Trouble, schedule: Schedule, digest: str, story: Any) -> Failure:
    return Failure(
        kind=trouble.kind,
        message=trouble.message,
        signature=signature_of(trouble),
        schedule=str(schedule),
        digest=digest,
        facts=trouble.facts,
        program=schedule.program,
        cpu=trouble.cpu,
        story=story,
    )


def options_for(
    program: Program,
    *,
    locks: str | None = None,
    timeouts: str | None = None,
    spurious: bool | None = None,
    cpus: int | None = None,
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
    progress: Progress | None = None,
) -> Result:
    """Search the schedules of `program` for one that fails.

    `sched` names the scheduler, `schedules` bounds the executions and `time_s` the seconds;
    `stop="never"` goes on after a failure and keeps the first of each signature.  `races` adds the
    happens-before detector over plain cells.  `locks` is
    "atomic" or "exact", `timeouts="any"` and `spurious=True` let the scheduler end sleeps (None: what
    a scenario says of itself, else "atomic", "idle" and False).  `check=False` leaves the checkers
    out: then only the program's own checks, its exceptions, deadlock and the step limit speak.
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
        max_steps=max_steps,
        repairs=repairs,
        mutants=mutants,
        races=races,
    )
    scheduler = make_scheduler(sched, seed)
    name = program_name(program)
    result = Result(name, sched, Schedule(name, seed, (), options))
    with planted(options.mutants), Crew(current_core()) as crew:
        bench = Bench(crew, program, options, check=check)
        start = time.monotonic()

        def loop() -> None:
            try:
                _search(bench, scheduler, result, seed, schedules, stop, time_s, start, progress)
            finally:
                result.seconds = time.monotonic() - start

        def interrupt() -> None:
            result.interrupted = True
            bench.engine.interrupt()

        try:
            crew.drive(loop, interrupt)
        except KeyboardInterrupt:
            result.interrupted = True
    return result


def _search(
    bench: Bench,
    scheduler: Scheduler,
    result: Result,
    seed: int,
    schedules: int,
    stop: str,
    time_s: float | None,
    start: float,
    progress: Progress | None,
) -> None:
    engine = bench.engine
    next_word = start + 0.5
    while result.executions < schedules and not result.interrupted:
        if not scheduler.begin():
            result.exhausted = True
            return
        data_seed = (seed * 1_000_003 + result.executions) & 0xFFFFFFFF
        machine = bench.run(scheduler, data_seed)
        result.executions += 1
        steps = trace.count_steps(engine.log)
        result.steps += steps
        result.longest = max(result.longest, steps)
        trouble = machine.trouble
        machine.close()
        if trouble is not None and not result.interrupted:
            signature = signature_of(trouble)
            if signature not in result.counts:
                failure = bench.confirm(engine.log[: engine.trouble_at], engine.draws, data_seed, trouble)
                failure = witnessed(bench, failure, trouble, data_seed)
                engine.crew.engine = engine
                if result.interrupted:
                    return
                failure = replace(failure, execution=result.executions)
                signature = failure.signature
                if signature not in result.counts:
                    result.failures.append(failure)
            result.counts[signature] = result.counts.get(signature, 0) + 1
            if stop == "first":
                return
        if time_s is not None or progress is not None:
            now = time.monotonic()
            if progress is not None and now >= next_word:
                next_word = now + 0.5
                result.seconds = now - start
                progress(result)
            if time_s is not None and now - start >= time_s:
                return


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
    with planted(schedule.options.mutants), Crew(current_core()) as crew:
        bench = Bench(crew, program, schedule.options, check=check)
        told: list[Outcome] = []
        crew.drive(lambda: told.append(bench.tell(Preempting(schedule.preemptions), schedule.seed)[0]))
    return told[0]
