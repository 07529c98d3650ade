"""The free engine against itself on one CPU."""

from __future__ import annotations

import statistics
from collections.abc import Callable

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


def free_figures(seconds: float, locks: str = "exact", rounds: int = 3) -> list[Figure]:
    """The free engine on one CPU, on two with a lock each, and on two with one lock."""
    cases = [
        ("1 CPU", hammer(1, shared=True), None),
        ("2 CPUs, disjoint spinlocks", hammer(2, shared=False), 1.5),
        ("2 CPUs, one spinlock", hammer(2, shared=True), None),
    ]
    slot = max(0.2, seconds / (rounds * len(cases)))
    rates: dict[str, list[float]] = {name: [] for name, *_ in cases}
    notes: dict[str, str] = {}
    for _ in range(rounds):
        for name, program, _goal in cases:
            outcome = run(program, engine="free", locks=locks, time_s=slot, perturb=0)
            taken = sum(lock.acquisitions for lock in outcome.locks)
            contested = sum(lock.contested for lock in outcome.locks)
            rates[name].append(taken / outcome.seconds)
            notes[name] = f"{contested / taken:.1%} of grants contested" if taken else ""
    one = statistics.median(rates["1 CPU"])
    figures = []
    for name, _program, goal in cases:
        rate = statistics.median(rates[name])
        figures.append(Figure(f"free, {locks}, {name}", rate, "grants/s", rate / one, goal, notes[name]))
    return figures
