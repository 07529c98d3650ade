"""A run that hangs as a failure, with its schedule line and its story.

The run is made once more up to the step that does not end, on threads of its own.  That step is not begun,
so the line and the story are there at once.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from vmsmp.campaign.options import Program
from vmsmp.campaign.outcome import Failure, History, Outcome
from vmsmp.campaign.runner import runner_for
from vmsmp.engine.cpu import Cpu
from vmsmp.engine.hang import Hang
from vmsmp.engine.observer import Observer
from vmsmp.engine.options import Options
from vmsmp.engine.schedule import Schedule, program_name
from vmsmp.errors import Halt, HostHang, VmsmpError
from vmsmp.sched.replay import LogReplay, OpCounter, Recorder

#: Seconds of processor time after which the second run hangs, too.
AGAIN_S: Final = 0.3


class _Before(Observer):
    """Ends a run with a hang's verdict where the step begins in which it hangs."""

    free = False

    def __init__(self, hang: Hang) -> None:
        self._hang = hang
        self._last = len(hang.log) - 1

    def op(self, cpu: Cpu, code: int) -> None:
        if len(cpu.machine.engine.log) == self._last:
            cpu.machine.engine.abort(self._hang.violation)
            raise Halt


def hang_failure(program: Program, options: Options, hang: Hang, *, check: bool) -> Failure:
    """The failure that a hang comes to.

    Where its run cannot be made again up to there, its line is one without preemptions; where that run hangs
    too, for nothing can end this program, there is no story, and none is tried for where that is known.
    """
    recorder = Recorder(LogReplay(hang.log, hang.draws))
    told: list[Outcome] = []
    line = Schedule(program_name(program), hang.seed, (), options)
    with runner_for(program, options, check=check, hang_s=AGAIN_S) as runner:

        def again() -> None:
            if hang.unwinding:
                runner.run(recorder, hang.seed, (OpCounter(),))
            else:
                told.append(runner.tell(recorder, hang.seed, (_Before(hang),))[0])

        if hang.log:
            try:
                runner.drive(again)
            except HostHang:
                line = line.with_steps(tuple(recorder.preemptions))
            except VmsmpError:
                pass  # it goes another way
        failure = told[0].failure if told else None
        if failure is None or failure.kind != hang.violation.kind or failure.story is None:
            return runner.failure(hang.violation, line, history=History(hang.scene, hang.recent))
    story = replace(failure.story, scene=hang.scene)
    return replace(failure, digest="", trace="", story=story, step=story.rows[-1].doing)


def hang_outcome(failure: Failure, steps: int) -> Outcome:
    """The outcome of a single run that hangs, after so many steps."""
    return Outcome(failure.program, "", steps, failure, failure.schedule, story=failure.story)
