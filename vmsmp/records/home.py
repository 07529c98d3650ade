"""What a record expects of the subsystem that it hangs off, and of that one's machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from vmsmp.engine.cpu import Cpu
from vmsmp.engine.hooks import Hooks


class Spin(Protocol):
    """A record's spinlock, as records and kernel functions use it."""

    @property
    def holders(self) -> Sequence[tuple[Cpu, Any]]:
        """Who holds it, and in which mode."""

    def acquire(self) -> None:
        """Take it exclusively."""

    def try_acquire(self) -> bool:
        """Take it exclusively if that needs no waiting."""

    def release(self) -> None:
        """Let go of it."""

    def state(self) -> str:
        """Who holds it, for a report."""


class RecordMachine(Protocol):
    """The machine of a record's home."""

    @property
    def cpus(self) -> Sequence[Cpu]:
        """All CPUs, by index."""

    def reserve(self, count: int, finder: Callable[[int], Any]) -> int:
        """Set identities aside, and return the first."""

    def spinlock(self, name: str | None = None, *, ident: int | None = None) -> Any:
        """Make a spinlock with a reserved identity."""


class Home(Protocol):
    """The subsystem: its machine, and what of it is used too often to look up each time."""

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
        """The door through which every visible operation passes."""

    def pool(self, type_: type[Any], size: int | None = None) -> Any:
        """Make a pool for records of that type (see `records.pool.RecordPool`)."""

    @property
    def making(self) -> AbstractContextManager[Any]:
        """Held while something is made by the CPU that needs it first."""
