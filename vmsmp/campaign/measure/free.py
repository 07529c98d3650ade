"""The free engine against itself on one CPU."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field

from vmsmp.campaign.free_run import run
from vmsmp.campaign.measure.figure import Figure
from vmsmp.machine import Machine


def hammer(cpus: int, *, shared: bool) -> Callable[[Machine], None]:
    """Each CPU takes and drops a spinlock for ever: its own, or the one that all share."""

    def program(m: Machine) -> None:
        locks = [m.spinlock(f"lock[{n}]") for n in range(1 if shared else cpus)]

        def turn(n: int) -> None:
            lock = locks[n % len(locks)]
            while True:
                lock.acquire()
                lock.release()

        for n in range(cpus):
            m.spawn(turn, n)
        m.join()

    return program


@dataclass
class _Case:
    """One program, measured again and again: grants a second, and how many of the last run's had to wait."""

    name: str
    program: Callable[[Machine], None]
    goal: float | None = None
    rates: list[float] = field(default_factory=list)
    note: str = ""

    def measure(self, seconds: float, locks: str) -> None:
        """Take one more measurement, a longer one where a busy host lets no CPU come to a lock."""
        outcome = run(self.program, engine="free", locks=locks, time_s=seconds, perturb=0)
        taken = sum(lock.acquisitions for lock in outcome.locks)
        if not taken:
            self.measure(2 * seconds, locks)
            return
        contested = sum(lock.contested for lock in outcome.locks)
        self.rates.append(taken / outcome.seconds)
        self.note = f"{contested / taken:.1%} of grants contested"


def free_figures(
    seconds: float, locks: str = "exact", rounds: int = 3, shortest: float = 0.2
) -> list[Figure]:
    """The free engine on one CPU, on two with a lock each, and on two with one lock.

    Each is measured `rounds` times, for `shortest` seconds at least.
    """
    cases = [
        _Case("1 CPU", hammer(1, shared=True)),
        _Case("2 CPUs, disjoint spinlocks", hammer(2, shared=False), 1.5),
        _Case("2 CPUs, one spinlock", hammer(2, shared=True)),
    ]
    slot = max(shortest, seconds / (rounds * len(cases)))
    for _ in range(rounds):
        for case in cases:
            case.measure(slot, locks)
    one = statistics.median(cases[0].rates)
    medians = [(case, statistics.median(case.rates)) for case in cases]
    return [
        Figure(f"free, {locks}, {case.name}", rate, "grants/s", rate / one, case.goal, case.note)
        for case, rate in medians
    ]
