"""One CPU: what it runs, what it is about to do, what it holds and what it waits for.

Everything here is written by the CPU itself or by the engine while that CPU does not run.
`held` and `wants` are the two columns of every hang report, so they are kept whether or not
checkers are on.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vmsmp.engine.machine import Machine
    from vmsmp.engine.workers import Worker


class WaitMode(StrEnum):
    """In which way something is waited for; the value is its word in a report."""

    EXCLUSIVE = "exclusive"
    SHARED = "shared"
    UPGRADE = "upgrade"
    #: Take all tokens again, at once.
    ALL_TOKENS = "all tokens"
    #: Until a count comes to zero.
    ZERO = "zero"
    SLEEP = "sleep on"
    #: Until a CPU has run its program to the end.
    JOIN = "join"


class WaitEnd(StrEnum):
    """How a wait ended; empty, and so false, if what was waited for came."""

    GRANTED = ""
    TIMEOUT = "timeout"
    SPURIOUS = "spurious"
    #: Of a sleep: a wakeup ended it.
    WAKEUP = "wakeup"
    #: Of a sleep: the wakeup or signal came before it began.
    BEFORE = "before"


@dataclass(slots=True, eq=False)
class Hold:
    """One lock in a CPU's hands; never changed (a frozen one takes three times as long to make)."""

    lock: Any
    mode: str


@dataclass(slots=True, eq=False)
class Wait:
    """What a CPU waits for: a lock, an ident, a CPU; never changed."""

    what: Any
    mode: WaitMode
    #: Called when nothing runs: why the wait should be over already, or None if it should not.
    overdue: Callable[[], str | None] | None = None


class Cpu:
    """A CPU of one machine; its thread comes from the pool.

    `pending` is the operation it stands before, `nops` how many it has performed (kept only while
    a run is being recorded or replayed), `td` the kernel thread structure that `sync` hangs on it.
    """

    __slots__ = (
        "alarmed",
        "args",
        "baton",
        "blocked",
        "deadline",
        "done",
        "ended",
        "everybody",
        "fn",
        "fuse",
        "held",
        "index",
        "injections",
        "joiners",
        "machine",
        "name",
        "nops",
        "ops_join",
        "pause_mark",
        "pending",
        "permit",
        "result",
        "ring",
        "rngs",
        "started",
        "td",
        "wait_end",
        "wants",
        "worker",
    )

    def __init__(
        self, machine: Machine, index: int, fn: Callable[..., Any], args: tuple[Any, ...], name: str
    ) -> None:
        self.machine = machine
        self.index = index
        self.fn: Callable[..., Any] | None = fn
        self.args = args
        self.name = name
        self.worker: Worker
        #: The worker's baton, by which the controlled engine hands over.
        self.baton: Any
        self.pending = 0
        self.nops = 0
        self.held: list[Hold] = []
        self.wants: Wait | None = None
        self.joiners: list[Cpu] = []
        #: Whether the one it waits for to end is only the first of all.
        self.everybody = False
        self.rngs: dict[str, random.Random] = {}
        self.result: Any = None
        self.td: Any = None
        self.started = False
        self.done = False
        self.pause_mark = -1
        # A sleep with a way out: the tick at which it times out (None: never), and how it ended.
        self.deadline: int | None = None
        self.wait_end = WaitEnd.GRANTED
        self.alarmed = False
        self.injections = 0
        self.ops_join = 0
        # The free engine's own, and set by it: at which operation the next slow step is due, the
        # operations performed last, whether it waits in the host, and what it waits on there.
        self.fuse: int
        self.ring: list[int]
        self.blocked: bool
        self.permit: threading.Lock
        self.ended: threading.Event

    def run(self) -> None:
        """Run the program; only the CPU's own thread does."""
        assert self.fn is not None
        self.result = self.fn(*self.args)

    def rng(self, stream: str) -> random.Random:
        """The CPU's random numbers of that name, from the machine's seed alone."""
        rng = self.rngs.get(stream)
        if rng is None:
            rng = random.Random(f"{self.machine.seed}/{stream}/{self.index}")
            self.rngs[stream] = rng
        return rng

    def holds(self, thing: Any, mode: str) -> bool:
        """Whether it has `thing` in hand in that mode."""
        return any(hold.lock is thing and hold.mode == mode for hold in self.held)

    def let_go(self, thing: Any, mode: str) -> bool:
        """Take the last such hold out of its hands; whether there was one."""
        held = self.held
        for n in range(len(held) - 1, -1, -1):
            if held[n].lock is thing and held[n].mode == mode:
                del held[n]
                return True
        return False

    def join(self) -> None:
        """Wait until this CPU has run its program to the end.  Blocks the calling CPU."""
        self.machine.engine.join(self)

    def __repr__(self) -> str:
        return f"cpu{self.index}" if self.name == f"cpu{self.index}" else f"cpu{self.index} {self.name}"
