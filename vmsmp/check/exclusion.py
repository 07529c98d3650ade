"""Mutual exclusion: no lock has two exclusive owners, or an exclusive and a shared one.

INV-SP1, INV-TK2, INV-LK2 by the ghost: ownership begins after the operation that grants it and ends
before the one that gives it up, so two owners at once in the ghost are two in truth, in the free
engine too.
"""

from __future__ import annotations

from vmsmp.engine.cpu import Cpu
from vmsmp.sync.lock import EXCLUSIVE, Lock
from vmsmp.sync.observer import LockObserver


class Exclusion(LockObserver):
    """Fails the CPU that was granted a lock it should not have."""

    def acquired(self, cpu: Cpu, lock: Lock, mode: str, tried: bool) -> None:
        if len(lock.holders) == 1:
            return  # that is `cpu` itself
        for other, other_mode in list(lock.holders):
            if other is not cpu and EXCLUSIVE in (mode, other_mode):
                cpu.machine.fail(
                    "check",
                    f"mutual exclusion: {lock} is held {mode} and {other_mode} at once",
                    [f"{cpu} was granted it {mode}", f"{other} holds it {other_mode}"],
                )
