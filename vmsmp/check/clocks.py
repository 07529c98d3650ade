"""Vector clocks: what each CPU knows of every other's time (Mattern, 1989).

A clock is a list of counts by CPU index, as long as it has to be.  A CPU's own count starts at 1 and
grows with everything it lets others know: what it did at count n is known to a CPU whose clock has at
least n for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vmsmp.engine.cpu import Cpu

Clock = list[int]


def known(clock: Sequence[int], index: int) -> int:
    """How much the clock knows of that CPU."""
    return clock[index] if index < len(clock) else 0


def join(mine: Clock, theirs: Sequence[int]) -> None:
    """Learn all that `theirs` knows."""
    mine += theirs[len(mine) :]
    for n, count in enumerate(theirs):
        if count > mine[n]:  # noqa: PLR1730 - a call of max costs more than all the rest
            mine[n] = count


class Clocks:
    """One clock a CPU of a machine, joined where CPUs begin and end."""

    def __init__(self) -> None:
        self._clocks: list[Clock] = []

    def of(self, cpu: Cpu) -> Clock:
        """The CPU's own clock."""
        clocks = self._clocks
        while len(clocks) <= cpu.index:
            clocks.append([0] * len(clocks) + [1])
        return clocks[cpu.index]

    def spawned(self, cpu: Cpu, child: Cpu) -> None:
        """The child knows what its parent knew; the parent goes on to its next count."""
        mine = self.of(cpu)
        join(self.of(child), mine)
        mine[cpu.index] += 1

    def joined(self, cpu: Cpu, child: Cpu) -> None:
        """Whoever saw the child end knows what it knew."""
        join(self.of(cpu), self.of(child))
