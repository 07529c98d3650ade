"""Lock misuse: what the kernel asserts or forbids, whether or not it goes wrong this time.

INV-SP5, INV-TK5, INV-TK8: no sleep while a spinlock is held, no release of what another CPU holds, no
exclusive request over the CPU's own shared hold, no recursion on a spinlock.
Recursion on the CPU's own exclusive token never waits, and so may come with a spinlock held.
(Tokens out of LIFO order are caught by the token itself, as in the kernel.)
"""

from __future__ import annotations

from vmsmp.engine.cpu import Cpu
from vmsmp.sync.lock import EXCLUSIVE, SHARED, Lock
from vmsmp.sync.observer import LockObserver


def _held_spinlock(cpu: Cpu) -> Lock | None:
    for hold in cpu.held:
        if hold.lock.kind == "spinlock":
            lock: Lock = hold.lock
            return lock
    return None


class Misuse(LockObserver):
    """Fails the CPU that does what it must not."""

    def wants(self, cpu: Cpu, lock: Lock, mode: str) -> None:
        if not cpu.held:
            return
        if lock.sleepable and not (lock.kind == "token" and cpu.holds(lock, EXCLUSIVE)):
            spin = _held_spinlock(cpu)
            if spin is not None:
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
