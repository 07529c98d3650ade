"""POS: partial order sampling (Yuan, Yang and Gu, CAV 2018).

Every pending operation has a random priority and the highest runs.  When one has run, its CPU's next
operation draws anew, and so do all pending ones that depend on it; so orders of dependent operations
are sampled, and those of independent ones cost nothing.

Deviations:
  * an operation performed where there was no choice redraws as any other.
  * a CPU begins as soon as it is spawned.
  * a yield or the turn of a spin loop has the lowest priority, else it would spin for ever.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from vmsmp.engine.ops import KIND_BITS
from vmsmp.engine.scheduler import Scheduler
from vmsmp.sched.history import Beginners, History

if TYPE_CHECKING:
    from vmsmp.engine.cpu import Cpu


class Pos(Scheduler):
    """Samples partial orders, one draw a pending operation."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(f"{seed}/pos").random
        self._history = History()
        self._beginners = Beginners()
        # invariant: CPU index -> the priority of the operation it stands before
        self._priority: dict[int, float] = {}

    def spawned(self, cpu: Cpu) -> None:
        self._history.spawned(cpu)
        self._beginners.spawned(cpu)
        if cpu.index == 0:
            self._priority = {}

    def yielded(self, cpu: Cpu) -> None:
        self._catch_up(cpu)
        self._priority[cpu.index] = -self._random()

    def _catch_up(self, current: Cpu) -> None:
        """Forget the priorities that the operations performed meanwhile have spent."""
        priority = self._priority
        cpus = current.machine.cpus
        for index, code in self._history.performed():
            priority.pop(index, None)
            writes = code & 1
            thing = code >> KIND_BITS
            for other in list(priority):
                pending = cpus[other].pending
                if pending >> KIND_BITS == thing and (writes or pending & 1):
                    del priority[other]

    def pick(self, current: Cpu, run: list[Cpu]) -> Cpu:
        if self._beginners and (begins := self._beginners.next()) is not None:
            return begins
        self._catch_up(current)
        priority = self._priority
        best = run[0]
        high = -2.0
        for cpu in run:
            value = priority.get(cpu.index)
            if value is None:
                value = priority[cpu.index] = self._random()
            if value > high:
                best, high = cpu, value
        return best
