"""Shares of a record that are not locks: a busy, a hold, a wiring, a reference.

A share is declared once, beside its record, and named wherever it is taken or returned.  Checkers keep
account of shares without knowing what they mean.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, eq=False)
class Edge:
    """A counted share whose count may change between 0 and 1 only under another share.

    `first` and `last` describe, in a report, the transition made without it.
    """

    under: Share
    first: str
    last: str


@dataclass(frozen=True, slots=True, eq=False)
class Share:
    """One kind of share.

    An `owned` share is held by the CPU that took it, and only that CPU returns it, unless it hands it on
    (`Record.handed`); other shares are only counted, and any CPU returns them.  A `temporary` one is back
    when all is over, and of a `balanced` one no more are out at the end of a scenario than when its first CPU
    was started.
    `invariant` names the rule that is broken when the counts do not balance.
    """

    name: str
    owned: bool
    invariant: str
    edge: Edge | None = None
    temporary: bool = False
    balanced: bool = False
    #: Records whose shares are counted by other means, and need not balance.
    counted: Callable[[Any], bool] | None = None

    def __str__(self) -> str:
        return self.name
