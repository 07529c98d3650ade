"""URW: a random walk that weighs CPUs by what they have left to do (Li et al., ASPLOS 2025).

With exact counts every interleaving is equally likely, where a plain random walk prefers those in
which short CPUs run early.

Deviations:
  * the counts are those of the run before, so that a program whose length depends on its schedule is
    not sampled with one wrong guess for ever; the first run is a plain random walk.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from vmsmp.engine.scheduler import Scheduler
from vmsmp.sched.history import History, Key

if TYPE_CHECKING:
    from vmsmp.engine.cpu import Cpu


class Urw(Scheduler):
    """Weighs every CPU by its remaining operations, its unspawned descendants' included."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(f"{seed}/urw").random
        self._history = History()
        #: The operations of a CPU itself, and with its descendants', in the run before.
        self._own: dict[Key, int] = {}
        self._all: dict[Key, int] = {}
        # invariant: one entry a CPU, by index: operations performed, and those to come (at least 1)
        self._done: list[int] = []
        self._left: list[int] = []

    def begin(self) -> bool:
        self._catch_up()
        own = dict(zip(self._history.keys, self._done, strict=True))
        if own != self._own:
            self._own = own
            self._all = {
                key: sum(count for other, count in own.items() if other[: len(key)] == key) for key in own
            }
        return True

    def _catch_up(self) -> None:
        """Count what has been performed: its CPU has that much less to do."""
        left, done = self._left, self._done
        for index, _code in self._history.performed():
            done[index] += 1
            if left[index] > 1:
                left[index] -= 1

    def spawned(self, cpu: Cpu) -> None:
        if cpu.index:
            self._catch_up()
        else:
            self._left, self._done = [], []
        self._history.spawned(cpu)
        mine = self._all.get(self._history.keys[cpu.index], 1)
        self._left.append(mine)
        self._done.append(0)
        if cpu.index:
            parent = self._history.parents[cpu.index]
            self._left[parent] = max(1, self._left[parent] - mine)

    def pick(self, current: Cpu, run: list[Cpu]) -> Cpu:
        self._catch_up()
        left = self._left
        at = self._random() * sum(left[cpu.index] for cpu in run)
        for cpu in run:
            at -= left[cpu.index]
            if at < 0:
                return cpu
        return run[-1]
