"""CHESS's fair scheduling (Musuvathi and Qadeer, PLDI 2008): loops that yield come to an end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.sched.policy import mask_of

if TYPE_CHECKING:
    from vmsmp.engine.cpu import Cpu


class Fairness:
    """Priorities among CPUs: one that yields waits for those that it has starved.

    Sets of CPUs are bit masks by index.
    """

    def __init__(self) -> None:
        #: By CPU, those that come before it.
        self._after: dict[int, int] = {}
        # since the CPU's last yield: enabled all the time, disabled by it, and scheduled
        self._enabled: dict[int, int] = {}
        self._disabled: dict[int, int] = {}
        self._scheduled: dict[int, int] = {}

    def may_run(self, run: list[Cpu]) -> list[Cpu]:
        """Return the runnable CPUs that need not wait for another one."""
        if not self._after:
            return run
        mask = mask_of(run)
        return [cpu for cpu in run if not self._after.get(cpu.index, 0) & mask] or run

    def ran(self, index: int, yielded: bool, before: int, now: int) -> None:
        """Take in a step of that CPU; `before` and `now` could run before and after it."""
        me = 1 << index
        if self._after:
            self._after = {other: left for other, mask in self._after.items() if (left := mask & ~me)}
        everyone = before | now | me
        for other in range(everyone.bit_length()):
            if everyone >> other & 1:
                self._enabled[other] = self._enabled.get(other, 0) & now
                self._scheduled[other] = self._scheduled.get(other, -1) | me
        self._disabled[index] = self._disabled.get(index, 0) | (before & ~now)
        if yielded:
            starved = (self._enabled[index] | self._disabled[index]) & ~self._scheduled[index]
            if starved:
                self._after[index] = self._after.get(index, 0) | starved
            self._enabled[index] = now
            self._disabled[index] = self._scheduled[index] = 0
