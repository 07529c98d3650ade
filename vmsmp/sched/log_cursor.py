"""Reading the engine's log from where the last look ended.

Schedulers that sample partial orders must see every operation, also those that left no choice.  They
read them off the log, which costs nothing while nobody asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vmsmp.engine.cpu import Cpu

#: A CPU's spawns from the boot CPU: `(0, 2)` is the third child of the boot CPU's first child.  It is
#: the same in every run of a program, in whatever order CPUs are spawned.
SpawnPath = tuple[int, ...]


class LogCursor:
    """Follows one run at a time.  Call `spawned` for every CPU."""

    __slots__ = ("_at", "_running", "log", "parents", "paths")

    def __init__(self) -> None:
        self.log: list[int] = []
        # invariant: one entry a CPU, by index
        self.paths: list[SpawnPath] = []
        self.parents: list[int] = []
        self._at = 0
        self._running = 0

    def spawned(self, cpu: Cpu) -> None:
        """Note a new CPU; the boot CPU starts a new run."""
        engine = cpu.machine.engine
        if cpu.index == 0:
            self.log = engine.log
            self.paths = [()]
            self.parents = [0]
            self._at = self._running = 0
            return
        parent = engine.current.index
        nth = self.parents.count(parent) - (parent == 0)
        self.paths.append((*self.paths[parent], nth))
        self.parents.append(parent)

    def advance(self) -> Iterator[tuple[int, int]]:
        """Yield (CPU index, operation) for every step since the last call."""
        log = self.log
        running = self._running
        for code in log[self._at :]:
            if code < 0:
                running = -1 - code
            else:
                yield running, code
        self._at = len(log)
        self._running = running
