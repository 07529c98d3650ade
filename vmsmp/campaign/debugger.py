"""Stop a replayed run at a step and look around; the machine stands still meanwhile.

The debugger is an observer like any other: a run that was stopped goes on as the same run.
"""

from __future__ import annotations

from collections.abc import Callable

from vmsmp.campaign.options import Program
from vmsmp.campaign.replay import parse_for
from vmsmp.campaign.runner import runner_for
from vmsmp.engine.cpu import Cpu
from vmsmp.engine.hang import HANG_S
from vmsmp.engine.machine import CpuSnapshot, Machine
from vmsmp.engine.observer import Observer
from vmsmp.engine.schedule import Schedule
from vmsmp.engine.verdict import Violation
from vmsmp.errors import VmsmpError
from vmsmp.sched.replay import OpCounter, Preempting, Recorder

#: Called where the run is stopped: the machine, the step about to be performed (None: the run is over) and
#: how every CPU stands.  Returns the step to stop at next, or None to run to the end.
Visit = Callable[[Machine, int | None, tuple[CpuSnapshot, ...]], int | None]


class _Stop(Observer):
    """Counts steps and calls the visitor at the wanted ones."""

    free = False

    def __init__(self, step: int | None, visit: Visit) -> None:
        self._wanted = step
        self._visit = visit
        self._step = 0
        self.fault: Exception | None = None
        self._machine: Machine

    def begin(self, machine: Machine) -> None:
        self._machine = machine

    def op(self, cpu: Cpu, code: int) -> None:
        if self._step == self._wanted:
            try:
                self._wanted = self._visit(self._machine, self._step, self._machine.survey())
            except VmsmpError:
                raise
            except Exception as error:
                self.fault = error  # the visitor's own, and no verdict on the program
                raise VmsmpError("the visitor of a stopped run failed") from error
        self._step += 1


def stop_at(
    program: Program, line: str | Schedule, step: int | None, visit: Visit, *, hang_s: float = HANG_S
) -> Violation | None:
    """Replay `line`, stop before `step` (from 0; None: only at the end) and let `visit` look around.

    At the end of the run `visit` is called once more, with no step, and with how every CPU stood.
    Returns: what went wrong in the run, if anything did.
    Raises: UsageError for a malformed line or one of another program, HostHang if a step takes `hang_s`
    seconds of processor time.
    """
    schedule = parse_for(program, line)
    found: list[Violation | None] = []
    stop = _Stop(step, visit)
    with runner_for(program, schedule.options, check=True, hang_s=hang_s) as runner:

        def run() -> None:
            recorder = Recorder(Preempting(schedule.preemptions))
            machine = runner.run(recorder, schedule.seed, (OpCounter(), stop))
            visit(machine, None, machine.scene or machine.survey())
            found.append(machine.violation)
            machine.close()

        try:
            runner.drive(run)
        except VmsmpError:
            if stop.fault is not None:
                raise stop.fault from None
            raise
    return found[0]
