"""The pair strategy: hold one CPU at a place until another is at its own, then let them go.

For what is suspected but rare: two accesses that nothing orders, two waits that would close a cycle.
Each place is taken by one CPU, which is held there; all others go on at random, and who comes to a
place that is taken may take it over.  When every place is taken (`met`) the held CPUs go on at once,
one after the other.  If nobody else can run, one of them goes on before that.  As Razzer (S&P 2019)
and CalFuzzer (CAV 2009) do it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from vmsmp.engine import ops
from vmsmp.engine.scheduler import Scheduler

if TYPE_CHECKING:
    from vmsmp.engine.cpu import Cpu


#: How often a CPU takes the place of one that is held there.
EXCHANGE: Final = 0.5


class Place(NamedTuple):
    """Where a CPU is to be held: before an operation, or before it asks for `wants` while it holds `holds`.

    Locks are named by class or by name.
    """

    code: int = -1
    holds: str = ""
    wants: str = ""

    def taken_by(self, cpu: Cpu) -> bool:
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
    """Brings CPUs to these places at the same time."""

    sees_all = True

    def __init__(self, places: Sequence[Place], seed: int) -> None:
        self.places = tuple(places)
        self._random = random.Random(f"{seed}/rendezvous").random
        #: Whether the CPUs met in the run just made.
        self.met = False
        # invariant: place -> the CPU that is held there
        self._held: dict[int, Cpu] = {}
        self._going: list[Cpu] = []

    def begin(self) -> bool:
        self.met = False
        self._held = {}
        self._going = []
        return True

    def _arrived(self, cpu: Cpu) -> None:
        """Hold the CPU that has just arrived, if it stands at a place."""
        self._held = {
            at: held
            for at, held in self._held.items()
            if held is not cpu and not held.done and self.places[at].taken_by(held)
        }
        if cpu.done:
            return
        here = [at for at, place in enumerate(self.places) if place.taken_by(cpu)]
        empty = [at for at in here if at not in self._held]
        if empty:
            self._held[empty[0]] = cpu
        elif here and self._random() < EXCHANGE:
            self._held[here[0]] = cpu

    def pick(self, current: Cpu, run: list[Cpu]) -> Cpu:
        if not self.met:
            self._arrived(current)
            if len(self._held) == len(self.places):
                self.met = True
                self._going = list(self._held.values())
                if self._random() < 0.5:
                    self._going.reverse()
        while self._going:
            cpu = self._going.pop()
            if cpu in run:
                return cpu
        free = run if self.met else [cpu for cpu in run if cpu not in self._held.values()]
        free = free or run  # nobody else can run: one of the held goes on
        return free[int(self._random() * len(free))]
