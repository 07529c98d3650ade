"""Vicinity: runs like one that is known, each with its preemptions a little elsewhere.

What a change of the program does to one run proves little, since a preemption is addressed by counting
operations and a changed program counts others.  So many runs around the known one are compared: in each the
preemptions of some CPU come some operations earlier or later from one of them on, and a few are left out.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from vmsmp.engine.schedule import Preemption
from vmsmp.engine.scheduler import Scheduler
from vmsmp.sched.replay import Preempting

if TYPE_CHECKING:
    from vmsmp.engine.cpu import Cpu

#: How many shifts a run has on average, one of these, and how many preemptions it leaves out.
SHIFTS: Final = (0.5, 1.0, 3.0)
LEFT_OUT: Final = 0.1
#: The most of a run's preemptions that begin a shift.
MOST: Final = 0.5
#: How likely a shift goes one operation further.
FURTHER: Final = 0.75


class Vicinity(Scheduler):
    """Follows preemptions that are drawn anew for each run.  Needs an `OpCounter` among the observers."""

    def __init__(self, preemptions: Sequence[Preemption], seed: int) -> None:
        self._known = tuple(preemptions)
        self._rng = random.Random(f"{seed}/vicinity")
        self._preempting = Preempting(())

    def begin(self) -> bool:
        self._preempting = Preempting(self._drawn())
        return True

    def pick(self, current: Cpu, run: list[Cpu]) -> Cpu:
        return self._preempting.pick(current, run)

    def choose(self, cpu: Cpu, n: int, drawn: int) -> int:
        return self._preempting.choose(cpu, n, drawn)

    def _drawn(self) -> tuple[Preemption, ...]:
        """The known preemptions, some of them elsewhere."""
        rng, many = self._rng, max(1, len(self._known))
        rate = min(MOST, rng.choice(SHIFTS) / many)
        shift: dict[int, int] = {}
        drawn = []
        for one in self._known:
            if rng.random() < rate:
                shift[one.cpu] = shift.get(one.cpu, 0) + self._step()
            if rng.random() >= LEFT_OUT / many:
                nth = max(0, one.nth + shift.get(one.cpu, 0))
                drawn.append(Preemption(one.cpu, nth, one.value, one.choice))
        return tuple(drawn)

    def _step(self) -> int:
        """How far a shift goes: mostly one operation or a few, one way or the other."""
        far = 1
        while self._rng.random() < FURTHER:
            far += 1
        return far if self._rng.random() < 0.5 else -far
