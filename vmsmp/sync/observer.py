"""The hooks by which checkers see locks, sleeps and wakeups."""

from __future__ import annotations

from typing import Any

from vmsmp.engine.cpu import Cpu
from vmsmp.engine.observer import Observer
from vmsmp.engine.wait import WaitEnd


class LockObserver(Observer):
    """Events of locks and sleep queues.  Override what you need; the rest costs nothing."""

    interface = True

    def wants(self, cpu: Cpu, lock: Any, mode: str) -> None:
        """`cpu` asks for `lock`, and may have to wait for it."""

    def acquired(self, cpu: Cpu, lock: Any, mode: str, tried: bool) -> None:
        """`cpu` holds `lock` now; `tried` if it would not have waited."""

    def released(self, cpu: Cpu, lock: Any, mode: str) -> None:
        """`cpu` is about to release `lock`."""

    def blocking(self, cpu: Cpu, what: str) -> None:
        """`cpu` enters a blocking point."""

    def interlocked(self, cpu: Cpu, ident: Any) -> None:
        """`cpu` announced that it may sleep on `ident`."""

    def commits(self, cpu: Cpu, ident: Any) -> None:
        """`cpu` asks to sleep on `ident`, which it has announced before (PINTERLOCKED)."""

    def sleeps(self, cpu: Cpu, ident: Any) -> None:
        """`cpu` goes to sleep on `ident`."""

    def woken(self, cpu: Cpu, ident: Any, why: WaitEnd) -> None:
        """`cpu` returns from a sleep, or without having slept (`WaitEnd.BEFORE`)."""

    def wakeup(self, cpu: Cpu, ident: Any, domain: int, woke: int) -> None:
        """`cpu` sent a wakeup to `ident` in `domain` that reached `woke` sleepers or interlocked CPUs."""
