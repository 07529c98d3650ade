"""Following a run that is written down: as a schedule, or as the raw log of a run just made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.engine import ops
from vmsmp.engine.observer import Observer
from vmsmp.engine.schedule import Preemption
from vmsmp.engine.scheduler import Scheduler
from vmsmp.errors import ReplayDiverged
from vmsmp.sched.base import base_policy, mask_of

if TYPE_CHECKING:
    from vmsmp.engine.cpu import Cpu


def gave_way(current: Cpu) -> bool:
    """Whether `current` stands before an operation that gives way."""
    return not current.done and current.pending in ops.GIVING_WAY


class Preempting(Scheduler):
    """The base policy with a schedule's preemptions.

    Counts by `cpu.nops`, so it runs under a `Recorder`.  A preemption that does not apply is no
    error.
    """

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

    def choose(self, cpu: Cpu, n: int, drawn: int) -> int:
        return self._draws.get((cpu.index, cpu.nops - 1), drawn) % n


class LogReplay(Scheduler):
    """Repeats the run whose log and draws it was given, step for step.

    Raises: ReplayDiverged when the program goes another way.
    """

    def __init__(self, log: list[int], draws: list[int]) -> None:
        self._log = log
        self._draws = iter(draws)

    def pick(self, current: Cpu, run: list[Cpu]) -> Cpu:
        log = self._log
        at = len(current.machine.engine.log)
        if at >= len(log):
            # The recorded run failed before its next operation, on the CPU that was running.
            if current in run:
                return current
            raise ReplayDiverged(f"the recorded run ends after {at} entries and this one goes on")
        code = log[at]
        wanted = current.index if code >= 0 else -1 - code
        for cpu in run:
            if cpu.index == wanted:
                return cpu
        raise ReplayDiverged(f"entry {at}: cpu{wanted} ran there and cannot run now")

    def choose(self, cpu: Cpu, n: int, drawn: int) -> int:
        recorded = next(self._draws, None)
        if recorded is None or recorded >= n:
            raise ReplayDiverged(f"{cpu} draws below {n} where the recorded run did not")
        return recorded


class Around(Scheduler):
    """Another scheduler's run, with something to be seen of it."""

    def __init__(self, inner: Scheduler) -> None:
        self.inner = inner
        self.sees_all = inner.sees_all
        self.finishes = inner.finishes
        self.spawned = inner.spawned  # type: ignore[method-assign]  # nothing to add to these
        self.yielded = inner.yielded  # type: ignore[method-assign]  # likewise
        self.ended = inner.ended  # type: ignore[method-assign]  # likewise

    def choose(self, cpu: Cpu, n: int, drawn: int) -> int:
        return self.inner.choose(cpu, n, drawn)


class Watched(Around):
    """Notes who could run at every choice, so that two runs can be compared."""

    def __init__(self, inner: Scheduler, *, sees_all: bool) -> None:
        super().__init__(inner)
        self.sees_all = sees_all
        #: The candidates at each choice, as a bit mask of their indices.
        self.candidates: list[int] = []

    def pick(self, current: Cpu, run: list[Cpu]) -> Cpu:
        self.candidates.append(mask_of(run))
        return self.inner.pick(current, run)


class OpCounter(Observer):
    """Counts every CPU's operations, which preemptions are addressed by."""

    free = False

    def op(self, cpu: Cpu, code: int) -> None:
        cpu.nops += 1


class Recorder(Around):
    """Writes the run down, as preemptions from the base policy.

    Needs an `OpCounter` among the machine's observers.
    """

    def __init__(self, inner: Scheduler) -> None:
        super().__init__(inner)
        self.preemptions: list[Preemption] = []

    def pick(self, current: Cpu, run: list[Cpu]) -> Cpu:
        picked = self.inner.pick(current, run)
        if picked is not base_policy(current, run, gave_way(current)):
            self.preemptions.append(Preemption(current.index, current.nops, picked.index))
        return picked

    def choose(self, cpu: Cpu, n: int, drawn: int) -> int:
        chosen = self.inner.choose(cpu, n, drawn)
        if chosen != drawn:
            self.preemptions.append(Preemption(cpu.index, cpu.nops - 1, chosen, choice=True))
        return chosen
