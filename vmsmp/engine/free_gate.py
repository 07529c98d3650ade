"""Waiting for a condition where CPUs are parallel: the gate of the free engine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from vmsmp.engine.clock import HZ
from vmsmp.engine.free_cpu import FreeCpu
from vmsmp.engine.wait import GRANTED, Wait, WaitEnd, WaitMode
from vmsmp.errors import Halt

#: Seconds for which a waiting CPU sleeps in the host before it looks whether all is over.
NAP_S: Final = 0.02


class Resting(Protocol):
    """What a gate needs of the execution it is part of."""

    halting: bool
    machine: Any

    @property
    def current(self) -> FreeCpu:
        """The CPU whose thread asks."""

    @property
    def ticks(self) -> int:
        """The time."""

    def point(self, code: int) -> None:
        """Stand before an operation."""

    def resume(self, cpu: FreeCpu) -> None:
        """A wait in the host is over."""


class FreeGate:
    """Looks at its conditions under one host lock (`protocol.Gate`)."""

    __slots__ = ("_condition", "_engine", "_modes", "_waiting", "host")

    def __init__(self, engine: Resting) -> None:
        self._engine = engine
        self.host = threading.RLock()
        self._condition = threading.Condition(self.host)
        self._waiting = 0
        self._modes: dict[WaitMode, int] = {}

    def enter(
        self,
        code: int,
        ready: Callable[[Any], bool],
        take_it: Callable[[Any], Any],
        wait: Wait,
        timeout: int | None = None,
    ) -> Any:
        engine = self._engine
        engine.point(code)
        cpu = engine.current
        cpu.wait_end = GRANTED
        due = None if timeout is None else engine.ticks + max(1, timeout)
        with self.host:
            if ready(cpu) or self._wait(cpu, ready, wait, timeout):
                result = take_it(cpu)
                if self._waiting:
                    self._condition.notify_all()
                return result
        if cpu.wait_end:
            return None
        cpu.wants = None
        engine.machine.take_interrupts(cpu)
        return self.enter(code, ready, take_it, wait, None if due is None else due - engine.ticks)

    def _wait(self, cpu: FreeCpu, ready: Callable[[Any], bool], wait: Wait, timeout: int | None) -> bool:
        """Wait in the host until `ready`; False if the time was up or an interrupt came first."""
        engine = self._engine
        deadline = None if timeout is None else time.monotonic() + max(1, timeout) / HZ
        cpu.wants = wait
        cpu.deadline = None if timeout is None else engine.ticks + timeout
        cpu.blocked = True
        self._waiting += 1
        self._modes[wait.mode] = self._modes.get(wait.mode, 0) + 1
        try:
            while not ready(cpu):
                if engine.halting:
                    raise Halt
                if deadline is not None and time.monotonic() >= deadline:
                    cpu.wait_end = WaitEnd.TIMEOUT
                    return False
                if engine.machine.interrupts(cpu):
                    return False
                self._condition.wait(NAP_S)
        finally:
            self._waiting -= 1
            self._modes[wait.mode] -= 1
            cpu.deadline = None
            engine.resume(cpu)
        cpu.wants = None
        return True

    def waits(self, mode: WaitMode) -> bool:
        return self._modes.get(mode, 0) > 0

    def changed(self) -> None:
        with self.host:
            self._condition.notify_all()

    def alter(self, code: int, change: Callable[[Any], Any]) -> Any:
        engine = self._engine
        engine.point(code)
        with self.host:
            result = change(engine.current)
            if self._waiting:
                self._condition.notify_all()
        return result
