"""Ledgers: who took each hard busy, soft busy, hold, wiring and reference, where, and at which step.

INV-PB1 and INV-PB2 (a busy is given back by whom it belongs to), INV-HW1, INV-HW2, INV-O4 (counts
never go below zero, and a wiring goes between none and one under the hard busy only), INV-AL1 (a page
is allocated to one, until it is freed).  A leak is reported with the place that took the share.
"""

from __future__ import annotations

import threading
from collections import deque
from types import CodeType
from typing import Any, NamedTuple

from vmsmp.engine import source
from vmsmp.engine.cpu import Cpu
from vmsmp.engine.machine import Machine
from vmsmp.engine.observer import Observer
from vmsmp.sync.field import Record
from vmsmp.vm.vm_object import OBJECT_HOLD, REF
from vmsmp.vm.vm_page_h import HARD, HOLD, SOFT, WIRE, has

#: Entries remembered for each record.
MEMORY = 8
_OWN = (HARD, SOFT, HOLD, OBJECT_HOLD)


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
        step = engine.step_at(self.at)
        caller = f", for {self.caller.co_name}" if self.caller is not None else ""
        return f"step {step}: {self.cpu} {self.what} at {source.place_of(self.code, self.line)}{caller}"


class Ledger(Observer):
    """Writes every share down, and speaks when the books do not balance."""

    def __init__(self) -> None:
        self._history: dict[int, deque[Entry]] = {}
        self._counts: dict[tuple[int, str], int] = {}
        self._owners: dict[int, Entry] = {}
        self._lock = threading.Lock()  # CPUs of the free engine write at the same time

    def begin(self, machine: Machine) -> None:
        self._history = {}
        self._counts = {}
        self._owners = {}

    # -- the books ------------------------------------------------------------------------------

    def _write(self, cpu: Cpu, thing: Record, what: str, out: int = 0) -> Entry:
        """Note who changed a share: the function that called the record, or `out` calls further out."""
        frame = source.caller(out)
        caller = frame.f_back
        engine = cpu.machine.engine
        at = engine.position(cpu)
        known = caller is not None and source.role_of(caller) is not source.Role.MACHINERY
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

    def _add(self, thing: Record, share: str, n: int) -> int:
        with self._lock:
            key = thing.code, share
            count = self._counts[key] = self._counts.get(key, 0) + n
            return count

    def history(self, thing: Record) -> list[str]:
        """The last entries about a record, oldest first."""
        return [str(entry) for entry in self._history.get(thing.code, ())]

    def count(self, thing: Record, share: str) -> int:
        """How many shares of that kind are out that belong to no CPU."""
        return self._counts.get((thing.code, share), 0)

    def owned(self, thing: Record) -> Entry | None:
        """Who allocated it, if it is allocated."""
        return self._owners.get(thing.code)

    def _fail(self, cpu: Cpu, thing: Record, message: str) -> None:
        cpu.machine.fail("accounting", message, [f"{thing} is {thing.dump()}", *self.history(thing)])

    # -- entries --------------------------------------------------------------------------------

    def took(self, cpu: Cpu, thing: Record, share: str) -> None:
        self._write(cpu, thing, f"took {_a(share)}")
        if share in _OWN:
            return
        count = self._add(thing, share, 1)
        if cpu.machine.engine.parallel:
            return  # the word and the book are written one after the other: only at rest do they agree
        if share == WIRE and count == 1 and not has(cpu, thing, HARD):
            self._fail(cpu, thing, f"INV-HW2: {thing.klass} wired for the first time without its hard busy")

    def gave(self, cpu: Cpu, thing: Record, share: str) -> None:
        self._write(cpu, thing, f"gave {_a(share)} back")
        if share in _OWN:
            if not has(cpu, thing, share):
                owners = ", ".join(str(c) for c, mode in thing.holders if mode == share) or "nobody"
                cpu.machine.fail(
                    "accounting",
                    f"{_INVARIANT[share]}: {share} of {thing.klass} given back by a CPU that has none",
                    [f"{cpu} gave it back; it is in the hands of {owners}", *self.history(thing)],
                )
            return
        count = self._add(thing, share, -1)
        if cpu.machine.engine.parallel:
            return
        if count < 0:
            self._fail(
                cpu, thing, f"{_INVARIANT[share]}: more {share}s of {thing.klass} given back than taken"
            )
        if share == WIRE and count == 0 and not has(cpu, thing, HARD):
            self._fail(cpu, thing, f"INV-HW2: {thing.klass} unwired for the last time without its hard busy")

    def allocated(self, cpu: Cpu, thing: Record, request: int) -> None:
        before = self._owners.get(thing.code)
        entry = self._write(cpu, thing, "was given the page", out=1)
        self._owners[thing.code] = entry
        if before is not None:
            self._fail(cpu, thing, f"INV-AL1: {thing.klass} allocated twice")

    def freed(self, cpu: Cpu, thing: Record) -> None:
        self._write(cpu, thing, "frees it", out=1)
        if thing.kind == "page":
            self._owners.pop(thing.code, None)  # an allocator may have lost it to who frees it now
            if thing.vm.queue_type(thing.peek("queue")) in ("free", "hold"):
                self._fail(cpu, thing, f"INV-AL1: {thing.klass} freed twice")

    # -- leaks ----------------------------------------------------------------------------------

    def exits(self, cpu: Cpu) -> None:
        for hold in cpu.held:
            if hold.mode in _OWN:
                thing: Any = hold.lock
                cpu.machine.fail(
                    "leak",
                    f"{_INVARIANT[hold.mode]}: {hold.mode} of {thing.klass} never given back",
                    [f"{cpu} ended with it", f"{thing} is {thing.dump()}", *self.history(thing)],
                )


def _a(share: str) -> str:
    return f"an {share}" if share[0] in "aeiou" else f"a {share}"


_INVARIANT = {
    HARD: "INV-PB1",
    SOFT: "INV-PB2",
    HOLD: "INV-HW1",
    WIRE: "INV-HW2",
    REF: "INV-O4",
    OBJECT_HOLD: "INV-O5",
}
