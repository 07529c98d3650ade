"""Confirmation of what is only predicted: run again, a little differently, and see what happens.

A data race or a cycle of lock order is seen in a run in which it did no harm.  A few runs that hold
the CPUs at the places in question (`sched.rendezvous`) either show it, side by side or as a real
deadlock, or leave it a prediction, and the report says which.  A lost wakeup is proven by what would
have been: the same run, in which the sleeper is woken once more.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from vmsmp.campaign.outcome import Failure, replaying, signature_of
from vmsmp.engine.observer import Observer
from vmsmp.engine.schedule import Schedule, program_name
from vmsmp.engine.verdict import FailureKind, Violation
from vmsmp.engine.wait import WaitMode
from vmsmp.sched.rendezvous import Rendezvous
from vmsmp.sched.replay import OpCounter, Preempting, Recorder
from vmsmp.sync.thread import TDF_TSLEEP_DESCHEDULED

if TYPE_CHECKING:
    from vmsmp.campaign.search import Runner
    from vmsmp.engine.cpu import Cpu
    from vmsmp.engine.machine import Machine

#: Runs that a prediction is worth.
TARGETED_RUNS: Final = 64

PROVEN: Final = "proven: with one more wakeup for who sleeps, the run comes to its end"
NOT_PROVEN: Final = "one more wakeup for who sleeps does not bring the run to its end"
SIDE_BY_SIDE: Final = "confirmed: on this schedule both stand before their accesses at once"
NOT_MET: Final = (
    f"not confirmed: in {TARGETED_RUNS} targeted runs the CPUs did not meet there; "
    "something that is no lock may keep them apart"
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
                cpu.td.td_flags &= ~TDF_TSLEEP_DESCHEDULED
                machine.engine.ready(cpu)


def _with_one_more_wakeup(runner: Runner, failure: Failure) -> Failure:
    """What if: the same run, and who sleeps at its end is woken after all."""
    schedule = Schedule.parse(failure.schedule)
    rescue = _OneMoreWakeup()
    machine = runner.run(Recorder(Preempting(schedule.preemptions)), schedule.seed, (OpCounter(), rescue))
    ended = machine.violation is None and bool(rescue.rescued)
    machine.close()
    return replace(failure, confirmation=PROVEN if ended else NOT_PROVEN)


def confirmed(runner: Runner, failure: Failure, violation: Violation, seed: int) -> Failure:
    """The failure with what further runs had to say; what simply happened stays as it is."""
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
        if runner.engine.interrupted:
            return failure
        if found is None:
            continue
        steps = tuple(recorder.preemptions)
        if failure.kind == FailureKind.LOCK_ORDER and found.kind == FailureKind.DEADLOCK:
            line = Schedule(program_name(runner.program), seed, steps, runner.options)
            command = replaying(failure.program, str(line), listed=failure.listed, check=False)
            return replace(failure, confirmation=f"confirmed, it deadlocks: {command}")
        if rendezvous.met and signature_of(found) == failure.signature:
            told = runner.tell(Preempting(steps), seed)[0].failure
            if told is not None and told.signature == failure.signature:
                return replace(told, confirmation=SIDE_BY_SIDE)
    return replace(failure, confirmation=NOT_MET)
