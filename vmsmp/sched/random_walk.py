"""Random walk and round robin: the two that need no idea of the program."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from vmsmp.engine.scheduler import Scheduler

if TYPE_CHECKING:
    from vmsmp.engine.cpu import Cpu


class RandomWalk(Scheduler):
    """At every choice, each candidate with the same probability.

    One stream serves the whole search: seeding a generator costs as much as many steps, and a run
    is written down as its preemptions, not as its draws.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(f"{seed}/random").random

    def pick(self, current: Cpu, run: list[Cpu]) -> Cpu:
        return run[int(self._random() * len(run))]


class RoundRobin(Scheduler):
    """At every choice, the next CPU in turn: the fairest schedule there is, and always the same."""

    def pick(self, current: Cpu, run: list[Cpu]) -> Cpu:
        for cpu in run:
            if cpu.index > current.index:
                return cpu
        return run[0]
