"""Random walks and round robin: schedulers that know nothing of the program."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from vmsmp.engine.scheduler import Scheduler

if TYPE_CHECKING:
    from vmsmp.engine.cpu import Cpu


class RandomWalk(Scheduler):
    """Picks each candidate with the same probability.

    One stream serves the whole search: seeding a generator costs as much as many steps, and a run
    is reproduced from its preemptions, not from its draws.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(f"{seed}/random").random

    def pick(self, current: Cpu, run: list[Cpu]) -> Cpu:
        return run[int(self._random() * len(run))]


class StickyWalk(Scheduler):
    """A random walk that mostly stays on the current CPU; each run draws how mostly."""

    #: Probabilities of a switch; each run draws one.
    RATES = (0.5, 0.1, 0.02)

    def __init__(self, seed: int) -> None:
        self._random = random.Random(f"{seed}/sticky").random
        self._rate = 0.5

    def begin(self) -> bool:
        self._rate = self.RATES[int(self._random() * len(self.RATES))]
        return True

    def pick(self, current: Cpu, run: list[Cpu]) -> Cpu:
        if current in run and not current.alarmed and self._random() >= self._rate:
            return current
        return run[int(self._random() * len(run))]


class RoundRobin(Scheduler):
    """Picks the next CPU in turn: the fairest schedule there is, and always the same."""

    def pick(self, current: Cpu, run: list[Cpu]) -> Cpu:
        for cpu in run:
            if cpu.index > current.index:
                return cpu
        return run[0]
