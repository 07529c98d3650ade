"""Locks without words: at the atomic depth, the state of a lock must match its owners.

The predicates belong to the locks (`check_word`, `check_rest`), as at the exact depth (`check.words`).  A
lock is checked after each of its operations, before the next operation of any CPU, and at the end of a run.
"""

from __future__ import annotations

from typing import Final

from vmsmp.engine import ops
from vmsmp.engine.cpu import Cpu
from vmsmp.engine.identity import FIRST_BLOCK, FIRST_NAMED
from vmsmp.engine.machine import Machine
from vmsmp.engine.observer import Observer
from vmsmp.records.record import PART_BITS, SPIN
from vmsmp.sync.lock import Lock

#: The part bits of a record's operations, and their value for its spinlock.
_PART: Final = PART_BITS & ~ops.KIND_MASK
_SPIN: Final = SPIN << ops.CPU_BITS + ops.KIND_BITS
#: Codes of operations on objects with reserved identities lie from the first up to the second.
_FIRST_RESERVED: Final = FIRST_BLOCK << ops.CPU_BITS + ops.KIND_BITS
_FIRST_NAMED: Final = FIRST_NAMED << ops.KIND_BITS


class LockStates(Observer):
    """Checks the lock that was used last; at the end of a run, all that were used."""

    def __init__(self) -> None:
        # by identity; None for an object that is no lock
        self._known: dict[int, Lock | None] = {}
        self._used: Lock | None = None

    def begin(self, machine: Machine) -> None:
        self._known = {}
        self._used = None

    def op(self, cpu: Cpu, code: int) -> None:
        lock = self._used
        if lock is not None:
            self._used = None
            wrong = lock.check_word()
            if wrong is not None:
                cpu.machine.fail("check", f"state of {lock}: {wrong}", [lock.state()])
        if code & 1:
            if code & _PART != _SPIN and _FIRST_RESERVED <= code < _FIRST_NAMED:
                return  # among objects with reserved identities only the spinlocks of records are locks
            ident = code >> ops.KIND_BITS
            try:
                self._used = self._known[ident]
            except KeyError:
                found = cpu.machine.find(ident)
                self._used = self._known[ident] = found if isinstance(found, Lock) else None

    def end(self, machine: Machine) -> None:
        for lock in filter(None, self._known.values()):
            wrong = lock.check_rest()
            if wrong is not None:
                machine.fail("check", f"state of {lock}: {wrong}", [lock.state()])
