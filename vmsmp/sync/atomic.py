"""Words with atomic operations, sequentially consistent, each one visible operation.

Operations that change the value return the old one, as the kernel's `atomic_fetchadd` does;
`cmpset` returns whether it stored, `fcmpset` also what it found.  A `cmpset` that fails changed
nothing and is logged as such, so a spin on it counts as only reading.

`Atomic` serves the controlled engine, where a step is atomic by itself; `FreeAtomic` the free one,
where a host lock around the one operation makes it so.  It is never held across a switch point.
The operations themselves are written once and also serve the words inside records (`sync.field`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vmsmp.engine import ops

if TYPE_CHECKING:
    from vmsmp.engine.cpu import Cpu
    from vmsmp.engine.machine import Machine
    from vmsmp.engine.protocol import Engine

#: What a report makes of this module's frames (`engine.source`).
FRAMES = "machinery"


class AtomicOps:
    """The operations, for whatever has a value, a code, a name and the engine's door.

    `format` turns a value into words for a report.
    """

    __slots__ = ()

    value: Any
    name: str
    format: Callable[[Any], str]
    _code: int
    _point: Callable[[int], None]
    _engine: Engine[Cpu]

    def load(self) -> Any:
        self._point(self._code | ops.ATOMIC_LOAD)
        return self.value

    def store(self, value: Any) -> None:
        self._point(self._code | ops.ATOMIC_STORE)
        self.value = value

    def fetchadd(self, n: int) -> int:
        """Add `n`, return the value before."""
        self._point(self._code | ops.FETCHADD)
        old: int = self.value
        self.value = old + n
        return old

    def swap(self, value: Any) -> Any:
        """Store `value`, return the one before."""
        self._point(self._code | ops.SWAP)
        old, self.value = self.value, value
        return old

    def cmpset(self, old: Any, new: Any) -> bool:
        """Store `new` if the value is `old`; say whether it was."""
        self._point(self._code | ops.CMPSET)
        if self.value == old:
            self.value = new
            return True
        self._engine.failed()
        return False

    def fcmpset(self, old: Any, new: Any) -> tuple[bool, Any]:
        """`cmpset` that also returns the value it found."""
        self._point(self._code | ops.CMPSET)
        found = self.value
        if found == old:
            self.value = new
            return True, found
        self._engine.failed()
        return False, found

    def setbits(self, bits: int) -> int:
        """OR `bits` in, return the value before."""
        self._point(self._code | ops.SETBITS)
        old: int = self.value
        self.value = old | bits
        return old

    def clearbits(self, bits: int) -> int:
        """Clear `bits`, return the value before."""
        self._point(self._code | ops.CLEARBITS)
        old: int = self.value
        self.value = old & ~bits
        return old

    def rmw(self, fn: Callable[[Any], Any]) -> Any:
        """Make the value `fn(old)` in one step, return the one before.  `fn` touches nothing shared."""
        self._point(self._code | ops.RMW)
        old = self.value
        self.value = fn(old)
        return old

    def peek(self) -> Any:
        """Read it unseen: for checkers and tests, never for a program."""
        return self.value

    def state(self) -> str:
        """The value as a report shows it."""
        return self.format(self.value)

    def __repr__(self) -> str:
        return self.name


class FreeAtomicOps(AtomicOps):
    """The same operations where CPUs are truly parallel: each under the word's host lock."""

    __slots__ = ()

    _host: threading.Lock

    def fetchadd(self, n: int) -> int:
        self._point(self._code | ops.FETCHADD)
        with self._host:
            old: int = self.value
            self.value = old + n
        return old

    def store(self, value: Any) -> None:
        self._point(self._code | ops.ATOMIC_STORE)
        with self._host:  # a store must not fall between another's read and write
            self.value = value

    def swap(self, value: Any) -> Any:
        self._point(self._code | ops.SWAP)
        with self._host:
            old, self.value = self.value, value
        return old

    def cmpset(self, old: Any, new: Any) -> bool:
        return self.fcmpset(old, new)[0]

    def fcmpset(self, old: Any, new: Any) -> tuple[bool, Any]:
        self._point(self._code | ops.CMPSET)
        with self._host:
            found = self.value
            if found == old:
                self.value = new
                return True, found
        return False, found

    def setbits(self, bits: int) -> int:
        return int(self.rmw(lambda old: old | bits))

    def clearbits(self, bits: int) -> int:
        return int(self.rmw(lambda old: old & ~bits))

    def rmw(self, fn: Callable[[Any], Any]) -> Any:
        self._point(self._code | ops.RMW)
        with self._host:
            old = self.value
            self.value = fn(old)
        return old


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
