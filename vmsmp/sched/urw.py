"""URW: a random walk weighted by what each CPU has left to do (Li et al., ASPLOS 2025).

With exact counts every interleaving is equally likely, where a plain random walk prefers those in
which short CPUs run early.

Deviations:
  * the counts are those of the run before: the length of a program may depend on its schedule, and
    fixed counts would stay wrong.  The first run is a plain random walk.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from vmsmp.engine.scheduler import Scheduler
from vmsmp.sched.log_cursor import LogCursor, SpawnPath

if TYPE_CHECKING:
    from vmsmp.engine.cpu import Cpu


class Urw(Scheduler):
    """Weighs every CPU by its remaining operations and those of descendants not yet spawned."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(f"{seed}/urw").random
        self._cursor = LogCursor()
        #: By CPU its own operations in the run before, and those with its descendants'.
        self._own: dict[SpawnPath, int] = {}
        self._all: dict[SpawnPath, int] = {}
        # invariant: one entry a CPU, by index: operations performed, and those left (at least 1)
        self._done: list[int] = []
        self._left: list[int] = []

    def begin(self) -> bool:
        self._catch_up()
        own = dict(zip(self._cursor.paths, self._done, strict=True))
        if own != self._own:
            self._own = own
            self._all = {
                path: sum(count for other, count in own.items() if other[: len(path)] == path) for path in own
            }
        return True

    def _catch_up(self) -> None:
        """Count the operations performed since, which their CPUs no longer have left."""
        left, done = self._left, self._done
        for index, _code in self._cursor.advance():
            done[index] += 1
            if left[index] > 1:
                left[index] -= 1

    def spawned(self, cpu: Cpu) -> None:
        if cpu.index:
            self._catch_up()
        else:
            self._left, self._done = [], []
        self._cursor.spawned(cpu)
        mine = self._all.get(self._cursor.paths[cpu.index], 1)
        self._left.append(mine)
        self._done.append(0)
        if cpu.index:
            parent = self._cursor.parents[cpu.index]
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
