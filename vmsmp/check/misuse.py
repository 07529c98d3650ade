"""Lock misuse: what the kernel asserts or forbids, even if it does no harm this time.

INV-SP5, INV-TK5, INV-TK8: no sleep while a spinlock is held, no release of a lock that another CPU holds, no
exclusive request over the CPU's own shared hold, no recursion on a spinlock, no sleep with PINTERLOCKED on an
ident that was not interlocked (in the kernel such a sleep returns at once, unnoticed).
Recursion on the CPU's own exclusive token never waits, so it is allowed with a spinlock held.
(Tokens out of LIFO order are caught by the token itself, as in the kernel.)
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from vmsmp.engine.cpu import Cpu
from vmsmp.engine.machine import Machine
from vmsmp.engine.wait import WaitEnd
from vmsmp.sync.ident import ident_name
from vmsmp.sync.lock import EXCLUSIVE, SHARED, Lock
from vmsmp.sync.observer import LockObserver

#: How many announcements are remembered for each CPU; the oldest are forgotten.
ANNOUNCED: Final = 64


def _held_spinlock(cpu: Cpu) -> Lock | None:
    for hold in cpu.held:
        if hold.lock.kind == "spinlock":
            lock: Lock = hold.lock
            return lock
    return None


class Misuse(LockObserver):
    """Fails the CPU that misuses a lock or a sleep."""

    def __init__(self) -> None:
        #: The idents that each CPU has announced, and not slept on since.
        self._announced: dict[Cpu, deque[Any]] = {}

    def begin(self, machine: Machine) -> None:
        self._announced = {}

    def wants(self, cpu: Cpu, lock: Lock, mode: str) -> None:
        if not cpu.held:
            return
        sleepable = lock.sleepable
        for hold in cpu.held:
            held = hold.lock
            if held is lock or (sleepable and held.kind == "spinlock"):
                self._suspect(cpu, lock, mode)
                return

    def _suspect(self, cpu: Cpu, lock: Lock, mode: str) -> None:
        """Judge a request for a lock that the CPU holds, or for one that sleeps while it holds a spinlock."""
        recursion = lock.kind == "token" and cpu.holds(lock, EXCLUSIVE)
        spin = _held_spinlock(cpu)
        if lock.sleepable and spin is not None and not recursion:
            cpu.machine.fail(
                "lock-misuse",
                f"{lock} wanted, which may sleep, with {spin} held",
                [f"{cpu} wants {lock} {mode}"],
            )
        for hold in cpu.held:
            if hold.lock is not lock:
                continue
            if lock.kind == "spinlock":
                cpu.machine.fail(
                    "lock-misuse",
                    f"{lock} wanted {mode} by the CPU that holds it {hold.mode}",
                    [f"{cpu} would spin on itself for ever"],
                )
            if mode == EXCLUSIVE and not cpu.holds(lock, EXCLUSIVE):
                cpu.machine.fail(
                    "lock-misuse",
                    f"{lock} wanted exclusive over the CPU's own shared hold",
                    [f"{cpu} waits for itself"],
                )

    def interlocked(self, cpu: Cpu, ident: Any) -> None:
        self._announced.setdefault(cpu, deque(maxlen=ANNOUNCED)).append(ident)

    def commits(self, cpu: Cpu, ident: Any) -> None:
        if ident not in self._announced.get(cpu, ()):
            cpu.machine.fail(
                "lock-misuse",
                f"tsleep on {ident_name(ident)} with PINTERLOCKED, which was not interlocked",
                [f"{cpu} would not sleep; without PINTERLOCKED, or after tsleep_interlock, it would"],
            )

    def woken(self, cpu: Cpu, ident: Any, why: WaitEnd) -> None:
        # a sleep for a lock in between leaves the announcement of another one as it is
        announced = self._announced.get(cpu, ())
        if ident in announced:
            left = [other for other in announced if other != ident]
            self._announced[cpu] = deque(left, maxlen=ANNOUNCED)

    def blocking(self, cpu: Cpu, what: str) -> None:
        spin = _held_spinlock(cpu)
        if spin is not None:
            cpu.machine.fail("lock-misuse", f"blocking point with {spin} held", [f"{cpu} enters: {what}"])

    def released(self, cpu: Cpu, lock: Lock, mode: str) -> None:
        for hold in cpu.held:
            if hold.lock is lock:
                return
        if mode == SHARED or not cpu.machine.curcpu.machine.violation:
            cpu.machine.fail(
                "lock-misuse",
                f"{lock} released by a CPU that does not hold it",
                [f"{cpu} released it", f"it is {lock.state()}"],
            )
