"""Field locks: every access to a field of a shared record holds what the field's letters ask for.

The letters are declared with the fields (`records`), their meaning with the record's class.  Covers
INV-PB5, INV-Q4 and INV-TK7: writing a page's object, pindex and valid needs the page hard-busied, moving a
page between queues needs both spinlocks, reading an object's tree needs its token.
While only one CPU runs, as at boot and after the last join, it needs no locks.
"""

from __future__ import annotations

from vmsmp.engine.cpu import Cpu
from vmsmp.engine.machine import Machine
from vmsmp.records.field import Field
from vmsmp.records.letters import in_words
from vmsmp.records.observer import RecordObserver
from vmsmp.records.record import Record


class FieldLocks(RecordObserver):
    """Fails the CPU that reads or writes a field without what its letters ask for."""

    def __init__(self) -> None:
        # invariant: CPUs spawned and not yet at their end
        self._others: set[Cpu] = set()

    def begin(self, machine: Machine) -> None:
        self._others = set()

    def spawned(self, cpu: Cpu, child: Cpu) -> None:
        self._others.add(child)

    def exits(self, cpu: Cpu) -> None:
        self._others.discard(cpu)

    def unlocked(self, cpu: Cpu, record: Record, field: Field, write: bool) -> None:
        if self._others and cpu.machine.violation is None:
            self._report(cpu, record, field, write, field.write if write else field.read)

    @staticmethod
    def _report(cpu: Cpu, thing: Record, field: Field, write: bool, letters: str) -> None:
        done = "written" if write else "read"
        held = ", ".join(f"{hold.mode} {hold.lock}" for hold in cpu.held) or "nothing"
        cpu.machine.fail(
            "field-lock",
            f"{thing.klass}.{field.name} {done} without {in_words(thing.legend, letters)}",
            [f"{cpu} holds {held}", f"{thing} is {thing.dump()}"],
        )
