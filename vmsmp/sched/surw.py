"""SURW: selectively uniform random walk (Li et al., ASPLOS 2025).

Each run chooses one object and makes the order of the accesses to it uniform: CPUs that come to such
an access are held until the one that a weighted draw intends has made its own.  All else runs by
random priorities.  Few bugs need the order of more than one object's accesses to be unlikely.

Deviations:
  * lock acquisitions and wait channels are objects too, and the fields of one record are one object.
  * every object is chosen once before they are drawn by their number of accesses.
  * a yield or the turn of a spin loop frees all who are held, else they might wait for the spinner.
  * the counts come from an earlier run (the first is a random walk) and are renewed when a run misses
    them by more than a quarter.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from vmsmp.engine.scheduler import Scheduler
from vmsmp.sched.history import History
from vmsmp.sched.profile import Profile, target_of

if TYPE_CHECKING:
    from vmsmp.engine.cpu import Cpu


class Surw(Scheduler):
    """Uniform over the orders of accesses to one object a run."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(f"{seed}/surw")
        self._random = self._rng.random
        self._history = History()
        self._profile: Profile | None = None
        self._fresh: list[int] = []
        self._target: int | None = None
        self._expected = 0
        self._seen = 0
        # by CPU index: accesses to the target still to come, descendants' included; and priorities
        self._left: dict[int, int] = {}
        self._priority: dict[int, float] = {}
        # CPUs held at an access, and the one that is to make its access next
        self._held: set[int] = set()
        self._intended: int | None = None

    def begin(self) -> bool:
        history = self._history
        if history.log:
            for step in history.performed():
                self._count(step)
            if self._profile is None or abs(self._seen - self._expected) * 4 > self._expected:
                before = self._profile
                self._profile = Profile(history)
                known = before.targets if before is not None else {}
                new = [target for target in self._profile.targets if target not in known]
                self._rng.shuffle(new)
                self._fresh += new
        self._choose_target()
        return True

    def _choose_target(self) -> None:
        self._target = None
        self._seen = self._expected = 0
        if self._profile is None or not self._profile.targets:
            return
        targets = self._profile.targets
        if self._fresh:
            self._target = self._fresh.pop()
        else:
            self._target = self._rng.choices(list(targets), weights=list(targets.values()))[0]
        self._expected = targets.get(self._target, 0)

    def spawned(self, cpu: Cpu) -> None:
        history = self._history
        history.spawned(cpu)
        if cpu.index == 0:
            self._left, self._priority, self._held, self._intended = {}, {}, set(), None
        if self._profile is None or self._target is None or self._target not in self._profile.accesses:
            return
        mine = self._profile.accesses_of(self._target, history.keys[cpu.index])
        self._left[cpu.index] = mine
        if cpu.index:
            parent = history.parents[cpu.index]
            theirs = self._left.get(parent, 0)
            if self._intended == parent and theirs and self._random() * theirs < mine:
                self._intended = cpu.index
            self._left[parent] = max(0, theirs - mine)

    def yielded(self, cpu: Cpu) -> None:
        self._held.clear()
        self._intended = None
        self._priority[cpu.index] = -1.0

    def _count(self, step: tuple[int, int]) -> None:
        """An operation was performed: its CPU draws anew, and an access is one less to come."""
        index, code = step
        self._priority.pop(index, None)
        if self._target is not None and target_of(code) == self._target:
            self._seen += 1
            self._left[index] = max(0, self._left.get(index, 0) - 1)
            self._intended = None
            self._held.clear()

    def pick(self, current: Cpu, run: list[Cpu]) -> Cpu:
        for step in self._history.performed():
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
        """Draw who makes the next access, by how many each has to come."""
        weights = []
        for cpu in free:
            at_one = target_of(cpu.pending) == self._target  # then there is one to come, whatever was counted
            weights.append(max(int(at_one), self._left.get(cpu.index, 0)))
        return self._rng.choices(free, weights=weights)[0].index
