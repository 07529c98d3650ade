"""PCT: probabilistic concurrency testing (Burckhardt et al., ASPLOS 2010).

Every CPU gets a random priority and the highest runnable one runs; at d-1 random steps the running
CPU falls below all others.  A bug of depth d among n CPUs and k steps is hit with probability at
least 1/(n k^(d-1)) a run.

Deviations:
  * k counts only steps with a choice, and is re-estimated as the largest count seen so far.
  * a CPU starts as soon as it is spawned, which is no choice.
  * the d-1 low priorities are assigned to the change points in random order, as in the paper;
    several later implementations make the latest point the lowest.
  * a CPU that yields, spins or fails a try falls below everything, else it would spin for ever; so
    does one that has won `STREAK` choices in a row: it may wait for the others in a loop that does
    not say so.  Such a streak does not count as steps.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

from vmsmp.engine.scheduler import Scheduler
from vmsmp.sched.unstarted import UnstartedCpus

if TYPE_CHECKING:
    from vmsmp.engine.cpu import Cpu

#: Choices that one CPU may win in a row.
STREAK: Final = 2_000


class Pct(Scheduler):
    """PCT of one depth.  `depth` is d, at least 1."""

    def __init__(self, depth: int, seed: int) -> None:
        self.depth = depth
        self._rng = random.Random(f"{seed}/pct:{depth}")
        self._unstarted = UnstartedCpus()
        # invariant: one entry a CPU, by index; initial priorities are at least 1, lowered ones below 1
        self._priority: list[float] = []
        # change points: number of the choice -> the picked CPU's new priority, or None: look for a streak
        self._changes: dict[int, float | None] = {}
        self._count = 0
        self._floor = 0.0
        self._choices = 16  # k: a first guess until one run has been seen
        self._seen = 0

    def begin(self) -> bool:
        self._seen = max(self._seen, self._count)
        if self._seen:
            self._choices = self._seen
        points = self._rng.sample(range(1, self._choices + 1), min(self.depth - 1, self._choices))
        # The sample is in random order, so each point may get the lowest priority.
        self._changes = {at: low / self.depth for low, at in enumerate(points, start=1)}
        self._check_streak_at(STREAK)
        self._priority = []
        self._count = 0
        self._floor = 0.0
        return True

    def spawned(self, cpu: Cpu) -> None:
        self._priority.append(1.0 + self._rng.random())
        self._unstarted.spawned(cpu)

    def yielded(self, cpu: Cpu) -> None:
        self._floor -= 1.0
        self._priority[cpu.index] = self._floor

    def pick(self, current: Cpu, run: list[Cpu]) -> Cpu:
        if self._unstarted and (starting := self._unstarted.next()) is not None:
            return starting
        self._count = count = self._count + 1
        priority = self._priority
        best = run[0]
        high = priority[best.index]
        for cpu in run:
            if priority[cpu.index] > high:
                best = cpu
                high = priority[cpu.index]
        if count in self._changes:
            low = self._changes.pop(count)
            if low is None:
                self._end_streak(current)
            else:
                priority[best.index] = low
            best = max(run, key=lambda cpu: priority[cpu.index])
        return best

    def _end_streak(self, current: Cpu) -> None:
        """Lower the current CPU if it won all the last choices; look again later."""
        if min(current.machine.engine.log[-STREAK:]) >= 0:
            self.yielded(current)
            self._count -= STREAK
        self._check_streak_at(self._count + STREAK)

    def _check_streak_at(self, count: int) -> None:
        """Look for a streak at that choice, or at the next one that is no change point."""
        while count in self._changes:
            count += 1
        self._changes[count] = None
