"""The records of one type: their identities, who finds one by its identity, and who guards them.

A pool reserves identities, either for all of its records at once (`size`), so that an identity does not
depend on who makes or uses a record first, or for each record when it is made, from those of the CPU that
makes it.  From `guard` on, where a checker wants to see accesses, records are of the checked twin of their
type: nobody has to remember that.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Generic, TypeVar

from vmsmp.engine import ops
from vmsmp.records.home import Home, Spin
from vmsmp.records.record import STRIDE, Record

R = TypeVar("R", bound=Record)


class Block(Generic[R]):
    """The identities of some records in a row; the machine calls it to find the object of one."""

    __slots__ = ("records",)

    def __init__(self, records: list[R | None]) -> None:
        self.records = records

    def __call__(self, n: int) -> Any:
        record = self.record(n)
        return None if record is None else record.at(n % STRIDE)

    def record(self, n: int) -> R | None:
        """The record that has the n-th identity, whatever part of it that is."""
        return self.records[n // STRIDE]


class RecordPool(Generic[R]):
    """The records of one type that hang off `vm`, in `records`: by place, or in the order of their making.

    A place is None until its record is made.
    """

    def __init__(self, vm: Home, type_: type[R], size: int | None = None) -> None:
        self.vm = vm
        self.type = type_
        self.size = size
        self.records: list[R | None] = [None] * (size or 0)
        self._guarded = False
        if size is not None:
            self._first = vm.machine.reserve(STRIDE * size, Block(self.records))

    def make(self, place: int | None = None, **values: Any) -> R:
        """Make a record with these values: the one of a place, or, in a pool without a size, the next."""
        if place is None:
            alone: list[R | None] = [None]
            record = self.type(self.vm, self.vm.machine.reserve(STRIDE, Block(alone)), **values)
            alone[0] = record
            self.records.append(record)
        else:
            record = self.type(self.vm, self._first + place * STRIDE * ops.MAX_CPUS, **values)
            self.records[place] = record
        if self._guarded:
            record.__class__ = self.type.checked
        return record

    def first_use(self, place: int, **values: Any) -> R:
        """The record of a place, made now if it has not been."""
        made = self.records[place]
        if made is None:
            with self.vm.making:
                made = self.records[place] or self.make(place, **values)
        return made

    def guard(self) -> None:
        """From here on checkers that ask for it see accesses to all records of this pool."""
        if self.vm.hooks.access:
            self._guarded = True
            for record in self:
                record.__class__ = self.type.checked

    def spinlocks(self) -> Iterator[Spin]:
        """The spinlocks that anybody has wanted yet."""
        for record in self:
            spin = record.spin_made()
            if spin is not None:
                yield spin

    def __iter__(self) -> Iterator[R]:
        """The records that have been made."""
        return (record for record in self.records if record is not None)


def record_of(machine: Any, ident: int) -> Record | None:
    """The record in whose run of identities this one is, or None."""
    block, n = machine.block_of(ident) or (None, 0)
    return block.record(n) if isinstance(block, Block) else None
