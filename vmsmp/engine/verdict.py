"""What can be wrong with a run: the kinds of failure, in one table, and the verdict on one run."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self


class FailureKind(StrEnum):
    """A kind of failure.  The value is its name in reports, schedules' verdicts and JSON.

    `final`: it ends a run even where the rest of a run is to be followed.
    `of_all`: it is the doing of all CPUs, not of the one on which it is noticed.
    """

    meaning: str
    final: bool
    of_all: bool

    def __new__(cls, value: str, meaning: str = "", final: bool = False, of_all: bool = False) -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        member.final = final
        member.of_all = of_all
        return member

    CHECK = "check", "the program's own check, an assert, a panic or an invariant of a state word failed"
    EXCEPTION = "exception", "an exception left a CPU's program"
    DEADLOCK = "deadlock", "no CPU can run", True, True
    LOST_WAKEUP = "lost-wakeup", "a CPU sleeps on though what it waits for has happened", True, True
    LIVELOCK = "livelock", "CPUs run and nothing comes of it, as far as the step limit lets see", True, True
    LOCK_ORDER = "lock-order", "locks are taken in an order that can deadlock"
    LOCK_MISUSE = "lock-misuse", "a lock is used as the kernel forbids"
    DATA_RACE = "data-race", "two accesses, one of them a store, that nothing orders"
    FIELD_LOCK = "field-lock", "a field is accessed without the lock that protects it"
    ACCOUNTING = "accounting", "shares or counts of a record do not add up"
    QUEUE = "queue", "a queue and what its members say of it do not agree"
    LEAK = "leak", "a CPU ended and still holds something"
    USE_AFTER_FREE = "use-after-free", "a record is used after it went back to its allocator"
    LINEARIZABILITY = "linearizability", "what calls returned fits no order of them"
    HANG = "hang", "a CPU arrives at no visible operation any more, or no CPU gets on in real time"
    NONDETERMINISM = "nondeterminism", "the same schedule gives different runs"
    # Never shown as a failure of a program.
    INTERRUPTED = "interrupted", "the run was stopped from outside", True
    CLEAN_RUN = "clean run", "nothing failed, which the same run did not do a second time"


@dataclass(frozen=True, slots=True)
class Violation:
    """Why an execution ended early: the first thing that went wrong, and on which CPU.

    `message` is the stable headline, `facts` the lines below it.  What is only predicted comes with
    the places at which a search would hold CPUs to see it happen, in `hold_at` (`sched.rendezvous`).
    `by_host`: at which step it came depends on the host, so that it comes again, but not step for step.
    """

    kind: FailureKind
    message: str
    facts: tuple[str, ...] = ()
    cpu: int = 0
    hold_at: tuple[Any, ...] = ()
    by_host: bool = False
