"""CPUs that are spawned and have not started.

Starting depends on no other operation, so schedulers that order dependent operations let a CPU start
at once: its first operation is what competes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vmsmp.engine.cpu import Cpu


class UnstartedCpus(list["Cpu"]):
    """CPUs that may not have started.  A list, so that asking whether there are any costs no call."""

    __slots__ = ()

    def spawned(self, cpu: Cpu) -> None:
        """Add a new CPU; the boot CPU starts a new run."""
        if cpu.index:
            self.append(cpu)
        else:
            self.clear()

    def next(self) -> Cpu | None:
        """Remove and return one that has not started; None if there is none."""
        while self:
            cpu = self.pop()
            if not cpu.started:
                return cpu
        return None
