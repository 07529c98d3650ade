"""The story of one controlled run: every step with its place and what it changed.

A story is made only when somebody wants to read it, by running the schedule once more with this observer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmsmp.engine import ops, source
from vmsmp.engine.cpu import Cpu
from vmsmp.engine.machine import CpuSnapshot, Machine
from vmsmp.sync.observer import LockObserver

if TYPE_CHECKING:
    from vmsmp.sync.lock import Lock


@dataclass(frozen=True, slots=True)
class Row:
    """One step.  `switch` says why another CPU runs than in the row before.

    It is "" if none does, and on fair picks, where a CPU runs because it is its turn.
    """

    step: int
    cpu: int
    text: str
    before: str
    after: str
    place: tuple[source.Place, ...]
    switch: str
    held: int
    #: The name of what the operation is about, "" for nothing.
    thing: str = ""

    @property
    def change(self) -> str:
        """`old -> new`, or the value looked at."""
        return f"{self.before} -> {self.after}" if self.before != self.after else self.after


@dataclass(frozen=True, slots=True)
class Grant:
    """In step `step` a CPU got a lock, or (not `taken`) it was the last in which it had it.

    `lock` is the lock's identity, for two may have the same name.
    """

    step: int
    cpu: int
    lock: int
    name: str
    mode: str
    taken: bool


@dataclass(frozen=True, slots=True)
class Story:
    """All steps of a run, and how every CPU stood at its end."""

    cpus: tuple[str, ...]
    rows: tuple[Row, ...]
    scene: tuple[CpuSnapshot, ...]
    ticks: int
    grants: tuple[Grant, ...] = ()


class Storyteller(LockObserver):
    """Writes a run down while it happens."""

    free = False

    def __init__(self) -> None:
        self._rows: list[Row] = []
        self._grants: list[Grant] = []
        # The step under way: it is written down at the next arrival, when its effect is there.
        self._open: tuple[Cpu, int, str, tuple[source.Place, ...], str, int] | None = None
        # What the step under way accesses, if it is one of several accesses: done, and the last one's code.
        self._parts: list[str] = []
        self._part: tuple[int, str] | None = None
        #: At which row picks have become fair, if they have.
        self._fair: int | None = None

    def op(self, cpu: Cpu, code: int) -> None:
        self._close_row()
        switch = ""
        if cpu.wait_end and cpu.wants is not None:
            switch = f"{cpu}: its wait ends, {cpu.wait_end}"
        elif self._rows and self._rows[-1].cpu != cpu.index:
            switch = self._why(cpu.machine.cpus[self._rows[-1].cpu])
        thing = cpu.machine.find(ops.object_of(code))
        before = thing.state() if hasattr(thing, "state") else ""
        self._open = (cpu, code, before, source.standing(), switch, len(cpu.held))

    def accessed(self, cpu: Cpu, code: int) -> None:
        self._close_part(cpu)
        thing = cpu.machine.find(ops.object_of(code))
        self._part = code, thing.state() if hasattr(thing, "state") else ""

    def _close_part(self, cpu: Cpu) -> None:
        machine = cpu.machine
        if self._part is not None:
            code, before = self._part
            self._part = None
            thing = machine.find(ops.object_of(code))
            after = thing.state() if hasattr(thing, "state") else ""
            change = f"{before} -> {after}" if before != after else after
            self._parts.append(f"{machine.describe(code)} {change}")

    def late(self, machine: Machine) -> None:
        if self._fair is None:
            self._fair = len(self._rows) + 1

    def _why(self, last: Cpu) -> str:
        """Why another CPU runs after `last`."""
        if last.done:
            return f"{last} ended"
        if last.wants is not None and not last.machine.engine.can_run(last):
            what = last.wants.what
            return f"{last} waits: {last.wants.mode} {getattr(what, 'name', what)}"
        if self._fair is not None:
            return (
                "half of the step limit: from here on every CPU in turn"
                if self._fair == len(self._rows)
                else ""
            )
        if ops.kind_of(last.pending) in ops.GIVING_WAY:
            return f"{last} gave way"
        return f"{last} preempted"

    def acquired(self, cpu: Cpu, lock: Lock, mode: str, tried: bool) -> None:
        self._grant(cpu, lock, mode, True)

    def released(self, cpu: Cpu, lock: Lock, mode: str) -> None:
        self._grant(cpu, lock, mode, False)

    def _grant(self, cpu: Cpu, lock: Lock, mode: str, taken: bool) -> None:
        if not cpu.machine.engine.halting:  # what a CPU lets go of as it unwinds is not the program's doing
            self._grants.append(Grant(len(self._rows), cpu.index, lock.ident, str(lock), mode, taken))

    def _close_row(self) -> None:
        if self._open is None:
            return
        cpu, code, before, place, switch, held = self._open
        self._open = None
        machine = cpu.machine
        log = machine.engine.log
        if code & 1 and next((c for c in reversed(log) if c >= 0), -1) == code - 1:
            code -= 1  # the try failed
        thing = machine.find(ops.object_of(code))
        after = thing.state() if hasattr(thing, "state") else ""
        text = machine.describe(code)
        name = text.removeprefix(ops.NAMES[ops.kind_of(code)]).lstrip()
        self._close_part(cpu)
        if self._parts:
            text = f"{text}: {', '.join(self._parts)}"
            self._parts = []
        step = len(self._rows)
        self._rows.append(Row(step, cpu.index, text, before or after, after, place, switch, held, name))

    def finish(self, machine: Machine) -> Story:
        """The whole story; call once, when the run is over."""
        self._close_row()
        return Story(
            tuple(str(cpu) for cpu in machine.cpus),
            tuple(self._rows),
            machine.scene or machine.survey(),
            machine.ticks,
            tuple(self._grants),
        )
