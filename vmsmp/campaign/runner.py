"""One program, one engine: run, tell, confirm and compare executions.

A search keeps nothing of an execution but its log of integers.  When one fails it is run again with that log
replayed, recording places, values and preemptions, and a third time from the preemptions alone.  Only if all
three agree, step for step, is the failure reported as what it is.  If they do not, the program draws on
something outside the schedule, and that is the failure.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import replace

from vmsmp.campaign.options import Program
from vmsmp.campaign.outcome import Failure, History, Outcome, signature_of, without_addresses
from vmsmp.campaign.story import Story, Storyteller
from vmsmp.check import checkers
from vmsmp.check.happens_before import HappensBefore
from vmsmp.engine import trace
from vmsmp.engine.controlled import ControlledEngine
from vmsmp.engine.cpu import Cpu
from vmsmp.engine.hang import HANG_S
from vmsmp.engine.hooks import Hooks
from vmsmp.engine.observer import Observer
from vmsmp.engine.options import Options
from vmsmp.engine.schedule import Schedule, program_name
from vmsmp.engine.scheduler import Scheduler
from vmsmp.engine.trouble import foreign_thread
from vmsmp.engine.verdict import FailureKind, Violation
from vmsmp.engine.workers import WorkerPool, current_core
from vmsmp.errors import ReplayDiverged
from vmsmp.library import is_scenario, own_place
from vmsmp.machine import Machine
from vmsmp.patches.catalogue import planted
from vmsmp.sched import normal_form
from vmsmp.sched.replay import LogReplay, OpCounter, Preempting, Recorder, Watched


@contextmanager
def runner_for(
    program: Program, options: Options, *, check: bool, hang_s: float = HANG_S
) -> Iterator[Runner]:
    """A runner on a pool of its own, with the patches that `options` names in place.

    A step that takes `hang_s` seconds of processor time hangs.
    """
    with planted(options), WorkerPool(current_core(), hang_s=hang_s) as pool:
        yield Runner(pool, program, options, check=check)


class OwnThread(Observer):
    """Ends a run in which a thread of the program's own performs an operation."""

    free = False

    def op(self, cpu: Cpu, code: int) -> None:
        if threading.get_ident() != cpu.thread.ident:
            raise foreign_thread()


class Runner:
    """One pool and one engine, set up to run one program again and again under given options."""

    def __init__(self, pool: WorkerPool, program: Program, options: Options, *, check: bool) -> None:
        self.engine = ControlledEngine(pool, max_steps=options.max_steps)
        self.program = program
        self.declared = getattr(program, "cpus", None)
        self.listed = is_scenario(program)
        self.place = own_place(program)
        self._set_up(options, check=check)

    def _set_up(self, options: Options, *, check: bool) -> None:
        self.options = options
        self.check = check
        self.checkers = checkers(check, races=options.races, exact=options.locks == "exact")
        self.hooks = Hooks(self.checkers)
        #: The race detector, if there is one.
        self.races = next((c for c in self.checkers if isinstance(c, HappensBefore)), None)

    def drive(self, job: Callable[[], None], interrupt: Callable[[], None] | None = None) -> None:
        """Do `job`, which may call `run` and its like, on the pool's boot thread."""
        self.engine.pool.drive(job, interrupt)

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
        if self.engine.machine is None:  # a program that is not what it should be is so in its first run
            observers = (*observers, OwnThread())
        hooks = Hooks((*observers, *self.checkers)) if observers else self.hooks
        execution = self.engine.prepare(scheduler)
        machine = Machine(execution, seed=seed, options=self.options, hooks=hooks)
        machine.declared = self.declared
        execution.execute(machine, self.program)
        self.engine.pool.check()
        return machine

    def tell(
        self, scheduler: Scheduler, seed: int, more: tuple[Observer, ...] = ()
    ) -> tuple[Outcome, Recorder, list[int]]:
        """One execution with its story, its schedule and, if it failed, its failure; `more` watch it."""
        recorder = Recorder(scheduler)
        teller = Storyteller()
        machine = self.run(recorder, seed, (OpCounter(), teller, *more))
        log = self.engine.execution.log
        name = program_name(self.program)
        schedule = Schedule(name, seed, tuple(recorder.preemptions), self.options)
        story = teller.finish(machine)
        failure = None
        if machine.violation is not None:
            done = trace.count_steps(log[: self.engine.execution.violation_at])
            culprit = None if machine.violation.kind.of_all else machine.violation.cpu
            failure = self.failure(
                machine.violation,
                schedule,
                digest=trace.digest(log),
                story=story,
                trace=normal_form.digest(log, culprit),
                step=story.rows[done - 1].doing if 0 < done <= len(story.rows) else "",
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
        if (
            violation.by_host
            and told.failure is not None
            and told.failure.signature == signature_of(violation)
        ):
            return replace(told.failure, digest="", trace="")  # the next run may be a step longer
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
        return self.diverged(seed, parted)

    def diverged(self, seed: int, parted: str) -> Failure:
        """The failure of a program that went another way where it should have repeated a clean run."""
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
        return self.failure(found, schedule)

    def failure(
        self,
        violation: Violation,
        schedule: Schedule,
        *,
        digest: str = "",
        story: Story | None = None,
        history: History | None = None,
        trace: str = "",
        step: str = "",
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
            history=history,
            listed=self.listed,
            place=self.place,
            trace=trace,
            step=step,
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
