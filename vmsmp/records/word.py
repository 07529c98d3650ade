"""Atomic operations, sequentially consistent, each one visible operation; and the words inside records.

Operations that change the value return the old value, as the kernel's `atomic_fetchadd` does;
`cmpset` returns whether it stored, `fcmpset` also the value that it found.  A failed `cmpset` changes
nothing and is logged as failed, so spinning on it counts as reading only.

`AtomicOps` serves the controlled engine, where each step is atomic by itself; `FreeAtomicOps` serves the
free engine, where a host lock makes each operation atomic.  It is never held across a switch point.
A word inside a record takes a quarter of the memory of a free-standing one: its identity and name come
from the record.  Its bits may have locks of their own (`field.Bits`), while others change other bits of it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, ClassVar

from vmsmp.engine import ops
from vmsmp.records.field import Field


class AtomicOps:
    """The operations, for any class with a value, a code, a name and the engine's `point`.

    `format` turns a value into text for a report.
    """

    __slots__ = ()

    value: Any
    name: str
    format: Callable[[Any], str]
    _code: int
    _point: Callable[[int], None]
    _engine: Any

    def load(self) -> Any:
        self._point(self._code | ops.ATOMIC_LOAD)
        return self.value

    def store(self, value: Any) -> None:
        self._point(self._code | ops.ATOMIC_STORE)
        self.value = value

    def fetchadd(self, n: int) -> int:
        """Add `n`; return the old value."""
        self._point(self._code | ops.FETCHADD)
        old: int = self.value
        self.value = old + n
        return old

    def swap(self, value: Any) -> Any:
        """Store `value`; return the old value."""
        self._point(self._code | ops.SWAP)
        old, self.value = self.value, value
        return old

    def cmpset(self, old: Any, new: Any) -> bool:
        """Store `new` if the value is `old`; return whether it was."""
        self._point(self._code | ops.CMPSET)
        if self.value == old:
            self.value = new
            return True
        self._engine.failed()
        return False

    def fcmpset(self, old: Any, new: Any) -> tuple[bool, Any]:
        """Do a `cmpset`; return whether it stored and the value that it found."""
        self._point(self._code | ops.CMPSET)
        found = self.value
        if found == old:
            self.value = new
            return True, found
        self._engine.failed()
        return False, found

    def setbits(self, bits: int) -> int:
        """Set `bits`; return the old value."""
        self._point(self._code | ops.SETBITS)
        old: int = self.value
        self.value = old | bits
        return old

    def clearbits(self, bits: int) -> int:
        """Clear `bits`; return the old value."""
        self._point(self._code | ops.CLEARBITS)
        old: int = self.value
        self.value = old & ~bits
        return old

    def rmw(self, fn: Callable[[Any], Any]) -> Any:
        """Set the value to `fn(old)` in one step; return the old value.  `fn` must touch nothing shared."""
        self._point(self._code | ops.RMW)
        old = self.value
        self.value = fn(old)
        return old

    def peek(self) -> Any:
        """Read the value invisibly: for checkers and tests, never for a program."""
        return self.value

    def state(self) -> str:
        """The value as text for a report."""
        return self.format(self.value)

    def __repr__(self) -> str:
        return self.name


class FreeAtomicOps(AtomicOps):
    """The same operations for truly parallel CPUs: each under the word's host lock."""

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
        with self._host:  # a store must not fall between another CPU's read and write
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
        self._point(self._code | ops.SETBITS)
        with self._host:
            old: int = self.value
            self.value = old | bits
        return old

    def clearbits(self, bits: int) -> int:
        self._point(self._code | ops.CLEARBITS)
        with self._host:
            old: int = self.value
            self.value = old & ~bits
        return old

    def rmw(self, fn: Callable[[Any], Any]) -> Any:
        self._point(self._code | ops.RMW)
        with self._host:
            old = self.value
            self.value = fn(old)
        return old


class Word(AtomicOps):
    """An atomic word inside a record.  `record` makes one subclass per field."""

    __slots__ = ("owner", "value")

    declared: ClassVar[Field]
    _shift: ClassVar[int]

    def __init__(self, owner: Any, value: Any) -> None:
        self.owner = owner
        self.value = value

    @property
    def _code(self) -> int:  # type: ignore[override]  # computed here, stored elsewhere
        code: int = self.owner.code
        return code + self._shift

    @property
    def _point(self) -> Callable[[int], None]:  # type: ignore[override]  # computed here, stored elsewhere
        point: Callable[[int], None] = self.owner.vm.point
        return point

    @property
    def _engine(self) -> Any:
        return self.owner.vm.engine

    def bits(self, mask: int) -> int:
        """Read some bits of the word.

        That is no operation while the CPU holds what keeps others from changing them (`field.Bits`): nobody
        sees when it is done.  Else it is a `load`.
        """
        owner = self.owner
        for bits in self.declared.bits:
            if not mask & ~bits.mask and bits.stands(owner.vm.engine.current, owner):  # type: ignore[misc]  # declared
                return int(self.value & mask)
        return int(self.load() & mask)

    @property
    def format(self) -> Callable[[Any], str]:  # type: ignore[override]  # computed here, stored elsewhere
        return self.declared.format

    @property
    def ident(self) -> int:
        return self._code >> ops.KIND_BITS

    @property
    def name(self) -> str:  # type: ignore[override]  # computed here, stored elsewhere
        return f"{self.owner.name}.{self.declared.name}"


class FreeWord(Word, FreeAtomicOps):
    """The same for parallel CPUs: one host lock serves all words of a record."""

    __slots__ = ()

    @property
    def _host(self) -> Any:  # type: ignore[override]  # computed here, stored elsewhere
        return self.owner.host
