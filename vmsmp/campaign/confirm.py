"""Confirmation of a prediction: run again, a little differently, and see what happens.

A data race or a cycle in the lock order is seen in a run in which it did no harm.  A few runs that hold the
CPUs at the places in question (`sched.rendezvous`) either show it, side by side or as a real deadlock, or
leave it a prediction; the report says which.  A lost wakeup is proven by the same run with one more wakeup
for the sleeper.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from vmsmp.campaign.outcome import Failure, replaying, signature_of
from vmsmp.campaign.runner import Runner
from vmsmp.engine.cpu import Cpu
from vmsmp.engine.machine import Machine
from vmsmp.engine.observer import Observer
from vmsmp.engine.schedule import Schedule
from vmsmp.engine.verdict import FailureKind, Violation
from vmsmp.engine.wait import WaitMode
from vmsmp.sched.rendezvous import Rendezvous
from vmsmp.sched.replay import OpCounter, Preempting, Recorder
from vmsmp.sync.thread import lwkt_schedule

#: Runs that a prediction is worth.
TARGETED_RUNS: Final = 64

PROVEN: Final = "proven: with one more wakeup for the sleeper, the run comes to its end"
NOT_PROVEN: Final = "one more wakeup for the sleeper does not bring the run to its end"
SIDE_BY_SIDE: Final = "confirmed: on this schedule both stand before their accesses at once"
NOT_MET: Final = (
    f"not confirmed: in {TARGETED_RUNS} targeted runs the CPUs did not meet there; "
    "something other than a lock may keep them apart"
)


class _OneMoreWakeup(Observer):
    """Wakes every sleeper once, when nobody can run."""

    free = False

    def __init__(self) -> None:
        self.rescued: list[Cpu] = []

    def idle(self, machine: Machine) -> None:
        for cpu in machine.cpus:
            if cpu.wants is not None and cpu.wants.mode is WaitMode.SLEEP and cpu not in self.rescued:
                self.rescued.append(cpu)
                lwkt_schedule(cpu.td)
                machine.engine.ready(cpu)


def _with_one_more_wakeup(runner: Runner, failure: Failure) -> Failure:
    """Run again, and wake the CPUs that sleep at the end."""
    schedule = Schedule.parse(failure.schedule)
    rescue = _OneMoreWakeup()
    machine = runner.run(Recorder(Preempting(schedule.preemptions)), schedule.seed, (OpCounter(), rescue))
    ended = machine.violation is None and bool(rescue.rescued)
    machine.close()
    return replace(failure, confirmation=PROVEN if ended else NOT_PROVEN)


def confirmed(
    runner: Runner, failure: Failure, violation: Violation, seed: int, is_over: Callable[[], bool]
) -> Failure:
    """The failure with what further runs show; one that simply happened stays as it is.

    `is_over` ends them: then nothing is said of a prediction.
    """
    if failure.kind == FailureKind.LOST_WAKEUP:
        return _with_one_more_wakeup(runner.unchecked(), failure)
    if not violation.hold_at or failure.kind == FailureKind.NONDETERMINISM:
        return failure
    if failure.kind == FailureKind.LOCK_ORDER:
        runner = runner.unchecked()
    rendezvous = Rendezvous(violation.hold_at, seed)
    for _ in range(TARGETED_RUNS):
        rendezvous.begin()
        recorder = Recorder(rendezvous)
        machine = runner.run(recorder, seed, (OpCounter(),))
        found = machine.violation
        machine.close()
        if found is not None:
            line = Schedule(failure.program, seed, tuple(recorder.preemptions), runner.options)
            proof = _proof(runner, failure, found, line, met=rendezvous.met)
            if proof is not None:
                return proof
        if runner.engine.interrupted or is_over():
            return failure
    return replace(failure, confirmation=NOT_MET)


def _proof(
    runner: Runner, failure: Failure, found: Violation, line: Schedule, *, met: bool
) -> Failure | None:
    """The failure confirmed by a targeted run along `line` that ended in `found`, if that shows it.

    `met`: the CPUs stood at the places in question at once.
    """
    if failure.kind == FailureKind.LOCK_ORDER and found.kind == FailureKind.DEADLOCK:
        command = replaying(failure.program, str(line), listed=failure.listed, check=False)
        return replace(failure, confirmation=f"confirmed, it deadlocks: {command}")
    if met and signature_of(found) == failure.signature:
        told = runner.tell(Preempting(line.preemptions), line.seed)[0].failure
        if told is not None and told.signature == failure.signature:
            return replace(told, confirmation=SIDE_BY_SIDE)
    return None
