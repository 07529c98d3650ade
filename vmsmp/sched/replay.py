"""Following a run that is written down: as a schedule, or as the raw log of a run just made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.engine import ops
from vmsmp.engine.schedule import Preemption
from vmsmp.errors import ReplayDiverged
from vmsmp.sched.base import Scheduler, base_policy

if TYPE_CHECKING:
    from vmsmp.engine.cpu import Cpu

_GIVING_WAY = (ops.YIELD, ops.PAUSE)


def gave_way(current: Cpu) -> bool:
    """Whether `current` stands before an operation that gives way."""
    return not current.done and current.pending in _GIVING_WAY


class Preempting(Scheduler):
    """The base policy with a schedule's preemptions.

    Needs `cpu.nops`, so it runs under a `Recorder`.  Preemptions that never applied are in
    `unused` afterwards; they are no error.
    """

    replays = True

    def __init__(self, preemptions: tuple[Preemption, ...]) -> None:
        self._runs = {(p.cpu, p.nth): p.value for p in preemptions if not p.choice}
        self._draws = {(p.cpu, p.nth): p.value for p in preemptions if p.choice}

    def pick(self, current: Cpu, run: list[Cpu]) -> Cpu:
        wanted = self._runs.get((current.index, current.nops))
        if wanted is not None:
            for cpu in run:
                if cpu.index == wanted:
                    return cpu
        return base_policy(current, run, gave_way(current))

    def choose(self, cpu: Cpu, n: int) -> int:
        drawn = self._draws.get((cpu.index, cpu.nops - 1))
        natural = super().choose(cpu, n)  # drawn in any case: the stream stays in step
        return natural if drawn is None else drawn % n


class Tape(Scheduler):
    """Repeats the run whose log it was given, step for step.

    `draws` are the choices of that run in order, where the scheduler made them.
    Raises: ReplayDiverged when the program goes another way.
    """

    replays = True

    def __init__(self, log: list[int], draws: list[int] | None = None) -> None:
        self._log = log
        self._draws = None if draws is None else iter(draws)

    def pick(self, current: Cpu, run: list[Cpu]) -> Cpu:
        at = len(current.machine.engine.log)  # type: ignore[union-attr]  # only ever controlled
        if at >= len(self._log):
            raise ReplayDiverged(f"the recorded run ends after {at} entries and this one goes on")
        code = self._log[at]
        wanted = current.index if code >= 0 else -1 - code
        for cpu in run:
            if cpu.index == wanted:
                return cpu
        raise ReplayDiverged(f"entry {at}: cpu{wanted} ran there and cannot run now")

    def choose(self, cpu: Cpu, n: int) -> int:
        if self._draws is None:
            return super().choose(cpu, n)
        drawn = next(self._draws, None)
        if drawn is None or drawn >= n:
            raise ReplayDiverged(f"{cpu} draws below {n} where the recorded run did not")
        super().choose(cpu, n)
        return drawn
