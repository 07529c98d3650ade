"""Replaying and recording: a run as a schedule, or as the raw log of a run just made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.engine.observer import Observer
from vmsmp.engine.schedule import Preemption
from vmsmp.engine.scheduler import Scheduler
from vmsmp.errors import ReplayDiverged
from vmsmp.sched.policy import base_policy, gave_way, mask_of

if TYPE_CHECKING:
    from vmsmp.engine.cpu import Cpu


class Preempting(Scheduler):
    """The base policy with a schedule's preemptions.

    Needs an `OpCounter` among the machine's observers.  A preemption that does not apply is ignored.
    """

    def __init__(self, preemptions: tuple[Preemption, ...]) -> None:
        self._given = preemptions
        #: Where preemptions and draws have applied: CPU, operation, whether it is a draw.
        self._applied: set[tuple[int, int, bool]] = set()
        self._runs = {(p.cpu, p.nth): p.value for p in preemptions if not p.choice}
        self._draws = {(p.cpu, p.nth): p.value for p in preemptions if p.choice}

    def pick(self, current: Cpu, run: list[Cpu]) -> Cpu:
        wanted = self._runs.get((current.index, current.nops))
        if wanted is not None:
            for cpu in run:
                if cpu.index == wanted:
                    self._applied.add((current.index, current.nops, False))
                    return cpu
        return base_policy(current, run, gave_way(current))

    def choose(self, cpu: Cpu, n: int, drawn: int) -> int:
        at = cpu.index, cpu.nops - 1
        if at not in self._draws:
            return drawn
        self._applied.add((*at, True))
        return self._draws[at] % n

    def ignored(self) -> list[Preemption]:
        """The preemptions that have not applied to the run."""
        return [one for one in self._given if (one.cpu, one.nth, one.choice) not in self._applied]


class LogReplay(Scheduler):
    """Repeats the run with that log and those draws, step for step.

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


class Wrapper(Scheduler):
    """Runs another scheduler and watches its picks."""

    def __init__(self, inner: Scheduler) -> None:
        self.inner = inner
        self.sees_all = inner.sees_all
        self.finishes = inner.finishes
        self.spawned = inner.spawned  # type: ignore[method-assign]  # nothing to add to these
        self.yielded = inner.yielded  # type: ignore[method-assign]  # likewise
        self.ended = inner.ended  # type: ignore[method-assign]  # likewise

    def choose(self, cpu: Cpu, n: int, drawn: int) -> int:
        return self.inner.choose(cpu, n, drawn)


class Watched(Wrapper):
    """Records who could run at every choice, so that two runs can be compared."""

    def __init__(self, inner: Scheduler, *, sees_all: bool) -> None:
        super().__init__(inner)
        self.sees_all = sees_all
        #: The candidates at each choice, as a bit mask of their indices.
        self.candidates: list[int] = []

    def pick(self, current: Cpu, run: list[Cpu]) -> Cpu:
        self.candidates.append(mask_of(run))
        return self.inner.pick(current, run)


class OpCounter(Observer):
    """Counts every CPU's operations, by which preemptions are addressed."""

    free = False

    def op(self, cpu: Cpu, code: int) -> None:
        cpu.nops += 1


class Recorder(Wrapper):
    """Records the run as preemptions from the base policy.

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
