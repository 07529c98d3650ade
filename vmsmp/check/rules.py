"""Rules of records, by type: what a checker may ask of a structure without knowing what it is.

A kernel structure's rules are functions in `check.vm`, which declare them here by record type; `Records`
asks them when something happened to a record of that type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from vmsmp.engine.cpu import Cpu
from vmsmp.engine.observer import Observer
from vmsmp.records.field import Field
from vmsmp.records.record import Record
from vmsmp.records.share import Share


class Broken(NamedTuple):
    """A broken rule: the invariant's name and what is wrong.  `joint` stands between record and text."""

    invariant: str
    text: str
    joint: str = ": "


class Books(Protocol):
    """What rules ask of the ledger."""

    def counts(self, record: Record) -> Mapping[Share, int]:
        """How many shares of each kind are out; kinds that nobody ever took may be left out."""

    def allocated_to(self, record: Record) -> object | None:
        """Who was given the record by its allocator, if anybody."""


#: A rule speaks of one record; None if it holds.
Rule = Callable[[Any, Books], Broken | None]


@dataclass(frozen=True, slots=True)
class Rules:
    """What must hold for the records of one type; every field may be left out."""

    record: type[Record]
    #: Asked after a step that wrote the field or word of that name ("" for the record's own identity, its
    #: spinlock and its plain slots), when all CPUs stand before their next operation.
    written: Mapping[str, tuple[Rule, ...]] = field(default_factory=dict)
    #: Asked of every record when all CPUs stand still; first the first rule of all, then the second.
    at_rest: tuple[Rule, ...] = ()
    #: Asked when a CPU is about to write the field of that name, which is declared `watch=True` unless its
    #: record is mortal; not where CPUs are parallel.
    guarded: Mapping[str, Callable[[Cpu, Any, Field, Books], Broken | None]] = field(default_factory=dict)
    #: Asked when a record is about to go back to its allocator.
    freed: Rule | None = None
    #: Whether its words may be stored to.  Those that others change may not: what they did is lost.
    stored: bool = True

    def __post_init__(self) -> None:
        for name in self.guarded:
            if not (self.record.mortal or self.record.fields[name].watch):
                what = f"{self.record.__name__}.{name}"
                raise TypeError(f"a rule guards {what}, so it must be declared with watch=True")


@dataclass(frozen=True, slots=True)
class SystemRules:
    """What must hold for a whole subsystem."""

    #: By type of event: asked when it is about to happen; the record that a broken rule is about.
    events: Mapping[type, Callable[[Cpu, Any], tuple[Record, Broken] | None]] = field(default_factory=dict)
    #: Asked when all is over: what is left that should not be.
    leaks: tuple[Callable[[Any], Iterable[tuple[Record, Broken]]], ...] = ()
    #: Asked when all is over, after the leaks: whether the sums are right.
    sums: tuple[Callable[[Any], tuple[Record, Broken] | None], ...] = ()
    #: Observers of their own, for rules that span more than one step.
    observers: tuple[Callable[[Callable[[Any, Record, Broken], None]], Observer], ...] = ()
