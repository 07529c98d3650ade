"""The host thread of a free execution: it bounds the run, calls rendezvous and tells a hang.

A rendezvous has every CPU stand between two operations, where the whole-machine predicates can speak.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Final, Protocol

from vmsmp.engine.flag import Flag
from vmsmp.engine.free_cpu import FreeCpu
from vmsmp.engine.hang import has_leave, seconds_of
from vmsmp.engine.machine import Machine
from vmsmp.engine.verdict import FailureKind
from vmsmp.errors import Halt

#: Seconds between two looks of the supervisor, between two rendezvous, and until still CPUs hang.
LOOK_S: Final = 0.01
RENDEZVOUS_S: Final = 0.25
STILL_S: Final = 0.5
#: Seconds that a CPU gets to end which hangs.
LAST_S: Final = 1.0
#: Seconds that the CPUs get to come to a rendezvous.
GATHER_S: Final = 0.2


class Bound(StrEnum):
    """What cut an execution short without a failure; empty, and so false, if nothing did."""

    NONE = ""
    TIME = "time"
    OPERATIONS = "operations"
    INTERRUPTED = "interrupted"


class Limits(Protocol):
    """How long an execution may last."""

    seconds: float
    max_ops: int
    hang_s: float


class Supervised(Protocol):
    """What a supervisor needs of the execution."""

    machine: Machine
    halting: bool
    bounded: Bound

    @property
    def cpus(self) -> Sequence[FreeCpu]:
        """All CPUs there are by now."""

    def operations(self) -> int:
        """Visible operations performed so far."""

    def halt(self) -> None:
        """End the execution."""


class Rendezvous:
    """A meeting of all CPUs, each between two operations."""

    __slots__ = ("_over", "_turn", "called", "caller", "held")

    def __init__(self) -> None:
        #: Whether the CPUs are to stand still.
        self.called = False
        #: How many have been held.
        self.held = 0
        self._over = Flag()
        #: Held by who called it: the supervisor, or a CPU.
        self._turn = threading.Lock()
        #: The CPU that called it, if one did, and goes on alone.
        self.caller: FreeCpu | None = None

    def dismiss(self) -> None:
        """Nobody stands still any longer."""
        self._over.set()

    def attend(self, run: Supervised) -> None:
        """Stand still until it is over; for a CPU."""
        while self.called and not run.halting:
            self._over.wait()

    def hold(self, run: Supervised) -> None:
        """Call all CPUs and let the whole-machine predicates speak; for the supervisor."""
        if not self._turn.acquire(blocking=False):
            return  # a CPU makes a step of several accesses
        try:
            self._call(run)
            if self._gathered(run, time.monotonic() + GATHER_S):
                self.held += 1
                try:
                    run.machine.quiesce()
                except Halt:
                    pass
        finally:
            self.end()

    def stand_alone(self, run: Supervised, cpu: FreeCpu) -> None:
        """Call all other CPUs and go on once they stand still; for a CPU, which says when it is the `end`."""
        cpu.blocked = True
        while not self._turn.acquire(timeout=GATHER_S):
            if run.halting:
                raise Halt
        self.caller = cpu
        self._call(run)
        if not self._gathered(run):
            self.end()
            raise Halt
        cpu.blocked = False

    def end(self) -> None:
        """The CPUs that stand still go on."""
        self.caller = None
        self.called = False
        self._over.set()
        self._turn.release()

    def _call(self, run: Supervised) -> None:
        self._over.clear()
        self.called = True
        for cpu in run.cpus:
            cpu.fuse = 0

    @staticmethod
    def _gathered(run: Supervised, deadline: float = math.inf) -> bool:
        """Whether all came in time; a CPU that computes for long comes to a later one."""
        while not all(c.blocked or c.done for c in run.cpus):
            if run.halting or time.monotonic() > deadline:
                return False
            time.sleep(0.0002)
        return True


def supervise(run: Supervised, limits: Limits, rendezvous: Rendezvous, boot: FreeCpu) -> None:
    """Watch the execution until its boot CPU has ended or it is cut short."""
    start = time.monotonic()
    last_meeting = still_since = start
    seen: list[Any] = []
    while not boot.ended.wait(LOOK_S):
        now = time.monotonic()
        if run.halting:
            return
        if now - start >= limits.seconds or run.operations() >= limits.max_ops:
            run.bounded = Bound.TIME if now - start >= limits.seconds else Bound.OPERATIONS
            run.halt()
            return
        signs = _signs(run)
        if signs != seen:
            seen, still_since = signs, now
        elif now - still_since >= STILL_S and _standstill(run, now - still_since, limits.hang_s):
            still_since = now
        if now - last_meeting >= RENDEZVOUS_S:
            last_meeting = now
            rendezvous.hold(run)


def unended(run: Supervised, hang_s: float) -> FreeCpu | None:
    """Wait until every CPU has ended; return one that does not.

    After a hang, the CPU that hangs is not waited for as long again.  One in which vmsmp itself works is
    waited for as long as it uses processor time.
    """
    violation = run.machine.violation
    hangs = violation is not None and violation.kind is FailureKind.HANG
    patience = min(hang_s, LAST_S) if hangs else hang_s
    deadline = time.monotonic() + patience
    n = 0
    used: dict[int, float] = {}
    while n < len(run.cpus):  # a CPU may spawn more while we wait
        cpu = run.cpus[n]
        if cpu.ended.wait(max(0.0, deadline - time.monotonic())):
            n += 1
        elif has_leave(run.machine, cpu, used.get(n, -1.0)):
            used[n] = seconds_of(cpu.thread)
            deadline = time.monotonic() + patience
        else:
            return cpu
    return None


def _signs(run: Supervised) -> list[Any]:
    """What changes while a CPU gets on: its operations, or, while it waits, what for.

    A CPU that waits counts as still whether it sleeps in the host or spins.
    """
    return [(cpu.index, cpu.done, id(cpu.wants) if cpu.wants is not None else cpu.nops) for cpu in run.cpus]


def _standstill(run: Supervised, seconds: float, hang_s: float) -> bool:
    """No CPU has got on for a while: ask the checkers, then call it a hang.

    Return whether it is none, since a CPU may take its time: time counts from here.
    """
    machine = run.machine
    live = [cpu for cpu in run.cpus if not cpu.done]
    try:
        if all(cpu.wants is not None for cpu in live):
            for hook in machine.hooks.idle:
                hook(machine)
        if seconds >= hang_s and all(cpu.deadline is None for cpu in live):
            if any(has_leave(machine, cpu) for cpu in live if cpu.wants is None and not cpu.blocked):
                return True
            stuck = ", ".join(sorted(str(cpu) for cpu in live))
            machine.fail(FailureKind.HANG, f"no CPU has got on for {hang_s:g} s", [f"stuck: {stuck}"])
    except Halt:
        pass
    return False
