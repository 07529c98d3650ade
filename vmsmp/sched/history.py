"""What has been performed since a scheduler was asked last, and who is who across runs.

Schedulers that sample partial orders must see every operation, also those that left no choice.  They
read them off the engine's log, which costs nothing while nobody asks.
A CPU's *key* is its path of spawns from the boot CPU, `(0, 2)` for the boot CPU's first child's third:
the same in every run, whoever comes first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vmsmp.engine.cpu import Cpu

Key = tuple[int, ...]


class Beginners(list["Cpu"]):
    """CPUs that are spawned and may not have begun; empty, and so false, in most picks.

    Where a CPU begins depends on nobody, so who looks for orders of dependent operations lets it begin
    at once: what competes is its first operation.
    """

    __slots__ = ()

    def spawned(self, cpu: Cpu) -> None:
        """A CPU exists; the boot CPU's begins a run."""
        if cpu.index:
            self.append(cpu)
        else:
            self.clear()

    def next(self) -> Cpu | None:
        """One that has not begun, or None."""
        while self:
            cpu = self.pop()
            if not cpu.started:
                return cpu
        return None


class History:
    """Follows one run at a time; `spawned` must be told of every CPU."""

    __slots__ = ("_at", "_running", "keys", "log", "parents")

    def __init__(self) -> None:
        self.log: list[int] = []
        self.keys: list[Key] = []
        self.parents: list[int] = []
        self._at = 0
        self._running = 0

    def spawned(self, cpu: Cpu) -> None:
        """A CPU exists; the boot CPU's begins a run."""
        engine = cpu.machine.engine
        if cpu.index == 0:
            self.log = engine.log
            self.keys = [()]
            self.parents = [0]
            self._at = self._running = 0
            return
        parent = engine.current.index
        nth = self.parents.count(parent) - (parent == 0)
        self.keys.append((*self.keys[parent], nth))
        self.parents.append(parent)

    def performed(self) -> Iterator[tuple[int, int]]:
        """(CPU index, operation) of every step since the last call."""
        log = self.log
        running = self._running
        for code in log[self._at :]:
            if code < 0:
                running = -1 - code
            else:
                yield running, code
        self._at = len(log)
        self._running = running
