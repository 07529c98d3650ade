"""What a CPU holds and what it waits for: the two columns of every hang report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final


class WaitMode(StrEnum):
    """In which way something is waited for; the value is its word in a report."""

    EXCLUSIVE = "exclusive"
    SHARED = "shared"
    UPGRADE = "upgrade"
    #: Take all tokens again, at once.
    ALL_TOKENS = "all tokens"
    #: Until a count comes to zero, or until it is not zero.
    ZERO = "zero"
    UNIT = "a unit of"
    #: Until enough CPUs have come.
    OTHERS = "others at"
    SLEEP = "sleep on"
    #: Until a CPU has run its program to the end.
    JOIN = "join"


class WaitEnd(StrEnum):
    """How a wait ended; empty, and so false, if what was waited for came."""

    GRANTED = ""
    TIMEOUT = "timeout"
    SPURIOUS = "spurious"
    #: Of a sleep: a wakeup ended it.
    WAKEUP = "wakeup"
    #: Of a sleep: the wakeup or signal came before it began.
    BEFORE = "before"


# On CPython 3.11 a member of an enum costs a call; these are for what is done at every wait.
GRANTED: Final = WaitEnd.GRANTED
JOIN: Final = WaitMode.JOIN


@dataclass(slots=True, eq=False)
class Hold:
    """One lock in a CPU's hands; never changed (a frozen one takes three times as long to make)."""

    lock: Any
    #: A `WaitMode`, or the share of a record (`records.share`).
    mode: Any


@dataclass(slots=True, eq=False)
class Wait:
    """What a CPU waits for: a lock, an ident, a CPU; never changed."""

    what: Any
    mode: WaitMode
    #: Called when nothing runs: why the wait should be over already, or None if it should not.
    overdue: Callable[[], str | None] | None = None
