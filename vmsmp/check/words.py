"""State words: the word of a lock or sleep queue must match its owners or sleepers.

Checks INV-SP1, SP2, SP3, SP4, INV-TK1, TK2, TK3, TK4, TK6, INV-LK1, LK2, LK4, LK5, INV-MX1, MX2
and MX3 after every step that wrote a word, INV-SP4 when a CPU ends, INV-SP2, INV-TK6, INV-LK3 and INV-MX4
at the end of a run, and INV-SL1 for the sleep queues.
The predicates belong to the owners (`check_word`, `check_rest`) and run at the next arrival, when all
CPUs are parked.
"""

from __future__ import annotations

from typing import Any

from vmsmp.engine.cpu import Cpu
from vmsmp.engine.machine import Machine
from vmsmp.engine.observer import Observer


class StateWords(Observer):
    """Checks the word written last; at a rendezvous and at the end of a run, all words.

    In the free engine, which has no steps, it checks only at those two.
    """

    def __init__(self) -> None:
        self._words: dict[int, Any] = {}
        self._written: Any = None

    def begin(self, machine: Machine) -> None:
        self._words = machine.words
        self._written = None

    def op(self, cpu: Cpu, code: int) -> None:
        lock = self._written
        if lock is not None:
            self._written = None
            wrong = lock.check_word()
            if wrong is not None:
                cpu.machine.fail("check", f"state word of {lock}: {wrong}", [lock.state()])
        # not `get`, which on CPython 3.13t yields 40 times before it returns what another thread made
        if code & 1 and (what := code >> 6) in self._words:
            self._written = self._words[what]

    def exits(self, cpu: Cpu) -> None:
        """INV-SP4 at a CPU's end: its counts are back at 0, unless it still holds locks (`leak`)."""
        td = cpu.td
        if td is not None and not cpu.held and (td.gd_spinlocks or td.td_critcount):
            counts = f"{td.td_critcount} critical sections and {td.gd_spinlocks} spinlocks"
            cpu.machine.fail("check", f"INV-SP4: {cpu} ended in {counts}")

    def quiescent(self, machine: Machine) -> None:
        for owner in dict.fromkeys(self._words.values()):
            wrong = owner.check_word()
            if wrong is not None:
                machine.fail("check", f"state word of {owner}: {wrong}", [owner.state()])

    def end(self, machine: Machine) -> None:
        for lock in dict.fromkeys(self._words.values()):
            wrong = lock.check_rest()
            if wrong is not None:
                machine.fail("check", f"state word of {lock}: {wrong}", [lock.state()])
