"""The ledger: who took each share of a record, where, and at which step.

A share that a CPU owns is given back by that CPU; a counted one never goes below zero, and where it has
an edge it leaves and comes back to zero under another share only.  A record is allocated to one, until it
is freed (INV-AL1).  The invariant that falls is the share's own.  A leak is reported with the place that
took the share.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from types import CodeType
from typing import NamedTuple

from vmsmp.engine import trace
from vmsmp.engine.cpu import Cpu
from vmsmp.engine.machine import Machine, short_path
from vmsmp.records.observer import RecordObserver
from vmsmp.records.record import Record, has
from vmsmp.records.share import Edge, Share

#: Entries remembered for each record.
MEMORY = 8
_ENGINE = os.path.dirname(os.path.abspath(trace.__file__))


class Entry(NamedTuple):
    """One line of a ledger: `cpu` took or gave a share, in this function for that one.

    `at` is the length of the log then or, in the free engine, how many operations the CPU had performed.
    """

    at: int
    cpu: Cpu
    what: str
    code: CodeType
    line: int
    caller: CodeType | None

    def __str__(self) -> str:
        engine = self.cpu.machine.engine
        # the operation that took it is written down already, and reports count from 0
        step = max(0, trace.count_steps(engine.log[: self.at]) - 1) if engine.controlled else self.at
        where = f"{short_path(self.code.co_filename)}:{self.line} in {self.code.co_name}"
        caller = f", for {self.caller.co_name}" if self.caller is not None else ""
        return f"step {step}: {self.cpu} {self.what} at {where}{caller}"


class Ledger(RecordObserver):
    """Writes every share down, and speaks when the books do not balance."""

    def __init__(self, *, parallel: bool = False) -> None:
        # Where CPUs are parallel the word and the book are written one after the other: only at rest do
        # they agree.
        self._parallel = parallel
        self._history: dict[int, deque[Entry]] = {}
        self._counts: dict[tuple[int, Share], int] = {}
        self._owners: dict[int, Entry] = {}
        self._lock = threading.Lock()  # CPUs of the free engine write at the same time

    def begin(self, machine: Machine) -> None:
        self._history = {}
        self._counts = {}
        self._owners = {}

    # -- the books ------------------------------------------------------------------------------

    def _write(self, cpu: Cpu, thing: Record, what: str) -> Entry:
        frame = sys._getframe(3)  # below: this, the hook, the record's method
        caller = frame.f_back
        engine = cpu.machine.engine
        at = len(engine.log) if engine.controlled else cpu.nops
        known = caller is not None and not caller.f_code.co_filename.startswith(_ENGINE)
        entry = Entry(
            at,
            cpu,
            what,
            frame.f_code,
            frame.f_lineno,
            caller.f_code if caller is not None and known else None,
        )
        history = self._history.get(thing.code)
        if history is None:
            history = self._history[thing.code] = deque(maxlen=MEMORY)
        history.append(entry)
        return entry

    def _add(self, thing: Record, share: Share, n: int) -> int:
        with self._lock:
            key = thing.code, share
            count = self._counts[key] = self._counts.get(key, 0) + n
            return count

    def history(self, thing: Record) -> list[str]:
        """The last entries about a record, oldest first."""
        return [str(entry) for entry in self._history.get(thing.code, ())]

    def count(self, record: Record, share: Share) -> int:
        """How many shares of that kind are out that belong to no CPU."""
        return self._counts.get((record.code, share), 0)

    def allocated_to(self, record: Record) -> Entry | None:
        """Who was given the record, if it is allocated."""
        return self._owners.get(record.code)

    def _fail(self, cpu: Cpu, thing: Record, message: str) -> None:
        cpu.machine.fail("accounting", message, [f"{thing} is {thing.dump()}", *self.history(thing)])

    # -- entries --------------------------------------------------------------------------------

    def took(self, cpu: Cpu, record: Record, share: Share) -> None:
        self._write(cpu, record, f"took {_a(share)}")
        if share.owned:
            return
        count = self._add(record, share, 1)
        if share.edge is not None and count == 1 and not self._parallel:
            self._at_edge(cpu, record, share.invariant, share.edge, share.edge.first)

    def gave(self, cpu: Cpu, record: Record, share: Share) -> None:
        self._write(cpu, record, f"gave {_a(share)} back")
        if share.owned:
            if not has(cpu, record, share):
                self._not_yours(cpu, record, share)
            return
        count = self._add(record, share, -1)
        if self._parallel:
            return
        if count < 0:
            message = f"{share.invariant}: more {share}s of {record.klass} given back than taken"
            self._fail(cpu, record, message)
        if share.edge is not None and count == 0:
            self._at_edge(cpu, record, share.invariant, share.edge, share.edge.last)

    def _not_yours(self, cpu: Cpu, record: Record, share: Share) -> None:
        owners = ", ".join(str(c) for c, mode in record.holders if mode is share) or "nobody"
        cpu.machine.fail(
            "accounting",
            f"{share.invariant}: {share} of {record.klass} given back by a CPU that has none",
            [f"{cpu} gave it back; it is in the hands of {owners}", *self.history(record)],
        )

    def _at_edge(self, cpu: Cpu, record: Record, invariant: str, edge: Edge, done: str) -> None:
        if not has(cpu, record, edge.under):
            self._fail(cpu, record, f"{invariant}: {record.klass} {done} without its {edge.under}")

    def allocated(self, cpu: Cpu, record: Record) -> None:
        before = self._owners.get(record.code)
        self._owners[record.code] = self._write(cpu, record, f"was given the {record.kind}")
        if before is not None:
            self._fail(cpu, record, f"INV-AL1: {record.klass} allocated twice")

    def freed(self, cpu: Cpu, record: Record) -> None:
        self._write(cpu, record, "frees it")
        self._owners.pop(record.code, None)  # an allocator may have lost it to who frees it now

    # -- leaks ----------------------------------------------------------------------------------

    def exits(self, cpu: Cpu) -> None:
        for hold in cpu.held:
            if isinstance(hold.mode, Share):
                share, record = hold.mode, hold.lock
                cpu.machine.fail(
                    "leak",
                    f"{share.invariant}: {share} of {record.klass} never given back",
                    [f"{cpu} ended with it", f"{record} is {record.dump()}", *self.history(record)],
                )


def _a(share: Share) -> str:
    return f"an {share}" if share.name[0] in "aeiou" else f"a {share}"
