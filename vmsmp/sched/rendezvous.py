"""The pair strategy: hold one CPU at a place until another is at its own, then let them go.

For what is suspected but rare: two accesses that nothing orders, two waits that would close a cycle.
Each place is taken by one CPU, which is held there; all others go on at random.  When every place is
taken (`met`) the held CPUs go on at once, one after the other in random order.  If nobody else can
run, one of them is let go: then they did not meet this time.  As Razzer (S&P 2019) and CalFuzzer
(CAV 2009) do it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from vmsmp.engine import ops
from vmsmp.engine.scheduler import Scheduler

if TYPE_CHECKING:
    from vmsmp.engine.cpu import Cpu


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
        self._rng = random.Random(f"{seed}/rendezvous")
        #: Whether the CPUs met in the run just made.
        self.met = False
        # invariant: place -> the CPU held there, and the operation it stands before
        self._held: dict[int, Cpu] = {}
        self._released: tuple[int, int] = (-1, -1)
        self._going: list[Cpu] = []

    def begin(self) -> bool:
        self.met = False
        self._held = {}
        self._released = (-1, -1)
        self._going = []
        return True

    def _look(self, cpus: list[Cpu]) -> None:
        """See who stands where, runnable or not."""
        for at, place in enumerate(self.places):
            held = self._held.get(at)
            if held is not None and (held.done or not place.taken_by(held)):
                del self._held[at]
                held = None
            if held is not None:
                continue
            for cpu in cpus:
                here = (cpu.index, cpu.pending)
                if (
                    not cpu.done
                    and cpu not in self._held.values()
                    and here != self._released
                    and place.taken_by(cpu)
                ):
                    self._held[at] = cpu
                    break

    def pick(self, current: Cpu, run: list[Cpu]) -> Cpu:
        if not self.met:
            self._look(current.machine.cpus)
            if len(self._held) == len(self.places):
                self.met = True
                self._going = list(self._held.values())
                self._rng.shuffle(self._going)
        while self._going:
            cpu = self._going.pop()
            if cpu in run:
                return cpu
        free = run if self.met else [cpu for cpu in run if cpu not in self._held.values()]
        if not free:
            cpu = run[int(self._rng.random() * len(run))]
            self._released = (cpu.index, cpu.pending)
            return cpu
        return free[int(self._rng.random() * len(free))]
