"""The records of one type: reserving their identities, finding them by identity, and guarding them.

A pool with a `size` reserves identities for all of its records at once, so that an identity does not
depend on which CPU makes or uses a record first.  A pool without one reserves them for each record when
it is made, from those of the CPU that makes it.  After `guard`, if a checker wants to see accesses, all
records are instances of the checked twin of their type.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Generic, TypeVar

from vmsmp.engine import ops
from vmsmp.engine.identity import FIRST_BLOCK, FIRST_NAMED
from vmsmp.records.home import Home, Spin
from vmsmp.records.record import STRIDE, Record

R = TypeVar("R", bound=Record)

#: The bits of an identity that those of one record have in common: only records reserve identities.
_FIRST: Final = ~(STRIDE - 1 << ops.CPU_BITS)


class Block(Generic[R]):
    """The identities of consecutive records; the machine calls it to find the object of an identity."""

    __slots__ = ("records",)

    def __init__(self, records: dict[int, R]) -> None:
        self.records = records

    def __call__(self, n: int) -> Any:
        place, offset = divmod(n, STRIDE)
        if place not in self.records:
            return None
        record = self.records[place]
        return record.at(offset) if offset else record


class RecordPool(Generic[R]):
    """The records of one type that belong to `vm`, in `records` by place.

    In a pool with a size a record has a place before it is made; in a pool without one, places follow the
    order of creation.
    """

    def __init__(self, vm: Home, type_: type[R], size: int | None = None) -> None:
        self.vm = vm
        self.type = type_
        self.records: dict[int, R] = {}
        self._guarded = False
        self._first = None if size is None else vm.machine.reserve(STRIDE * size, Block(self.records))

    def make(self, place: int | None = None, **values: Any) -> R:
        """Make a record with these values: the one at `place`, or the next in a pool without a size."""
        if self._first is None or place is None:
            alone: dict[int, R] = {}
            record = self.type(self.vm, self.vm.machine.reserve(STRIDE, Block(alone)), **values)
            alone[0] = record
            place = len(self.records)
        else:
            record = self.type(self.vm, self._first + place * STRIDE * ops.MAX_CPUS, **values)
        if self._guarded:
            record.guard()
        self.records[place] = record
        return record

    def first_use(self, place: int, **values: Any) -> R:
        """Return the record at a place, making it on first use."""
        if place in self.records:
            return self.records[place]
        with self.vm.making:
            return self.records[place] if place in self.records else self.make(place, **values)

    def guard(self) -> None:
        """From now on, show accesses to all records of this pool to the checkers that want them."""
        if (self.vm.hooks.unlocked or self.vm.hooks.watched) and self.type.checked is not self.type:
            self._guarded = True
            for record in self:
                record.guard()

    def spinlocks(self) -> Iterator[Spin]:
        """Yield the spinlocks that have been made so far."""
        for record in self:
            spin = record.spin_made
            if spin is not None:
                yield spin

    def __iter__(self) -> Iterator[R]:
        """Iterate over the records made so far, in order of creation."""
        return iter(list(self.records.values()))


def record_of(machine: Any, ident: int) -> Record | None:
    """Return the record that owns this identity, or None."""
    if not FIRST_BLOCK <= ident >> ops.CPU_BITS < FIRST_NAMED >> ops.CPU_BITS:
        return None
    thing = machine.find(ident & _FIRST)
    return thing if isinstance(thing, Record) else None
