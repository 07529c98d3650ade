"""Callouts in one step each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vmsmp.engine import ops
from vmsmp.engine.wait import Wait, WaitMode
from vmsmp.sync.callout.callout import CALLOUT_ACTIVE, Callout
from vmsmp.sync.callout.softclock import Softclock
from vmsmp.sync.services import Services
from vmsmp.sync.token import leave_tokens, regain_tokens


class _Flags:
    """Flags that are accessed in steps of their callout."""

    __slots__ = ("value",)

    def __init__(self, value: int) -> None:
        self.value = value

    def load(self) -> int:
        return self.value

    peek = load

    def setbits(self, bits: int) -> None:
        self.value |= bits

    def clearbits(self, bits: int) -> None:
        self.value &= ~bits


class AtomicCallout(Callout):
    """The callout without its spinlocks."""

    def __init__(self, machine: Services, softclock: Softclock, name: str | None, lock: Any) -> None:
        super().__init__(machine, softclock, name, lock)
        self._gate = softclock.gate
        self._code = softclock.ident << ops.KIND_BITS

    def make_flags(self, value: int) -> Any:
        return _Flags(value)

    def step(self, change: Callable[[], Any]) -> Any:
        """Do `change` as one visible operation."""
        return self._gate.alter(self._code | ops.RMW, lambda _cpu: change())

    alone = step

    def reset(self, ticks: int, func: Callable[..., object], *args: Any) -> None:
        self.check_use()

        def change() -> None:
            self.flags.setbits(CALLOUT_ACTIVE)
            self.ask_reset((self.machine.ticks + max(1, ticks), func, args))

        self.step(change)
        self.softclock.kick()

    def withdraw(self, request: int, wait: bool) -> bool:
        self.check_use()

        def change() -> None:
            self.flags.clearbits(CALLOUT_ACTIVE)
            self.ask_withdrawal(request)

        self.step(change)
        if wait and not self.called_here() and self.step(lambda: self.flags.value & request):
            self.cancel_lock()
            leave_tokens(self.machine, f"wait for {self}")
            self._gate.enter(
                self._code | ops.SLEEP,
                lambda _cpu: not self.flags.value & request,
                lambda _cpu: None,
                Wait(self, WaitMode.SLEEP),
            )
            regain_tokens(self.machine)
            self.uncancel_lock()
        return bool(self.step(self.result))

    def active(self) -> bool:
        return bool(self.step(super().active))

    def pending(self) -> bool:
        return bool(self.step(super().pending))

    def wake(self) -> None:
        """Do nothing: waiters look again after every step."""
