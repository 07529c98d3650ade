"""What steps do beside their operations: silent stores to fields that are read as hints, arrivals, starts.

A store under a lock is no operation of its own, but a reader of a hint needs no lock and may see it; and
`try_upgrade` of a spinlock finds out who stands before it.  `Effects` says after each step which of these it
had, as codes: `STORE` of the field, `ACQUIRE` of the lock before which its CPU has come to stand, `LOAD` of a
word at which a CPU that starts has looked (`Machine.seen_at_start`).  A field counts from the first hint of
it on, so a search starts again when it meets one that it did not know.

Deviation: a store is seen by the value that it leaves, so storing the value that is there is none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from vmsmp.engine import ops

#: The value of a field whose record has not been made.
_UNMADE: Final = object()


class Event(NamedTuple):
    """One step: the CPU, its operation, and what else it did."""

    cpu: int
    code: int
    effects: tuple[int, ...] = ()


def conflict(one: Event, other: Event) -> bool:
    """Whether two steps of different CPUs may fail to commute."""
    if ops.dependent(one.code, other.code):
        return True
    return any(_meets(effect, other) for effect in one.effects) or any(
        _meets(effect, one) for effect in other.effects
    )


def _meets(effect: int, event: Event) -> bool:
    if effect & ops.KIND_MASK == ops.ACQUIRE:
        return event.code == effect - ops.ACQUIRE + ops.UPGRADE
    stores = effect & ops.KIND_MASK == ops.STORE
    return ops.dependent(effect, event.code) or (stores and effect in event.effects)


class Effects:
    """Follows one run at a time; knows the hints of all runs so far."""

    def __init__(self) -> None:
        #: Whether a field was read as a hint for the first time in this run.
        self.learned = False
        self._known: dict[int, bool] = {}
        #: Those known objects that are read as hints.
        self._hinted: list[int] = []
        #: The hints of this run whose records have not been made.
        self._unmade: list[int] = []
        #: By hint where to look for its record: a function and a number.
        self._blocks: dict[int, tuple[Callable[[int], Any], int]] = {}
        # invariant: one entry for each of the others: how to look, the store as a code, the value seen last
        self._slots: list[tuple[Callable[[Any], Any], Any]] = []
        self._codes: list[int] = []
        self._values: list[Any] = []

    def begin(self) -> None:
        """A new run starts."""
        self.learned = False
        self._unmade = self._hinted[:]
        self._blocks = {}
        self._slots, self._codes, self._values = [], [], []

    def add(self, machine: Any, steps: list[tuple[int, int]]) -> list[Event]:
        """Return the steps just performed with their effects.

        Of several steps each counts as having stored what has changed.
        """
        stores = self._stores(machine)
        cpus = machine.cpus
        following: dict[int, int] = {}
        events = []
        for cpu, code in reversed(steps):
            arrival = following.get(cpu, 0 if cpus[cpu].done else cpus[cpu].pending)
            arrived = (arrival,) if arrival & ops.KIND_MASK == ops.ACQUIRE else ()
            looked = machine.seen_at_start if code & ops.KIND_MASK == ops.START else ()
            events.append(Event(cpu, code, stores + arrived + looked))
            following[cpu] = code
            if code & ops.KIND_MASK == ops.LOAD and code >> ops.KIND_BITS not in self._known:
                self._learn(machine, code)
        return events[::-1]

    @property
    def any_hint(self) -> bool:
        """Whether a field is known to be read as a hint."""
        return bool(self._hinted)

    def look_for_hints(self, machine: Any, log: list[int]) -> bool:
        """Learn the hints of a run that is over; whether one was read for the first time in it."""
        loads = {code for code in log if code >= 0 and code & ops.KIND_MASK == ops.LOAD}
        for code in sorted(loads):
            if code >> ops.KIND_BITS not in self._known:
                self._learn(machine, code)
        return self.learned

    def _stores(self, machine: Any) -> tuple[int, ...]:
        if self._unmade:
            self._find(machine)
        changed = []
        values = self._values
        for at, (peek, record) in enumerate(self._slots):
            value = peek(record)
            if value is not values[at] and value != values[at]:
                values[at] = value
                changed.append(self._codes[at])
        return tuple(sorted(changed)) if changed else ()

    def _find(self, machine: Any) -> None:
        """Look for the records of hints that had not been made."""
        for ident in self._unmade[:]:
            block = self._blocks.get(ident) or machine.identities.block_of(ident)
            if block is None:
                continue
            self._blocks[ident] = block
            find, n = block
            view = find(n)
            if hasattr(view, "stored"):  # in another run the identity may be a record's of another type
                self._unmade.remove(ident)
                self._slots.append((view.declared.peek, view.record))
                self._codes.append(ops.op(ident, ops.STORE))
                self._values.append(_UNMADE)

    def _learn(self, machine: Any, code: int) -> None:
        ident = code >> ops.KIND_BITS
        self._known[ident] = hinted = hasattr(machine.find(ident), "stored")
        if hinted:
            self._hinted.append(ident)
            self._unmade.append(ident)
            self.learned = True
