"""Plain shared memory: words whose loads and stores order nothing.

Each access is one visible operation.  Two unordered accesses, one of them a store, are a data race, unless
the cell is declared sloppy: its readers may miss a store, and its writers overwrite each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from vmsmp.engine import ops
from vmsmp.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from vmsmp.engine.machine import Machine

#: How a report shows this module's frames (`engine.source`).
FRAMES = "machinery"
T = TypeVar("T")


class Cell(Generic[T]):
    """A plain word of any value.  Locks: none.

    `sloppy` says why its accesses may race; None if they may not.
    """

    __slots__ = ("_load", "_point", "_store", "ident", "name", "sloppy", "value")

    def __init__(
        self, machine: Machine, value: T, name: str | None = None, *, sloppy: str | None = None
    ) -> None:
        if sloppy is not None and not sloppy.strip():
            raise UsageError("a sloppy cell needs the reason why it may race")
        self.sloppy = sloppy
        self.ident = ident = machine.enroll(self)
        self.name = name or f"cell {ident & 63}.{ident >> 6}"
        self.value = value
        self._point: Callable[[int], None] = machine.point
        self._load = ident << ops.KIND_BITS | ops.LOAD
        self._store = ident << ops.KIND_BITS | ops.STORE

    def load(self) -> T:
        """Read it: one visible operation."""
        self._point(self._load)
        return self.value

    def store(self, value: T) -> None:
        """Write it: one visible operation."""
        self._point(self._store)
        self.value = value

    def watch(self, point: Callable[[int], None]) -> None:
        """Route every access from now on through `point`, which calls the engine's own."""
        self._point = point

    def peek(self) -> T:
        """Read it invisibly: for checkers and tests, never for a program."""
        return self.value

    def state(self) -> str:
        """The value as a report shows it."""
        return repr(self.value)

    def __repr__(self) -> str:
        return self.name
