"""Polling for a grant: how primitives of the atomic depth that have no owner are granted.

Each attempt is one visible operation, which succeeds or is refused.  A CPU that is refused waits until
something has changed, and then tries again.  A waiter has no claim: it may be overtaken, as in the real
algorithms, where a woken CPU tries again, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vmsmp.engine import ops
from vmsmp.engine.cpu import Cpu
from vmsmp.engine.wait import Wait, WaitEnd
from vmsmp.sync.errno import EWOULDBLOCK
from vmsmp.sync.services import Services
from vmsmp.sync.token import leave_tokens, regain_tokens

#: How a report shows this module's frames (`engine.source`).
FRAMES = "machinery"


class Asking:
    """The CPUs that were refused, and have no change to look at yet."""

    def __init__(self, machine: Services) -> None:
        self.machine = machine
        self._gate = machine.engine.gate()
        # by index; cleared as a whole, never walked
        self._refused: set[int] = set()

    def change(self, code: int, change: Callable[[Cpu], Any]) -> Any:
        """Do `change(cpu)` as one visible operation, after which all waiters try again."""

        def step(cpu: Cpu) -> Any:
            result = change(cpu)
            self._refused.clear()
            return result

        return self._gate.alter(code, step)

    def once(self, code: int, attempt: Callable[[Cpu], bool]) -> bool:
        """Try once; return whether `attempt(cpu)` succeeded."""
        return bool(self._gate.alter(code, lambda cpu: self._look(cpu, code, attempt)))

    def until(self, code: int, attempt: Callable[[Cpu], bool], wait: Wait, timo: int = 0) -> int:
        """Try until `attempt(cpu)` succeeds; return 0, or EWOULDBLOCK after `timo` ticks (0: never).

        A blocking point if the first attempt fails.
        """
        if self.once(code, attempt):
            return 0
        machine, engine = self.machine, self.machine.engine
        leave_tokens(machine, f"{wait.mode} {wait.what}")
        end = engine.ticks + timo
        error = None
        while error is None:
            left = max(1, end - engine.ticks) if timo else None
            if self._gate.enter(code, self._has_news, lambda cpu: self._look(cpu, code, attempt), wait, left):
                error = 0
            elif engine.current.wait_end is WaitEnd.TIMEOUT:
                error = EWOULDBLOCK
        regain_tokens(machine)
        return error

    def _has_news(self, cpu: Cpu) -> bool:
        return cpu.index not in self._refused

    def _look(self, cpu: Cpu, code: int, attempt: Callable[[Cpu], bool]) -> bool:
        if attempt(cpu):
            return True
        self._refused.add(cpu.index)
        if code - 1 & ops.KIND_MASK in ops.FAILED:
            self.machine.engine.failed()
        return False
