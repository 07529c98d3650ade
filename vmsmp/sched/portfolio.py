"""Several schedulers in turn, since each misses what another one finds.

One execution each of POS, SURW with locks as targets, and PCT, whose depth cycles through 2, 3 and 5.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from vmsmp.engine.scheduler import Scheduler
from vmsmp.sched.pct import Pct
from vmsmp.sched.pos import Pos
from vmsmp.sched.surw import Surw

if TYPE_CHECKING:
    from vmsmp.engine.cpu import Cpu


class Portfolio(Scheduler):
    """Rotates its arms, one execution each.  An arm keeps what it learned until its next turn."""

    def __init__(self, seed: int) -> None:
        pos, surw = Pos(seed), Surw(seed)
        self._arms: list[Scheduler] = [
            pos, surw, Pct(2, seed), pos, surw, Pct(3, seed), pos, surw, Pct(5, seed),
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
