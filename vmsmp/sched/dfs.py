"""Depth-first search over all picks: all of them, or those within a bound.

Every choice is a node; the next execution repeats the path up to the last node with an alternative
left and takes that one.  Draws of data are nodes too.  With a bound only paths that cost at most so
much are followed:
  * preemptions (CHESS, Musuvathi and Qadeer, PLDI 2007): 1 where the current CPU could go on and another
    one runs;
  * delays (Emmi, Qadeer and Rakamaric, POPL 2011): the CPUs stand in a ring, the current one first, and
    to take the j-th costs j.  The number of paths does not grow with the number of CPUs.

Fairness is CHESS's (PLDI 2008): a CPU that yields without giving others a turn comes after them, so
a loop around `yield_` ends.  A spin loop with `pause` ends by itself, since the engine takes the
spinner out of the candidates until somebody writes.

Deviations: bounds are not raised step by step; a search of bound P goes through all paths up to P.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.engine import ops
from vmsmp.engine.scheduler import Scheduler
from vmsmp.sched.policy import base_policy, gave_way, mask_of

if TYPE_CHECKING:
    from vmsmp.engine.cpu import Cpu


class Fairness:
    """CHESS's relation between CPUs: who has to wait for whom, because it yielded and they had no turn.

    Sets of CPUs are bit masks by index.
    """

    def __init__(self) -> None:
        #: For each CPU those that come before it.
        self._after: dict[int, int] = {}
        # since the CPU's last yield: enabled all the time, disabled by it, and scheduled
        self._enabled: dict[int, int] = {}
        self._disabled: dict[int, int] = {}
        self._scheduled: dict[int, int] = {}

    def may_run(self, run: list[Cpu]) -> list[Cpu]:
        """Those of the runnable CPUs that need not wait for another one."""
        if not self._after:
            return run
        mask = mask_of(run)
        return [cpu for cpu in run if not self._after.get(cpu.index, 0) & mask] or run

    def ran(self, index: int, yielded: bool, before: int, now: int) -> None:
        """That CPU made a step; `before` and `now` are the CPUs that could run before and after it."""
        me = 1 << index
        for other in [other for other, mask in self._after.items() if mask & me]:
            self._after[other] &= ~me
            if not self._after[other]:
                del self._after[other]
        everyone = before | now | me
        for other in range(everyone.bit_length()):
            if everyone >> other & 1:
                self._enabled[other] = self._enabled.get(other, 0) & now
                self._scheduled[other] = self._scheduled.get(other, -1) | me
        self._disabled[index] = self._disabled.get(index, 0) | (before & ~now)
        if yielded:
            starved = (self._enabled[index] | self._disabled[index]) & ~self._scheduled[index]
            if starved:
                self._after[index] = self._after.get(index, 0) | starved
            self._enabled[index] = now
            self._disabled[index] = self._scheduled[index] = 0


class DepthFirst(Scheduler):
    """All schedules, or those of at most `bound` preemptions, or of at most `delays` delays."""

    systematic = True
    sees_all = True

    def __init__(self, bound: int | None = None, *, delays: int | None = None) -> None:
        self.bound = bound if delays is None else delays
        self._by_delay = delays is not None
        # invariant: one (alternative taken, alternatives there are) for each node of the path
        self._path: list[tuple[int, int]] = []
        self._depth = 0
        self._spent = 0
        self._first = True
        self._fair = Fairness()
        #: The step under way: its CPU, whether it yields, and who could run.
        self._step: tuple[int, bool, int] | None = None

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
        self._fair = Fairness()
        self._step = None
        return True

    def _node(self, width: int) -> int:
        if self._depth == len(self._path):
            self._path.append((0, width))
        taken, _ = self._path[self._depth]
        self._depth += 1
        return taken

    def pick(self, current: Cpu, run: list[Cpu]) -> Cpu:
        mask = mask_of(run)
        if self._step is not None:
            self._fair.ran(*self._step, mask)
        picked = self._choose_from(current, self._fair.may_run(run))
        self._step = (picked.index, picked.pending & ops.KIND_MASK == ops.YIELD, mask)
        return picked

    def _choose_from(self, current: Cpu, run: list[Cpu]) -> Cpu:
        default = base_policy(current, run, gave_way(current))
        width = len(run)
        costly = self._by_delay or default is current
        if self.bound is not None and costly:
            left = self.bound - self._spent
            width = min(width, left + 1) if self._by_delay else (width if left > 0 else 1)
        if width == 1:
            return default
        taken = self._node(width)
        if taken == 0:
            return default
        if costly:
            self._spent += taken if self._by_delay else 1
        at = run.index(default)
        before, after = run[:at], run[at + 1 :]
        return (after + before if self._by_delay else before + after)[taken - 1]

    def choose(self, cpu: Cpu, n: int, drawn: int) -> int:
        return self._node(n) if n > 1 else 0
