"""The story of one controlled run: every step with its place and what it changed.

A story is made only when somebody wants to read it, by running the schedule once more with this observer.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from vmsmp.engine import ops, source
from vmsmp.engine.cpu import Cpu
from vmsmp.engine.machine import CpuSnapshot, Machine
from vmsmp.engine.protocol import Home
from vmsmp.engine.wait import WaitEnd
from vmsmp.errors import in_words
from vmsmp.sync.observer import LockObserver
from vmsmp.sync.thread import TDF_RUNQ, TDF_TSLEEP_DESCHEDULED, TDF_TSLEEPQ

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
    #: Whom the step woke, and how a sleep ended.
    note: str = ""

    @property
    def change(self) -> str:
        """`old -> new`, or the value looked at."""
        return f"{self.before} -> {self.after}" if self.before != self.after else self.after

    @property
    def doing(self) -> str:
        """The operation and the functions it is in, the innermost first."""
        functions = " < ".join(place.function for place in self.place)
        return f"{self.text} in {functions}" if functions else self.text


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


@dataclass(slots=True)
class _Step:
    """The step under way: it is written down at the next arrival, when its effect is there."""

    cpu: Cpu
    code: int
    before: str
    place: tuple[source.Place, ...]
    switch: str
    held: int
    #: The CPUs that slept as it began, and those that had announced a sleep.
    asleep: list[Cpu]
    announced: list[Cpu]
    notes: list[str] = field(default_factory=list)


#: What a sleep returned, by how it ended.
_RETURNS: Final = {WaitEnd.TIMEOUT: "EWOULDBLOCK, timed out", WaitEnd.SPURIOUS: "0, for no reason"}


class Storyteller(LockObserver):
    """Writes a run down while it happens."""

    free = False

    def __init__(self) -> None:
        self._rows: list[Row] = []
        self._grants: list[Grant] = []
        self._open: _Step | None = None
        #: The CPUs that have been sent a signal and have not seen it.
        self._signalled: set[Cpu] = set()
        #: What the step under way accesses, if it is one of several accesses: done, and the last one's code.
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
        before = _state_of(thing)
        asleep, announced = _sleepers(cpu.machine)
        self._open = _Step(cpu, code, before, source.standing(), switch, len(cpu.held), asleep, announced)

    def accessed(self, cpu: Cpu, code: int) -> None:
        self._close_part(cpu)
        thing = cpu.machine.find(ops.object_of(code))
        self._part = code, _state_of(thing)

    def _close_part(self, cpu: Cpu) -> None:
        machine = cpu.machine
        if self._part is not None:
            code, before = self._part
            self._part = None
            thing = machine.find(ops.object_of(code))
            after = _state_of(thing)
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
        done, self._open = self._open, None
        machine, code = done.cpu.machine, done.code
        log = machine.engine.log
        if code & 1 and next((c for c in reversed(log) if c >= 0), -1) == code - 1:
            code -= 1  # the try failed
        thing = machine.find(ops.object_of(code))
        after = _state_of(thing)
        text = machine.describe(code)
        name = text.removeprefix(ops.NAMES[ops.kind_of(code)]).lstrip()
        self._close_part(done.cpu)
        if self._parts:
            text = f"{text}: {', '.join(self._parts)}"
            self._parts = []
        note = "; ".join([*self._woken_by(done), *done.notes])
        self._rows.append(
            Row(
                len(self._rows),
                done.cpu.index,
                text,
                done.before or after,
                after,
                done.place,
                done.switch,
                done.held,
                name,
                note,
            )
        )
        self._signalled |= {cpu for cpu in machine.cpus if _pending(cpu)}

    # -- sleeps ---------------------------------------------------------------------------------

    @staticmethod
    def _woken_by(done: _Step) -> list[str]:
        """Whom the step woke, and whom it took off a queue before the sleep."""
        asleep, announced = _sleepers(done.cpu.machine)
        off = [cpu for cpu in done.asleep if cpu not in asleep and cpu is not done.cpu and not cpu.wait_end]
        early = [
            cpu
            for cpu in done.announced
            if cpu not in announced and cpu not in asleep and cpu is not done.cpu
        ]
        told = [f"wakes {_names(off)}"] if off else []
        return told + ([f"reaches {_names(early)} before the sleep"] if early else [])

    def wakeup(self, cpu: Cpu, ident: Any, domain: int, woke: int) -> None:
        if self._open is not None and self._open.cpu is cpu:
            which = "one" if _called(sys._getframe(1), "_one") else "all"
            self._open.notes.append(f"wakeup of {which} reaches {woke or 'nobody'}")

    def woken(self, cpu: Cpu, ident: Any, why: WaitEnd) -> None:
        if self._open is None or self._open.cpu is not cpu:
            return
        if cpu in self._signalled and not _pending(cpu):
            self._signalled.discard(cpu)
            returned = "EINTR, by a signal"
        else:
            returned = _RETURNS.get(why, "0, without sleeping" if why is WaitEnd.BEFORE else "0")
        self._open.notes.append(f"sleep returns {returned}")

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


def _state_of(thing: Any) -> str:
    """What a report shows of a thing's state; a cell may hold whatever a program puts there."""
    return in_words(thing, lambda one: one.state()) if hasattr(thing, "state") else ""


def _sleepers(machine: Home[Cpu]) -> tuple[list[Cpu], list[Cpu]]:
    """The CPUs that sleep, and those on a sleep queue that do not sleep yet."""
    flags = [(cpu, cpu.td.td_flags) for cpu in machine.cpus if cpu.td is not None]
    asleep = [cpu for cpu, flag in flags if flag & TDF_TSLEEP_DESCHEDULED and not flag & TDF_RUNQ]
    return asleep, [cpu for cpu, flag in flags if flag & TDF_TSLEEPQ and flag & TDF_RUNQ]


def _pending(cpu: Cpu) -> bool:
    """Whether a signal waits for the CPU."""
    return cpu.td is not None and bool(cpu.td.td_sigpending)


def _names(cpus: list[Cpu]) -> str:
    return ", ".join(map(str, cpus))


def _called(frame: FrameType | None, ending: str) -> bool:
    """Whether a primitive whose name ends so is among the callers."""
    while frame is not None and source.role_of(frame) is not source.Role.PROGRAM:
        if frame.f_code.co_name.endswith(ending):
            return True
        frame = frame.f_back
    return False
