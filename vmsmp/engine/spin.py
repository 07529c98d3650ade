"""Spinning under control: a CPU whose next turn would be the same as its last is held back.

A CPU that only read during its last turn would read the same again as long as no other CPU writes what
it read.  It becomes runnable with the first such write.  If no other CPU can run it gets another turn
all the same, since its loop may count turns.
"""

from __future__ import annotations

from typing import Final

from vmsmp.engine import ops
from vmsmp.engine.controlled_cpu import ControlledCpu

#: How often in a row every CPU may spin with nothing written before that is called a livelock.
SPIN_ROUNDS: Final = 100


def only_read(log: list[int], since: int, cpu: int) -> frozenset[int] | None:
    """What `cpu` read from that place in the log on, or None if it or, after it, anybody wrote that."""
    read: set[int] = set()
    mine = True  # the turn began right after the CPU's own PAUSE
    for code in log[since:]:
        if code < 0:
            mine = -1 - code == cpu
        elif mine:
            if code & 1:
                return None
            read.add(code >> ops.KIND_BITS)
        elif code & 1 and (code >> ops.KIND_BITS in read or code & ops.KIND_MASK == ops.STEP):
            return None
    return frozenset(read)


class Spinners:
    """The CPUs that are held back, and what each of them reads."""

    __slots__ = ("_futile", "_mark", "reads")

    def __init__(self) -> None:
        self.reads: dict[ControlledCpu, frozenset[int]] = {}
        self._futile = 0
        self._mark = 0

    def written(self, ident: int) -> list[ControlledCpu]:
        """Take out and return those who read that object."""
        woken = [cpu for cpu, read in self.reads.items() if ident in read]
        for cpu in woken:
            del self.reads[cpu]
        return woken

    def release(self) -> list[ControlledCpu]:
        """Take out and return all."""
        cpus = list(self.reads)
        self.reads.clear()
        return cpus

    def may_look_again(self, log: list[int]) -> bool:
        """Nobody else can run: whether all may take one more turn."""
        if any(code >= 0 and code & 1 for code in log[self._mark :]):
            self._futile = 0
        self._futile += 1
        self._mark = len(log)
        return self._futile <= SPIN_ROUNDS
