"""Rules for records, by type: what a checker can verify about a structure without knowing it.

The rules of a kernel structure are functions in `check.vm`, declared there by record type with the types
of this module; `Records` evaluates them when something happens to a record of that type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

from vmsmp.engine import ops
from vmsmp.engine.cpu import Cpu
from vmsmp.records.field import Field
from vmsmp.records.record import Record
from vmsmp.records.share import Share


class Broken(NamedTuple):
    """A broken rule: the invariant's name and the fault.  `joint` separates the record from the text."""

    invariant: str
    text: str
    joint: str = ": "


class Books(Protocol):
    """The part of the ledger that rules use."""

    def counts(self, record: Record) -> Mapping[Share, int]:
        """The number of outstanding shares of each kind; kinds that were never taken may be missing."""

    def allocated_to(self, record: Record) -> object | None:
        """The owner to which the allocator gave the record, or None."""


class Span(Protocol):
    """What one CPU does in several operations, judged when it is done."""

    def lasts(self, record: Any, code: int) -> bool:
        """Whether the CPU's next operation, on a record with rules, still belongs to the span."""

    def broken(self) -> tuple[Record, Broken] | None:
        """The verdict at the end of the span, and the record that it is about."""


#: A rule checks one record; it returns None if it holds.
Rule = Callable[[Any, Books], Broken | None]
#: Returns the span that begins with an operation on a record, given by its code, or None.
Opens = Callable[[Cpu, Any, int], Span | None]

#: Sees an operation that its CPU is about to do.
Before = Callable[[Cpu, int], None]


class Judged(NamedTuple):
    """What is done about an operation."""

    #: Asked about the record that it is about, else about `about`, once its step is over.
    rules: tuple[Rule, ...] = ()
    #: Called as it is about to happen.
    before: Before | None = None
    about: Any = None

    def after(self, other: Judged) -> Judged:
        """What the other one does, and then this."""
        first, then = other.before, self.before

        def both(cpu: Cpu, code: int) -> None:
            for before in (first, then):
                if before is not None:
                    before(cpu, code)

        return Judged(other.rules + self.rules, both if first is not None or then is not None else None)


#: Nothing is done about most operations.
NOTHING: Final = Judged()


class Judge(Protocol):
    """Judges what steps write."""

    def judged(self, machine: Any, record: Record | None, code: int) -> Judged:
        """What to do about operations of that code, on that record or on what is none.

        It is asked once for each kind of operation on each part of a type of record, so what it says of a
        record must depend on these alone; of what is no record, once in a run for each code.
        """


#: The kinds of operation after which a lock is held.
_TAKES: Final = (ops.ACQUIRE, ops.ACQUIRE_SHARED)


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules for the records of one type; all but `record` are optional."""

    record: type[Record]
    #: Evaluated after a step that wrote the field or word of that name ("" for the record's own identity,
    #: its spinlock and its plain slots), when all CPUs are stopped before their next operation.  Not after
    #: one that took the spinlock, since nothing has changed then.
    written: Mapping[str, tuple[Rule, ...]] = field(default_factory=dict)
    #: Evaluated for every record when all CPUs are stopped: the first rule for all, then the second.
    at_rest: tuple[Rule, ...] = ()
    #: Evaluated when a CPU is about to write the field of that name, which is declared `watch=True` unless
    #: its record is mortal; not on the free engine.
    guarded: Mapping[str, Callable[[Cpu, Any, Field, Books], Broken | None]] = field(default_factory=dict)
    #: By kind of operation: evaluated when a CPU is about to do one to the record.  Not on the free engine,
    #: where a CPU is never between two operations for the others.
    opens: Mapping[int, Opens] = field(default_factory=dict)
    #: Evaluated when a record is about to be returned to its allocator.
    freed: Rule | None = None
    #: Whether its words may be stored to.  A store to a word that other CPUs change loses their changes.
    stored: bool = True

    def __post_init__(self) -> None:
        for name in self.guarded:
            if not (self.record.mortal or self.record.fields[name].watch):
                what = f"{self.record.__name__}.{name}"
                raise TypeError(f"a rule guards {what}, so it must be declared with watch=True")

    def asked(self, name: str, kind: int) -> tuple[Rule, ...]:
        """Return the rules to evaluate after an operation of that kind on the field or word ("": neither)."""
        return () if not name and kind in _TAKES else self.written.get(name, ())


@dataclass(frozen=True, slots=True)
class SystemRules:
    """The rules for a whole subsystem."""

    #: By type of event: evaluated when it is about to happen; returns the record and its broken rule.
    events: Mapping[type, Callable[[Cpu, Any], tuple[Record, Broken] | None]] = field(default_factory=dict)
    #: Evaluated at the end of a run: yields what is left over but should not be.
    leaks: tuple[Callable[[Any], Iterable[tuple[Record, Broken]]], ...] = ()
    #: Evaluated at the end of a run, after the leaks: whether the totals are right.
    sums: tuple[Callable[[Any], tuple[Record, Broken] | None], ...] = ()
