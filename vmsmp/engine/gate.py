"""Waiting for a condition under control: how the locks of the atomic depth are granted.

A CPU that waits at a gate is not runnable until its condition holds; whoever changes the state behind
the conditions has them looked at again.  The free engine has its own (`free.FreeGate`), with the same
methods.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from vmsmp.engine.cpu import Cpu, Wait, WaitEnd, WaitMode

if TYPE_CHECKING:
    from vmsmp.engine.controlled import ControlledEngine


#: In place of a host lock, where a step is atomic by itself.
UNDIVIDED: Final = contextlib.nullcontext()


class Gate:
    """Waiting for a condition, and taking it, as one visible operation.

    A CPU whose `ready(cpu)` is false is not runnable; every change looks at the waiting ones again.
    The conditions read model state only, so a gate never decides by host time.
    """

    __slots__ = ("engine", "waiting")

    #: What the free engine's gates protect their state with.
    host: Final = UNDIVIDED

    def __init__(self, engine: ControlledEngine) -> None:
        self.engine = engine
        self.waiting: list[tuple[Cpu, Callable[[Cpu], bool]]] = []

    def enter(
        self,
        code: int,
        ready: Callable[[Cpu], bool],
        take_it: Callable[[Cpu], Any],
        wait: Wait,
        timeout: int | None = None,
    ) -> Any:
        """Stand before `code` until `ready(cpu)`, then `take_it(cpu)` in the same step.

        With a `timeout`, in ticks, the wait may end without it: then `cpu.wait_end` says how and
        None is returned.
        """
        engine = self.engine
        cur = engine.current
        entry = (cur, ready)
        waiting = self.waiting
        waiting.append(entry)
        cur.wants = wait
        cur.wait_end = WaitEnd.GRANTED
        try:
            if not ready(cur):
                if timeout is None:
                    engine._stop(cur)
                else:
                    engine._park(cur, timeout)
            engine.point(code)
        finally:  # a CPU that failed alone is waited for by nobody
            waiting.remove(entry)
        cur.wants = None
        if timeout is not None and cur.wait_end and not ready(cur):
            return None
        result = take_it(cur)
        if waiting:
            self.changed()
        return result

    def alter(self, code: int, change: Callable[[Cpu], Any]) -> Any:
        """Do `change(cpu)` as the one visible operation `code`; never waits."""
        engine = self.engine
        engine.point(code)
        result = change(engine.current)
        if self.waiting:
            self.changed()
        return result

    def waits(self, mode: WaitMode) -> bool:
        """Whether a CPU waits here in that mode."""
        return any(cpu.wants is not None and cpu.wants.mode is mode for cpu, _ in self.waiting)

    def changed(self) -> None:
        """The state behind the conditions has changed: who can go on is looked at again."""
        engine = self.engine
        run = engine.run
        for cpu, ready in self.waiting:
            if ready(cpu):
                if cpu not in run:
                    engine.ready(cpu)
            elif cpu in run and not cpu.wait_end:
                run.remove(cpu)
