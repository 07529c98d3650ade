"""Locks without words: at the atomic depth, the state of a lock must match its owners.

The predicates belong to the locks (`check_word`, `check_rest`), as at the exact depth (`check.words`).  A
lock is checked after each of its operations, before the next operation of any CPU, and at the end of a run.
"""

from __future__ import annotations

from typing import Any, Final

from vmsmp.check.rules import NOTHING, Books, Judged
from vmsmp.engine import ops
from vmsmp.engine.identity import FIRST_BLOCK
from vmsmp.engine.machine import Machine
from vmsmp.engine.observer import Observer
from vmsmp.records.record import PART_BITS, SPIN, Record
from vmsmp.sync.lock import Lock

#: The part bits of a record's operations, and their value for its spinlock.
_PART: Final = PART_BITS & ~ops.KIND_MASK
_SPIN: Final = SPIN << ops.CPU_BITS + ops.KIND_BITS
#: Codes of operations on what has a reserved identity, or is nothing but a name, begin here.
_FIRST_RESERVED: Final = FIRST_BLOCK << ops.CPU_BITS + ops.KIND_BITS


class LockStates(Observer):
    """Checks the lock that was used last; at the end of a run, all that were used.

    `Records` asks it what is to be judged (`rules.Judge`).
    """

    def __init__(self) -> None:
        self._used: dict[Lock, None] = {}

    def begin(self, machine: Machine) -> None:
        self._used = {}

    def judged(self, machine: Any, record: Record | None, code: int) -> Judged:
        """Look at a record's spinlock, or at a lock that stands alone, after operations on it."""
        if record is not None:
            return Judged((self._look_at_spin,)) if code & _PART == _SPIN else NOTHING
        if code >= _FIRST_RESERVED:
            return NOTHING  # among objects with reserved identities only the spinlocks of records are locks
        found = machine.find(code >> ops.KIND_BITS)
        if not isinstance(found, Lock):
            return NOTHING
        self._used[found] = None
        return Judged((_look_at,), about=found)

    def _look_at_spin(self, record: Record, _books: Books) -> None:
        lock: Any = record.spin_made
        self._used[lock] = None
        _look_at(lock, _books)

    def end(self, machine: Machine) -> None:
        for lock in self._used:
            wrong = lock.check_rest()
            if wrong is not None:
                _tell(lock, wrong)


def _look_at(lock: Lock, _books: Books) -> None:
    wrong = lock.check_word()
    if wrong is not None:
        _tell(lock, wrong)


def _tell(lock: Lock, wrong: str) -> None:
    lock.machine.fail("check", f"state of {lock}: {wrong}", [lock.state()])
