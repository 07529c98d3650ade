"""The ledger: who took each share of a record, where, and at which step.

An owned share is given back by the CPU that took it, unless that CPU hands it on and another takes it over.
A counted one never goes below zero; if it has an edge, its count changes between 0 and 1 only under another
share.  A record is allocated to one CPU at a time, until it is freed (INV-AL1).  A failure names the share's
own invariant.  A leak is reported with the place that took the share.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from itertools import islice
from types import CodeType, FrameType
from typing import Any, Final, NamedTuple

from vmsmp.engine import source
from vmsmp.engine.cpu import Cpu
from vmsmp.engine.machine import Machine
from vmsmp.records.observer import RecordObserver
from vmsmp.records.record import Record, has
from vmsmp.records.share import Edge, Share

#: The counts of a record of which no share was taken yet.
_NO_SHARES: Final[Mapping[Share, int]] = {}
#: How many entries a report shows for each record.
MEMORY = 8
#: Frames between the function that takes a share and `source.caller`: the hook and the record's method.
_TOOK: Final = 3
#: What follows the share in an entry.
_AFTER: Final = {"gave": " back", "handed": " on", "took over": ""}


#: An entry as it is stored: a tuple, since far more are written than read.
_Entry = tuple[int, int, Cpu, str, Share | None, CodeType, int, CodeType | None, dict[str, Any]]


class Entry(NamedTuple):
    """One line of a ledger: what `cpu` did (`did`), with which share, in which function and for which caller.

    `record` is the code of the record, `at` the position in the run, `module` the caller's globals.
    """

    record: int
    at: int
    cpu: Cpu
    did: str
    share: Share | None
    code: CodeType
    instruction: int
    caller: CodeType | None
    module: dict[str, Any]

    def __str__(self) -> str:
        step = self.cpu.machine.engine.step_at(self.at)
        what = self.did
        if self.share is not None:
            what += f" {_a(self.share)}{_AFTER.get(self.did, '')}"
        caller = ""
        if (
            self.caller is not None
            and source.role_in(self.module.get("__name__", "")) is not source.Role.MACHINERY
        ):
            caller = f", for {self.caller.co_name}"
        place = source.place_of(self.code, source.line_of(self.code, self.instruction))
        return f"step {step}: {self.cpu} {what} at {place}{caller}"


class Ledger(RecordObserver):
    """Records every share that is taken or given, and fails the run when they do not balance."""

    def __init__(self, *, parallel: bool = False) -> None:
        # With parallel CPUs the word and the book are not written in one step, so they agree only at rest.
        self._parallel = parallel
        self._position: Callable[[Cpu], int]
        # in the order of the run: finding a record's entries when needed is cheaper than sorting them in
        self._entries: list[_Entry] = []
        # by the record's code
        self._counts: dict[int, dict[Share, int]] = {}
        self._owners: dict[int, _Entry] = {}
        # shares that must be back at the end of the run, by the record's code: in the order first taken
        self._due: dict[tuple[int, Share], Record] = {}
        # how many shares that must balance may be out at the end of the run: as many as when the first CPU
        # started; only a scenario, which declares its CPUs, promises that
        self._before: dict[tuple[int, Share], int] | None = None
        self._promised = False
        self._add = self._add_alone if parallel else self._sum
        self._lock = threading.Lock()  # CPUs of the free engine write at the same time

    def begin(self, machine: Machine) -> None:
        self._position = machine.engine.position
        self._entries = []
        self._counts = {}
        self._owners = {}
        self._due = {}
        self._before = None
        self._promised = machine.declared is not None

    # -- the books ------------------------------------------------------------------------------

    def _write(self, cpu: Cpu, record: Record, did: str, share: Share | None, frame: FrameType) -> _Entry:
        """Note who changed a share, in which frame."""
        caller = source.outer(frame)
        code, module = (caller.f_code, caller.f_globals) if caller is not None else (None, {})
        # the line, and whether the caller is machinery, are derived from the instruction when an entry is
        # read
        entry = record.code, self._position(cpu), cpu, did, share, frame.f_code, frame.f_lasti, code, module
        self._entries.append(entry)
        return entry

    def _add_alone(self, record: Record, share: Share, n: int) -> int:
        with self._lock:
            return self._sum(record, share, n)

    def _sum(self, record: Record, share: Share, n: int) -> int:
        # no `get`: on CPython 3.13t it yields 40 times before it gives away what another thread made
        code = record.code
        if code not in self._counts:
            self._counts[code] = {share: n}
            return n
        counts = self._counts[code]
        count = counts[share] = counts[share] + n if share in counts else n
        return count

    def history(self, thing: Record) -> list[str]:
        """The last entries about a record, oldest first."""
        found = (entry for entry in reversed(self._entries) if entry[0] == thing.code)
        return [str(Entry(*entry)) for entry in reversed(list(islice(found, MEMORY)))]

    def counts(self, record: Record) -> Mapping[Share, int]:
        """How many shares of each kind are out; kinds that were never taken may be missing."""
        code = record.code
        return self._counts[code] if code in self._counts else _NO_SHARES  # noqa: SIM401 - see `_sum`

    def allocated_to(self, record: Record) -> Entry | None:
        """The entry of the record's allocation, if it is allocated."""
        entry = self._owners.get(record.code)
        return None if entry is None else Entry(*entry)

    def _fail(self, cpu: Cpu, thing: Record, message: str) -> None:
        cpu.machine.fail("accounting", message, [f"{thing} is {thing.dump()}", *self.history(thing)])

    # -- entries --------------------------------------------------------------------------------

    def took(self, cpu: Cpu, record: Record, share: Share) -> None:
        self._write(cpu, record, "took", share, source.caller(inner=_TOOK))
        count = self._add(record, share, 1)
        if share.temporary or share.balanced:
            self._due[record.code, share] = record
        if share.edge is not None and count == 1 and not self._parallel:
            self._at_edge(cpu, record, share.invariant, share.edge, share.edge.first)

    def gave(self, cpu: Cpu, record: Record, share: Share) -> None:
        self._write(cpu, record, "gave", share, source.caller(inner=_TOOK))
        if share.owned and not has(cpu, record, share):
            self._not_yours(cpu, record, share)
        count = self._add(record, share, -1)
        if share.owned or self._parallel:
            return
        if count < 0:
            message = f"{share.invariant}: more {share}s of {record.klass} given back than taken"
            self._fail(cpu, record, message)
        if share.edge is not None and count == 0:
            self._at_edge(cpu, record, share.invariant, share.edge, share.edge.last)

    def handed(self, cpu: Cpu, record: Record, share: Share) -> None:
        self._write(cpu, record, "handed", share, source.caller(inner=_TOOK))
        self._due[record.code, share] = record
        if not has(cpu, record, share):
            self._not_yours(cpu, record, share, "handed on", "handed it on")

    def taken_over(self, cpu: Cpu, record: Record, share: Share) -> None:
        self._write(cpu, record, "took over", share, source.caller(inner=_TOOK))

    def _not_yours(
        self, cpu: Cpu, record: Record, share: Share, done: str = "given back", did: str = "gave it back"
    ) -> None:
        owners = ", ".join(str(c) for c, mode in record.holders if mode is share) or "nobody"
        cpu.machine.fail(
            "accounting",
            f"{share.invariant}: {share} of {record.klass} {done} by a CPU that has none",
            [f"{cpu} {did}; it is in the hands of {owners}", *self.history(record)],
        )

    def _at_edge(self, cpu: Cpu, record: Record, invariant: str, edge: Edge, done: str) -> None:
        if not has(cpu, record, edge.under):
            self._fail(cpu, record, f"{invariant}: {record.klass} {done} without its {edge.under}")

    def allocated(self, cpu: Cpu, record: Record) -> None:
        before = self._owners.get(record.code)
        frame = source.caller(1)
        self._owners[record.code] = self._write(cpu, record, f"was given the {record.kind}", None, frame)
        if before is not None:
            self._fail(cpu, record, f"INV-AL1: {record.klass} allocated twice")

    def freed(self, cpu: Cpu, record: Record) -> None:
        self._write(cpu, record, "frees it", None, source.caller(1))
        self._owners.pop(record.code, None)  # the CPU that frees it need not be the one it was allocated to

    # -- leaks ----------------------------------------------------------------------------------

    def spawned(self, cpu: Cpu, child: Cpu) -> None:
        if self._promised and self._before is None:
            self._before = self._balanced()

    def _balanced(self) -> dict[tuple[int, Share], int]:
        """How many are out of each share that must balance, by record."""
        return {
            (code, share): self._counts[code][share]
            for (code, share), record in self._due.items()
            if share.balanced and not (share.counted is not None and share.counted(record))
        }

    def exits(self, cpu: Cpu) -> None:
        for hold in cpu.held:
            if isinstance(hold.mode, Share):
                share, record = hold.mode, hold.lock
                cpu.machine.fail(
                    "leak",
                    f"{share.invariant}: {share} of {record.klass} never given back",
                    [f"{cpu} ended with it", f"{record} is {record.dump()}", *self.history(record)],
                )

    def end(self, machine: Machine) -> None:
        for (code, share), record in self._due.items():
            if self._counts[code][share] and (share.temporary or share in record.in_progress):
                how = "handed on and never taken over" if share.owned else "never given back"
                machine.fail(
                    "leak",
                    f"{share.invariant}: {share} of {record.klass} {how}",
                    [f"{record} is {record.dump()}", *self.history(record)],
                )
        self._balance(machine)

    def _balance(self, machine: Machine) -> None:
        """Compare the counts of shares that must balance with those when the first CPU started."""
        if self._before is None:
            return
        before, after = self._before, self._balanced()
        more: dict[Share, int] = {}
        for (code, share), count in after.items():
            more[share] = more.get(share, 0) + count - before.get((code, share), 0)
        for (code, share), record in self._due.items():
            if more.get(share, 0) > 0 and after.get((code, share), 0) > before.get((code, share), 0):
                machine.fail(
                    "leak",
                    f"{share.invariant}: more {share}s are out than when the CPUs started",
                    [f"{record} is {record.dump()}", *self.history(record)],
                )


def _a(share: Share) -> str:
    return f"an {share}" if share.name[0] in "aeiou" else f"a {share}"
