"""POS: partial order sampling (Yuan, Yang and Gu, CAV 2018).

Every pending operation has a random priority and the highest runs.  When one has run, its CPU's next
operation gets a new priority, and so does every pending one that depends on it.  This samples orders of
dependent operations and wastes nothing on those of independent ones.

Deviations:
  * operations where there was no choice redraw priorities too.
  * a CPU starts as soon as it is spawned.
  * a yield, and each round of a spin loop, has the lowest priority, else it would spin for ever.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from vmsmp.engine.ops import KIND_BITS
from vmsmp.engine.scheduler import Scheduler
from vmsmp.sched.log_cursor import LogCursor
from vmsmp.sched.unstarted import UnstartedCpus

if TYPE_CHECKING:
    from vmsmp.engine.cpu import Cpu


class Pos(Scheduler):
    """Samples partial orders: one random priority for each pending operation."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(f"{seed}/pos").random
        self._cursor = LogCursor()
        self._unstarted = UnstartedCpus()
        # invariant: CPU index -> the priority of the operation it stands before
        self._priority: dict[int, float] = {}

    def spawned(self, cpu: Cpu) -> None:
        self._cursor.spawned(cpu)
        self._unstarted.spawned(cpu)
        if cpu.index == 0:
            self._priority = {}

    def yielded(self, cpu: Cpu) -> None:
        self._catch_up(cpu)
        self._priority[cpu.index] = -self._random()

    def _catch_up(self, current: Cpu) -> None:
        """Drop the priorities that the operations performed since have used up."""
        priority = self._priority
        cpus = current.machine.cpus
        for index, code in self._cursor.advance():
            priority.pop(index, None)
            writes = code & 1
            obj = code >> KIND_BITS
            for other in list(priority):
                pending = cpus[other].pending
                if pending >> KIND_BITS == obj and (writes or pending & 1):
                    del priority[other]

    def pick(self, current: Cpu, run: list[Cpu]) -> Cpu:
        if self._unstarted and (starting := self._unstarted.next()) is not None:
            return starting
        self._catch_up(current)
        priority = self._priority
        best = run[0]
        high = -2.0
        for cpu in run:
            index = cpu.index
            if index not in priority:
                priority[index] = self._random()
            value = priority[index]
            if value > high:
                best, high = cpu, value
        return best
