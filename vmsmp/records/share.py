"""Shares of a record that are no locks: a busy, a hold, a wiring, a reference.

A share is declared once, beside its record, and named wherever it is taken or given back.  Checkers keep
books about shares without knowing what they are.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, eq=False)
class Edge:
    """A counted share that may go from none to one, and back, only under another share.

    `first` and `last` say in a report what was done without it.
    """

    under: Share
    first: str
    last: str


@dataclass(frozen=True, slots=True, eq=False)
class Share:
    """One kind of share.

    An `owned` share is in the hands of the CPU that took it, and only that CPU gives it back; others are
    merely counted.  `invariant` names the rule that falls when the books do not balance.
    """

    name: str
    owned: bool
    invariant: str
    edge: Edge | None = None

    def __str__(self) -> str:
        return self.name
