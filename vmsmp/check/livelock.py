"""Livelock: CPUs run and nothing comes of it.

The engine notices (its step limit, on fair picks from half of it on; or only spinning is left);
this observer says who turned in which circle: the operations each CPU repeated in the last steps.
"""

from __future__ import annotations

from collections import Counter

from vmsmp.engine import trace
from vmsmp.engine.machine import Machine
from vmsmp.engine.observer import Observer

#: Steps, from the end, in which a circle is looked for.
WINDOW = 400


class Livelock(Observer):
    """Turns a run without end into a verdict that names the circle."""

    free = False

    def endless(self, machine: Machine, why: str) -> None:
        assert machine.engine.controlled
        log = machine.engine.log
        recent: dict[int, Counter[int]] = {}
        start = max(0, len(log) - WINDOW)
        while start and log[start] >= 0:
            start -= 1  # back to a mark that says whose steps these are
        for index, code in trace.steps(log[start:]):
            recent.setdefault(index, Counter())[code] += 1
        facts = []
        for index in sorted(recent):
            done = ", ".join(
                f"{machine.describe(code)} x{times}"
                for code, times in sorted(recent[index].items(), key=lambda i: (-i[1], i[0]))[:4]
            )
            facts.append(f"{machine.cpus[index]} repeats: {done}")
        facts += [f"{cpu} wants: {cpu.wants.mode} {cpu.wants.what}" for cpu in machine.cpus if cpu.wants]
        machine.fail("livelock", why, facts)
