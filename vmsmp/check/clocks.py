"""Vector clocks: what each CPU knows of every other CPU's time (Mattern, 1989).

A clock is a list of counts by CPU index, as long as necessary.  A CPU's own count starts at 1 and grows
with every release: what the CPU did at count n is known to another CPU whose clock holds at least n for
it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vmsmp.engine.cpu import Cpu

Clock = list[int]


def known(clock: Sequence[int], index: int) -> int:
    """Return the clock's count for the CPU of that index."""
    return clock[index] if index < len(clock) else 0


def join(mine: Clock, theirs: Sequence[int]) -> None:
    """Raise each count of `mine` to at least that of `theirs`."""
    mine += theirs[len(mine) :]
    for n, count in enumerate(theirs):
        if count > mine[n]:  # noqa: PLR1730 - a call of max costs more than all the rest
            mine[n] = count


class Clocks:
    """One clock per CPU of a machine, joined where CPUs start and end."""

    def __init__(self) -> None:
        self._clocks: list[Clock] = []

    def of(self, cpu: Cpu) -> Clock:
        """The CPU's own clock."""
        clocks = self._clocks
        while len(clocks) <= cpu.index:
            clocks.append([0] * len(clocks) + [1])
        return clocks[cpu.index]

    def spawned(self, cpu: Cpu, child: Cpu) -> None:
        """Join the parent's clock into the child's, and advance the parent's own count."""
        mine = self.of(cpu)
        join(self.of(child), mine)
        mine[cpu.index] += 1

    def joined(self, cpu: Cpu, child: Cpu) -> None:
        """Join the clock of the ended child into that of the CPU that joined it."""
        join(self.of(cpu), self.of(child))
