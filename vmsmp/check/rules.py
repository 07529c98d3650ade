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

    def count(self, record: Record, share: Share) -> int:
        """How many shares of a kind that no CPU owns are out."""

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
    #: Asked when a CPU is about to read or write a field; not where CPUs are parallel.
    accessed: Callable[[Cpu, Any, Field, bool], Broken | None] | None = None
    #: Asked when a record is about to go back to its allocator.
    freed: Rule | None = None
    #: Whether its words may be stored to.  Those that others change may not: what they did is lost.
    stored: bool = True


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
