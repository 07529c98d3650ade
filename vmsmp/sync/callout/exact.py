"""Callouts with their spinlocks: each access to the flags is a step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vmsmp.sync.callout.callout import CALLOUT_ACTIVE, Callout, flags_text
from vmsmp.sync.callout.softclock import Softclock
from vmsmp.sync.errno import PINTERLOCKED
from vmsmp.sync.services import Services


class ExactCallout(Callout):
    """The callout under the functions of kern_timeout.c."""

    def __init__(self, machine: Services, softclock: Softclock, name: str | None, lock: Any) -> None:
        super().__init__(machine, softclock, name, lock)
        self.spin = machine.spinlock(f"{self.name}.spin")

    def make_flags(self, value: int) -> Any:
        return self.machine.atomic(value, f"{self.name}.flags", format=flags_text)

    def step(self, change: Callable[[], Any]) -> Any:
        return change()

    def alone(self, change: Callable[[], Any]) -> Any:
        with self.spin:
            return change()

    def reset(self, ticks: int, func: Callable[..., object], *args: Any) -> None:
        self.check_use()
        self.flags.setbits(CALLOUT_ACTIVE)
        with self.spin:
            self.ask_reset((self.machine.ticks + max(1, ticks), func, args))
        self.softclock.kick()

    def withdraw(self, request: int, wait: bool) -> bool:
        self.check_use()
        self.flags.clearbits(CALLOUT_ACTIVE)
        with self.spin:
            self.ask_withdrawal(request)
        if wait and not self.called_here() and self.flags.load() & request:
            self._await(request)
        return self.result()

    def _await(self, request: int) -> None:
        """Sleep until the softclock thread has seen the request."""
        with self.spin:
            self.waiters += 1
        self.cancel_lock()
        while True:
            self.machine.tsleep_interlock(self)
            if not self.flags.fetchadd(0) & request:
                break
            self.machine.tsleep(self, PINTERLOCKED, "costp", overdue=lambda: self._overdue(request))
        self.uncancel_lock()
        with self.spin:
            self.waiters -= 1

    def _overdue(self, request: int) -> str | None:
        return None if self.flags.peek() & request else f"{self.name} is stopped"

    def wake(self) -> None:
        if self.waiters:
            self.machine.wakeup(self)
