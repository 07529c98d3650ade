"""Waiting for a condition under control: how the locks of the atomic depth are granted.

A CPU that waits at a gate is not runnable until its condition holds.  Every change of the state behind
the conditions checks them again.  The free engine has its own (`free_gate`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Container
from typing import Any, Final, Protocol

from vmsmp.engine.cpu import Cpu
from vmsmp.engine.wait import GRANTED, Wait, WaitMode

#: In place of a host lock, where a step is atomic by itself.
UNDIVIDED: Final = contextlib.nullcontext()


class Runnable(Protocol):
    """What a gate needs of the execution it is part of, which knows its own CPUs."""

    @property
    def current(self) -> Cpu:
        """The running CPU."""

    @property
    def run(self) -> Container[Cpu]:
        """The CPUs that can run."""

    @property
    def machine(self) -> Any:
        """Whose execution it is."""

    def point(self, code: int) -> None:
        """Stand before an operation."""

    def ready(self, cpu: Any) -> None:
        """`cpu` can run again."""

    def stop(self, cpu: Any) -> None:
        """`cpu` cannot run until it is made ready."""

    def park(self, cpu: Any, timeout: int | None) -> None:
        """As `stop`, of a wait that may end by a timeout."""

    def unready(self, cpu: Any, due: int | None) -> None:
        """`cpu` was made ready too soon; its wait may end by a timeout at `due`."""

    def attend(self, cpu: Any) -> None:
        """An interrupt ended the wait of `cpu`: take it."""

    @property
    def ticks(self) -> int:
        """The time."""


class Gate:
    """Grants in the step in which the condition is looked at last (`protocol.Gate`)."""

    __slots__ = ("_point", "engine", "waiting")

    host: Final = UNDIVIDED

    def __init__(self, engine: Runnable) -> None:
        self.engine = engine
        self._point = engine.point
        # CPUs of its engine, what each waits for, and when its time is up
        self.waiting: list[tuple[Any, Callable[[Cpu], bool], int | None]] = []

    def enter(
        self,
        code: int,
        ready: Callable[[Cpu], bool],
        take_it: Callable[[Cpu], Any],
        wait: Wait,
        timeout: int | None = None,
    ) -> Any:
        """Stand before `code` until `ready(cpu)`, then `take_it(cpu)` in the same step."""
        engine = self.engine
        cur: Any = engine.current  # a CPU of its engine
        due = None if timeout is None else engine.ticks + max(1, timeout)
        entry = cur, ready, due
        waiting = self.waiting
        waiting.append(entry)
        cur.wants = wait
        cur.wait_end = GRANTED
        try:
            if not ready(cur):
                if engine.machine.interrupts(cur):
                    cur.roused = True
                elif timeout is None:
                    engine.stop(cur)
                else:
                    engine.park(cur, max(1, timeout))
            self._point(code)
        finally:  # a CPU that failed must not stay in the list
            if waiting[-1] is entry:  # it mostly is that one
                waiting.pop()
            else:
                waiting.remove(entry)
        cur.wants = None
        if cur.roused or (cur.latched and not cur.closed):  # an interrupt came, which goes before the grant
            engine.attend(cur)
            return self.enter(code, ready, take_it, wait, None if due is None else due - engine.ticks)
        if due is not None and cur.wait_end and not ready(cur):
            return None
        result = take_it(cur)
        if waiting:
            self.changed()
        return result

    def alter(self, code: int, change: Callable[[Cpu], Any]) -> Any:
        """Do `change(cpu)` as the one visible operation `code`."""
        self._point(code)
        result = change(self.engine.current)
        if self.waiting:
            self.changed()
        return result

    def waits(self, mode: WaitMode) -> bool:
        """Whether a CPU waits here in that mode."""
        return any(cpu.wants is not None and cpu.wants.mode is mode for cpu, _, _ in self.waiting)

    def changed(self) -> None:
        """Look again who can go on."""
        engine = self.engine
        run = engine.run
        for cpu, ready, due in self.waiting:
            if ready(cpu):
                if cpu not in run:
                    engine.ready(cpu)
            elif cpu in run and not cpu.wait_end and not cpu.roused:
                if engine.machine.interrupts(cpu):  # one came while it could go on
                    cpu.roused = True
                else:
                    engine.unready(cpu, due)
