"""SURW: selectively uniform random walk (Li et al., ASPLOS 2025).

Each run selects one object, the target, and samples the order of accesses to it uniformly: a weighted
draw intends one CPU for the next access, and others that reach one are held until it is made.
Everything else runs by random priorities.  Most bugs depend on the order of accesses to one object.

Deviations:
  * lock acquisitions and wait channels are objects too; the fields of one record are one object.
  * every object is the target once before targets are drawn by their number of accesses.
  * a yield, and each round of a spin loop, releases all held CPUs, else they might wait for the spinner.
  * counts come from an earlier run (the first is a random walk) and are taken anew when a run differs
    from them by more than a quarter.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from vmsmp.engine.scheduler import Scheduler
from vmsmp.sched.log_cursor import LogCursor
from vmsmp.sched.profile import Profile, target_of

if TYPE_CHECKING:
    from vmsmp.engine.cpu import Cpu


class Surw(Scheduler):
    """Samples uniformly the orders of accesses to one object, another one each run."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(f"{seed}/surw")
        self._random = self._rng.random
        self._cursor = LogCursor()
        self._profile: Profile | None = None
        #: Targets not selected yet.
        self._untried: list[int] = []
        self._target: int | None = None
        self._expected = 0
        self._seen = 0
        # by CPU index: its and its descendants' accesses to the target that are left, and priorities
        self._left: dict[int, int] = {}
        self._priority: dict[int, float] = {}
        # CPUs held at an access, and the one intended to make the next access
        self._held: set[int] = set()
        self._intended: int | None = None

    def begin(self) -> bool:
        cursor = self._cursor
        if cursor.log:
            for step in cursor.advance():
                self._count(step)
            if self._profile is None or abs(self._seen - self._expected) * 4 > self._expected:
                self._take_profile()
        self._select_target()
        return True

    def _take_profile(self) -> None:
        """Profile the run that is over, and queue the targets that are new."""
        known = self._profile.targets if self._profile is not None else {}
        self._profile = Profile(self._cursor)
        new = [target for target in self._profile.targets if target not in known]
        self._rng.shuffle(new)
        self._untried += new

    def _select_target(self) -> None:
        self._target = None
        self._seen = self._expected = 0
        if self._profile is None or not self._profile.targets:
            return
        targets = self._profile.targets
        if self._untried:
            self._target = self._untried.pop()
        else:
            self._target = self._rng.choices(list(targets), weights=list(targets.values()))[0]
        self._expected = targets.get(self._target, 0)

    def spawned(self, cpu: Cpu) -> None:
        cursor = self._cursor
        cursor.spawned(cpu)
        if cpu.index == 0:
            self._left, self._priority, self._held, self._intended = {}, {}, set(), None
        if self._profile is None or self._target is None or self._target not in self._profile.accesses:
            return
        mine = self._profile.accesses_of(self._target, cursor.paths[cpu.index])
        self._left[cpu.index] = mine
        if cpu.index:
            parent = cursor.parents[cpu.index]
            theirs = self._left.get(parent, 0)
            if self._intended == parent and theirs and self._random() * theirs < mine:
                self._intended = cpu.index
            self._left[parent] = max(0, theirs - mine)

    def yielded(self, cpu: Cpu) -> None:
        self._held.clear()
        self._intended = None
        self._priority[cpu.index] = -1.0

    def _count(self, step: tuple[int, int]) -> None:
        """Take in an operation: its CPU gets a new priority, and one access to the target fewer is left."""
        index, code = step
        self._priority.pop(index, None)
        if self._target is not None and target_of(code) == self._target:
            self._seen += 1
            self._left[index] = max(0, self._left.get(index, 0) - 1)
            self._intended = None
            self._held.clear()

    def pick(self, current: Cpu, run: list[Cpu]) -> Cpu:
        for step in self._cursor.advance():
            self._count(step)
        if self._profile is None:
            return run[int(self._random() * len(run))]
        target = self._target
        held = self._held
        while True:
            free = [cpu for cpu in run if cpu.index not in held]
            if not free:
                held.clear()
                self._intended = None
                continue
            best = max(free, key=self._priority_of)
            if target is None or target_of(best.pending) != target:
                return best
            if self._intended is None or current.machine.cpus[self._intended].done:
                self._intended = self._intend(free)
            if best.index == self._intended:
                return best
            held.add(best.index)

    def _priority_of(self, cpu: Cpu) -> float:
        value = self._priority.get(cpu.index)
        if value is None:
            value = self._priority[cpu.index] = self._random()
        return value

    def _intend(self, free: list[Cpu]) -> int:
        """Draw the CPU that makes the next access, weighted by the accesses that each has left."""
        weights = []
        for cpu in free:
            at_one = target_of(cpu.pending) == self._target  # so it has one left, whatever was counted
            weights.append(max(int(at_one), self._left.get(cpu.index, 0)))
        return self._rng.choices(free, weights=weights)[0].index
