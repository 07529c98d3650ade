"""Depth-first search over all scheduling choices: all of them, or those within a bound.

Every choice is a node; the next execution repeats the path up to the last node with an alternative
left and takes that one.  Choices of data are nodes too.  A bound limits what a path may cost:
  * preemptions (CHESS, Musuvathi and Qadeer, PLDI 2007): 1 where the current CPU could go on and another
    one runs;
  * delays (Emmi, Qadeer and Rakamaric, POPL 2011): the CPUs stand in a ring, the current one first, and
    taking the j-th costs j.  The number of paths does not grow with the number of CPUs.

Fairness is CHESS's (PLDI 2008): a CPU that yields without giving others a turn comes after them, so
a loop around `yield_` ends.  A spin loop with `pause` ends by itself: the engine does not run the
spinner until somebody writes.

Deviations: the bound is not raised step by step; a search of bound P goes through all paths up to P.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.engine import ops
from vmsmp.engine.scheduler import Scheduler
from vmsmp.errors import ReplayDiverged
from vmsmp.sched.fairness import Fairness
from vmsmp.sched.policy import base_policy, gave_way, mask_of

if TYPE_CHECKING:
    from vmsmp.engine.cpu import Cpu


class DepthFirst(Scheduler):
    """All schedules, or those of at most `bound` preemptions, or of at most `delays` delays."""

    systematic = True
    sees_all = True

    def __init__(self, bound: int | None = None, *, delays: int | None = None) -> None:
        self.bound = bound if delays is None else delays
        self._by_delay = delays is not None
        # invariant: one (alternative taken, number of alternatives) for each node of the path
        self._path: list[tuple[int, int]] = []
        self._depth = 0
        self._spent = 0
        self._first = True
        self._fair = Fairness()
        #: The step under way: its CPU, whether it yields, and who could run.
        self._step: tuple[int, bool, int] | None = None

    def begin(self) -> bool:
        if not self._first and not self._backtrack():
            return False
        self._first = False
        self._depth = 0
        self._spent = 0
        self._fair = Fairness()
        self._step = None
        return True

    def _backtrack(self) -> bool:
        """Go to the next path; False if there is none."""
        path = self._path
        while path:
            taken, width = path.pop()
            if taken + 1 < width:
                path.append((taken + 1, width))
                return True
        return False

    def share(self) -> float:
        share, left = 0.0, 1.0
        for taken, width in self._path:
            left /= width
            share += taken * left
        return share + left if self._path else 0.0

    def _node(self, width: int) -> int:
        """Return the alternative to take at the next node of the path."""
        if self._depth == len(self._path):
            self._path.append((0, width))
        taken, known = self._path[self._depth]
        if known != width:
            raise ReplayDiverged(f"choice {self._depth} has {width} alternatives, and had {known}")
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
