"""State words: the word of a lock or sleep queue must match its owners or sleepers.

Checks INV-SP1, SP2, SP3, SP4, INV-TK1, TK2, TK3, TK4, TK6, INV-LK1, LK2, LK4, LK5, INV-MX1, MX2
and MX3 after every step that wrote a word, INV-SP4 when a CPU ends, INV-SP2, INV-TK6, INV-LK3 and INV-MX4
at the end of a run, and INV-SL1 for the sleep queues.
The predicates belong to the owners (`check_word`, `check_rest`) and run at the next arrival, when all
CPUs are parked.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from vmsmp.check.rules import NOTHING, Books, Judged
from vmsmp.engine import ops
from vmsmp.engine.cpu import Cpu
from vmsmp.engine.machine import Machine
from vmsmp.engine.observer import Observer
from vmsmp.records.record import PART_BITS, SPIN, Record

#: Which part of a record an operation is about, and those about the word of its spinlock.
_PART: Final = PART_BITS & ~ops.KIND_MASK
_SPIN_WORD: Final = SPIN + 1 << ops.CPU_BITS + ops.KIND_BITS


class StateWords(Observer):
    """Checks the word written last; at a rendezvous and at the end of a run, all words.

    In the free engine, which has no steps, it checks only at those two.  `Records` asks it what is to be
    judged (`rules.Judge`).
    """

    def __init__(self) -> None:
        self._words: dict[int, Any] = {}

    def begin(self, machine: Machine) -> None:
        self._words = machine.words

    def judged(self, machine: Any, record: Record | None, code: int) -> Judged:
        """Look at the word of a record's spinlock, or of a lock that stands alone, after a write of it."""
        if record is not None:
            return Judged((_look_at_spin,)) if code & _PART == _SPIN_WORD else NOTHING
        owner = machine.words.get(code >> ops.KIND_BITS)
        return NOTHING if owner is None else Judged((partial(_look_at, machine),), about=owner)

    def exits(self, cpu: Cpu) -> None:
        """INV-SP4 at a CPU's end: its counts are back at 0, unless it still holds locks (`leak`)."""
        td = cpu.td
        if td is not None and not cpu.held and (td.gd_spinlocks or td.td_critcount):
            counts = f"{td.td_critcount} critical sections and {td.gd_spinlocks} spinlocks"
            cpu.machine.fail("check", f"INV-SP4: {cpu} ended in {counts}")

    def quiescent(self, machine: Machine) -> None:
        for owner in dict.fromkeys(self._words.values()):
            _look_at(machine, owner)

    def end(self, machine: Machine) -> None:
        for lock in dict.fromkeys(self._words.values()):
            wrong = lock.check_rest()
            if wrong is not None:
                machine.fail("check", f"state word of {lock}: {wrong}", [lock.state()])


def _look_at_spin(record: Any, _books: Books) -> None:
    _look_at(record.vm.machine, record.spin_made)


def _look_at(machine: Any, owner: Any, *_: object) -> None:
    wrong = owner.check_word()
    if wrong is not None:
        machine.fail("check", f"state word of {owner}: {wrong}", [owner.state()])
