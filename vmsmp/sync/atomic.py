"""Free-standing words with atomic operations.

`Atomic` serves the controlled engine, `FreeAtomic` the free one.  The operations themselves are in
`records.word`, which also serves the words inside records.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from vmsmp.engine import ops
from vmsmp.engine.machine import Machine
from vmsmp.records.word import AtomicOps, FreeAtomicOps

#: How a report shows this module's frames (`engine.source`).
FRAMES = "machinery"


class Atomic(AtomicOps):
    """One atomic word of the controlled engine."""

    __slots__ = ("_code", "_engine", "_point", "format", "ident", "name", "value")

    def __init__(
        self,
        machine: Machine,
        value: Any,
        name: str | None = None,
        format: Callable[[Any], str] = repr,
        ident: int | None = None,
    ) -> None:
        self.ident = ident = machine.enroll(self) if ident is None else ident
        self.name = name or f"atomic {ident & 63}.{ident >> 6}"
        self.value = value
        self.format = format
        self._engine = machine.engine
        self._point = machine.point
        self._code = ident << ops.KIND_BITS

    def watch(self, point: Callable[[int], None]) -> None:
        """Route every access from now on through `point`, which calls the engine's own."""
        self._point = point


class FreeAtomic(Atomic, FreeAtomicOps):
    """One atomic word of the free engine."""

    __slots__ = ("_host",)

    def __init__(
        self,
        machine: Machine,
        value: Any,
        name: str | None = None,
        format: Callable[[Any], str] = repr,
        ident: int | None = None,
    ) -> None:
        super().__init__(machine, value, name, format, ident)
        self._host = threading.Lock()
