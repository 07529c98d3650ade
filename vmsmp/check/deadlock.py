"""Deadlock: no CPU can run, and the wait-for graph says why.

A CPU waits for the holders of the lock it wants, or for the CPU it joins.  A wait for a token is not
an edge: a CPU that waits for one releases its own tokens, so tokens cannot close a cycle.  INV-DL.
"""

from __future__ import annotations

from typing import Any

from vmsmp.engine.cpu import Cpu
from vmsmp.engine.machine import Machine
from vmsmp.engine.wait import WaitMode
from vmsmp.sync.ident import ident_name
from vmsmp.sync.lock import Lock
from vmsmp.sync.observer import LockObserver


class Deadlock(LockObserver):
    """Reports a deadlock, naming the cycle or what the CPUs wait for, and sleeps without any wakeup."""

    def __init__(self) -> None:
        # the names of all idents to which a wakeup was sent
        self._sent: set[str] = set()

    def begin(self, machine: Machine) -> None:
        self._sent = set()

    def wakeup(self, cpu: Cpu, ident: Any, domain: int, woke: int) -> None:
        self._sent.add(ident_name(ident))

    def idle(self, machine: Machine) -> None:
        if any(cpu.deadline is not None for cpu in machine.cpus):
            return  # a timeout will wake a CPU
        for cpu in machine.cpus:
            cycle = _cycle(cpu)
            if cycle is not None:
                names = [_wanted(c) for c in cycle]
                first = names.index(min(names))  # the same text wherever in the cycle the search began
                order = names[first:] + names[:first]
                machine.fail(
                    "deadlock",
                    "cycle " + " -> ".join([*order, order[0]]),
                    [_line(c) for c in cycle],
                )
        if machine.engine.anyone_spins():
            return
        waiting = [cpu for cpu in machine.cpus if cpu.wants is not None]
        asleep = [cpu for cpu in waiting if cpu.wants and cpu.wants.mode is not WaitMode.JOIN] or waiting
        what = ", ".join(sorted({_wanted(cpu) for cpu in asleep})) or "nothing known"
        machine.fail(
            "deadlock",
            f"no CPU can run; waited for: {what}",
            [_line(cpu) for cpu in waiting] + self._unsent(waiting) + _states(waiting),
        )

    def _unsent(self, waiting: list[Cpu]) -> list[str]:
        """The sleeps among these waits to which nobody sent a wakeup."""
        waits = [cpu.wants for cpu in waiting if cpu.wants is not None]
        asleep = {ident_name(wait.what) for wait in waits if wait.mode is WaitMode.SLEEP}
        return [f"nobody sent a wakeup to {name}" for name in sorted(asleep - self._sent)]


def waits_for(cpu: Cpu) -> list[Cpu]:
    """Return the CPUs that `cpu` waits for."""
    wait = cpu.wants
    if wait is None:
        return []
    sake = getattr(wait.what, "sake", None)  # the lock that it sleeps for
    what = sake or wait.what
    if isinstance(what, Cpu):
        return [what]
    if isinstance(what, Lock) and what.kind != "token":
        own = sake is not None or wait.mode is not WaitMode.SLEEP
        return [holder for holder, _ in what.holders if holder is not cpu or own]
    return []


def _cycle(start: Cpu) -> list[Cpu] | None:
    """Return a cycle of the wait-for graph through `start`, or None."""
    path: list[Cpu] = []
    seen: set[int] = set()

    def walk(cpu: Cpu) -> bool:
        path.append(cpu)
        for other in waits_for(cpu):
            if other is start:
                return True
            if other.index not in seen:
                seen.add(other.index)
                if walk(other):
                    return True
        path.pop()
        return False

    return path if walk(start) else None


def _states(waiting: list[Cpu]) -> list[str]:
    """Describe the state of the locks and counts that the CPUs wait for."""
    things = dict.fromkeys(cpu.wants.what for cpu in waiting if cpu.wants is not None)
    return [f"{thing} is {thing.state()}" for thing in things if hasattr(thing, "state")]


def _wanted(cpu: Cpu) -> str:
    what: Any = cpu.wants.what if cpu.wants else None
    if isinstance(what, Cpu):
        return "join"
    return getattr(what, "name", None) or str(what)


def _line(cpu: Cpu) -> str:
    held = ", ".join(f"{hold.mode} {hold.lock}" for hold in cpu.held) or "nothing"
    mode = cpu.wants.mode if cpu.wants else ""
    wanted = cpu.wants.what if cpu.wants and isinstance(cpu.wants.what, Cpu) else _wanted(cpu)
    return f"{cpu} holds {held}; waits: {mode} {wanted}"
