"""The interfaces that a record expects of its subsystem, and of the subsystem's machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from vmsmp.engine.cpu import Cpu
from vmsmp.engine.hooks import Hooks


class Spin(Protocol):
    """A record's spinlock, as used by records and kernel functions."""

    @property
    def holders(self) -> Sequence[tuple[Cpu, Any]]:
        """The CPUs that hold it, with their modes."""

    def acquire(self) -> None:
        """Take it exclusively."""

    def try_acquire(self) -> bool:
        """Take it exclusively if that needs no waiting; return whether it was taken."""

    def release(self) -> None:
        """Release it."""

    def state(self) -> str:
        """Its holders, as text for a report."""


class RecordMachine(Protocol):
    """The machine of a record's home."""

    @property
    def cpus(self) -> Sequence[Cpu]:
        """All CPUs, by index."""

    def reserve(self, count: int, finder: Callable[[int], Any]) -> int:
        """Reserve `count` identities, and return the first."""

    def spinlock(self, name: str | None = None, *, ident: int | None = None) -> Any:
        """Make a spinlock with a reserved identity."""


class Home(Protocol):
    """The subsystem: its machine, and those of the machine's parts that every operation uses."""

    @property
    def machine(self) -> Any:
        """The machine (`RecordMachine` as far as records go)."""

    @property
    def engine(self) -> Any:
        """The machine's engine."""

    @property
    def hooks(self) -> Hooks:
        """The machine's observers."""

    @property
    def point(self) -> Callable[[int], None]:
        """The function that every visible operation calls first."""

    def pool(self, type_: type[Any], size: int | None = None) -> Any:
        """Make a pool for records of `type_` (see `records.pool.RecordPool`)."""

    @property
    def making(self) -> AbstractContextManager[Any]:
        """Held while a CPU makes something on first use."""
