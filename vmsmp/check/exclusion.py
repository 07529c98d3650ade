"""Mutual exclusion: no lock has two exclusive owners, or an exclusive and a shared one.

Checks INV-SP1, INV-TK2 and INV-LK2 on ghost ownership, which begins after the operation that grants the
lock and ends before the one that releases it.  Two ghost owners at once are therefore two real owners,
in the free engine too.
"""

from __future__ import annotations

from vmsmp.engine.cpu import Cpu
from vmsmp.sync.lock import EXCLUSIVE, Lock
from vmsmp.sync.observer import LockObserver


class Exclusion(LockObserver):
    """Reports a CPU that was granted a lock in conflict with another holder."""

    def acquired(self, cpu: Cpu, lock: Lock, mode: str, tried: bool) -> None:
        if len(lock.holders) == 1:
            return  # `cpu` is the only holder
        for other, other_mode in list(lock.holders):
            if other is not cpu and EXCLUSIVE in (mode, other_mode):
                cpu.machine.fail(
                    "check",
                    f"mutual exclusion: {lock} is held {mode} and {other_mode} at once",
                    [f"{cpu} was granted it {mode}", f"{other} holds it {other_mode}"],
                )
