"""Several schedulers in turn, since each is blind where another one sees.

Deviation: it stands for the portfolio of PCT, POS and SURW until this room holds the latter two.
Every other run is a random walk, the rest PCT of depth 2, 3 and 5 in turn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from vmsmp.engine.scheduler import Scheduler
from vmsmp.sched.pct import Pct
from vmsmp.sched.random_walk import RandomWalk

if TYPE_CHECKING:
    from vmsmp.engine.cpu import Cpu


class Portfolio(Scheduler):
    """Rotates its arms, one execution each; every arm keeps what it learns."""

    def __init__(self, seed: int) -> None:
        walk = RandomWalk(seed)
        self._arms: list[Scheduler] = [
            Pct(3, seed), walk, Pct(2, seed), walk, Pct(5, seed), walk,
        ]  # fmt: skip
        self._turn = -1
        # The arm's own methods, so that a pick costs no extra call.
        self.pick: Callable[[Cpu, list[Cpu]], Cpu]  # type: ignore[assignment]  # see above
        self.spawned: Callable[[Cpu], None]  # type: ignore[assignment]  # likewise
        self.yielded: Callable[[Cpu], None]  # type: ignore[assignment]  # likewise

    def begin(self) -> bool:
        self._turn += 1
        arm = self._arms[self._turn % len(self._arms)]
        self.pick = arm.pick
        self.spawned = arm.spawned
        self.yielded = arm.yielded
        return arm.begin()
