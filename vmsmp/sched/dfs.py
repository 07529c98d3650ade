"""Depth-first search over all picks, bounded by preemptions if asked (CHESS, PLDI 2007).

Every choice is a node; the next execution repeats the path up to the last node with an alternative
left and takes that one.  With a bound P only paths with at most P preemptions (another CPU chosen
while the current one could go on) are followed.  Draws of data are nodes too.

Deviations: no fairness relation.  A spin loop ends because `pause` takes the spinner out of the
candidates until somebody writes; a loop around `yield_` alone is cut by the engine's step limit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.engine.scheduler import Scheduler
from vmsmp.sched.base import base_policy
from vmsmp.sched.replay import gave_way

if TYPE_CHECKING:
    from vmsmp.engine.cpu import Cpu


class DepthFirst(Scheduler):
    """All schedules, or all with at most `bound` preemptions."""

    systematic = True

    def __init__(self, bound: int | None = None) -> None:
        self.bound = bound
        # invariant: one (alternative taken, alternatives there are) for each node of the path
        self._path: list[tuple[int, int]] = []
        self._depth = 0
        self._spent = 0
        self._first = True

    def begin(self) -> bool:
        if not self._first:
            while self._path and self._path[-1][0] + 1 >= self._path[-1][1]:
                self._path.pop()
            if not self._path:
                return False
            taken, there = self._path[-1]
            self._path[-1] = (taken + 1, there)
        self._first = False
        self._depth = 0
        self._spent = 0
        return True

    def _node(self, width: int) -> int:
        if self._depth == len(self._path):
            self._path.append((0, width))
        taken, _ = self._path[self._depth]
        self._depth += 1
        return taken

    def pick(self, current: Cpu, run: list[Cpu]) -> Cpu:
        default = base_policy(current, run, gave_way(current))
        costly = default is current
        if self.bound is not None and costly and self._spent >= self.bound:
            return default
        taken = self._node(len(run))
        if taken == 0:
            return default
        if costly:
            self._spent += 1
        return [cpu for cpu in run if cpu is not default][taken - 1]

    def choose(self, cpu: Cpu, n: int, drawn: int) -> int:
        return self._node(n) if n > 1 else 0
