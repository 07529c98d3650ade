"""Directed scheduling: hold CPUs at breakpoints until each is reached, then let them go.

Confirms what is suspected but rare: a race of two unordered accesses, a cycle of two waits.  Each
breakpoint holds one CPU; the others run at random, and one that reaches a breakpoint that is taken may
replace the CPU held there.  When every breakpoint holds a CPU (`met`) they go on at once, one after the
other.  If no other CPU can run, one of the held ones goes on earlier.  Razzer (S&P 2019) and CalFuzzer
(CAV 2009) do the same.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from vmsmp.engine import ops
from vmsmp.engine.scheduler import Scheduler

if TYPE_CHECKING:
    from vmsmp.engine.cpu import Cpu


#: Probability that a CPU replaces the one held at its breakpoint.
EXCHANGE: Final = 0.5


class Breakpoint(NamedTuple):
    """Where to hold a CPU: before an operation, or before it asks for lock `wants` while it holds `holds`.

    Locks are given by class or by name.
    """

    code: int = -1
    holds: str = ""
    wants: str = ""

    def reached_by(self, cpu: Cpu) -> bool:
        """Whether the CPU stands there."""
        if not self.wants:
            return cpu.pending == self.code
        machine = cpu.machine
        ident = ops.object_of(cpu.pending)
        lock = machine.words.get(ident) or machine.find(ident)
        held = [hold.lock for hold in cpu.held]
        return (
            _called(lock, self.wants) and lock not in held and any(_called(lock, self.holds) for lock in held)
        )


def _called(lock: object, name: str) -> bool:
    return name in (getattr(lock, "klass", None), getattr(lock, "name", None))


class Rendezvous(Scheduler):
    """Brings CPUs to the breakpoints at the same time."""

    sees_all = True

    def __init__(self, breakpoints: Sequence[Breakpoint], seed: int) -> None:
        self.breakpoints = tuple(breakpoints)
        self._random = random.Random(f"{seed}/rendezvous").random
        #: Whether all breakpoints held a CPU in the last run.
        self.met = False
        # invariant: number of the breakpoint -> the CPU held there
        self._held: dict[int, Cpu] = {}
        self._going: list[Cpu] = []

    def begin(self) -> bool:
        self.met = False
        self._held = {}
        self._going = []
        return True

    def _arrived(self, cpu: Cpu) -> None:
        """Hold the CPU that has just arrived, if it has reached a breakpoint."""
        self._held = {
            at: held
            for at, held in self._held.items()
            if held is not cpu and not held.done and self.breakpoints[at].reached_by(held)
        }
        if cpu.done:
            return
        here = [at for at, point in enumerate(self.breakpoints) if point.reached_by(cpu)]
        empty = [at for at in here if at not in self._held]
        if empty:
            self._held[empty[0]] = cpu
        elif here and self._random() < EXCHANGE:
            self._held[here[0]] = cpu

    def pick(self, current: Cpu, run: list[Cpu]) -> Cpu:
        if not self.met:
            self._arrived(current)
            if len(self._held) == len(self.breakpoints):
                self.met = True
                self._going = list(self._held.values())
                if self._random() < 0.5:
                    self._going.reverse()
        while self._going:
            cpu = self._going.pop()
            if cpu in run:
                return cpu
        free = run if self.met else [cpu for cpu in run if cpu not in self._held.values()]
        free = free or run  # no other CPU can run: one of the held goes on
        return free[int(self._random() * len(free))]
