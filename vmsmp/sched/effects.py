"""What steps do beside their operations: silent stores to fields that are read as hints, and arrivals.

A store under a lock is no operation of its own, but a reader of a hint needs no lock and may see it; and
`try_upgrade` of a spinlock finds out who stands before it.  `Effects` says after each step which of these it
had, as codes: `STORE` of the field, `ACQUIRE` of the lock before which its CPU has come to stand.  A field
counts from the first hint of it on, so a search starts again when it meets one that it did not know.

Deviation: a store is seen by the value that it leaves, so storing the value that is there is none.
"""

from __future__ import annotations

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
    return ops.dependent(effect, event.code) or effect in event.effects


class Effects:
    """Follows one run at a time; knows the hints of all runs so far."""

    def __init__(self) -> None:
        #: Whether a field was read as a hint for the first time in this run.
        self.learned = False
        self._known: dict[int, bool] = {}
        self._views: dict[int, Any] = {}
        self._values: dict[int, Any] = {}

    def begin(self) -> None:
        """A new run starts."""
        self.learned = False
        self._views = {}
        self._values = {}

    def add(self, machine: Any, steps: list[tuple[int, int]]) -> list[Event]:
        """Return the steps just performed with their effects.

        Of several steps each counts as having stored what has changed.
        """
        stores = self._stores(machine)
        following: dict[int, int] = {cpu.index: cpu.pending for cpu in machine.cpus if not cpu.done}
        events = []
        for cpu, code in reversed(steps):
            arrival = following.get(cpu, 0)
            arrived = (arrival,) if arrival & ops.KIND_MASK == ops.ACQUIRE else ()
            events.append(Event(cpu, code, stores + arrived))
            following[cpu] = code
        for _, code in steps:
            self._learn(machine, code)
        return events[::-1]

    def _stores(self, machine: Any) -> tuple[int, ...]:
        changed = []
        for ident, hinted in self._known.items():
            if not hinted:
                continue
            value = self._peek(machine, ident)
            before = self._values.get(ident, _UNMADE)
            if value is not before and value != before:
                self._values[ident] = value
                changed.append(ops.op(ident, ops.STORE))
        return tuple(changed)

    def _peek(self, machine: Any, ident: int) -> Any:
        view = self._views.get(ident)
        if view is None:
            view = machine.find(ident)
            if view is None or not hasattr(view, "stored"):
                return _UNMADE
            self._views[ident] = view
        return view.stored()

    def _learn(self, machine: Any, code: int) -> None:
        if code & ops.KIND_MASK != ops.LOAD or code >> ops.KIND_BITS in self._known:
            return
        ident = code >> ops.KIND_BITS
        self._known[ident] = hinted = hasattr(machine.find(ident), "stored")
        self.learned = self.learned or hinted
