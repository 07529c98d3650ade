"""One CPU: what it runs, what it is about to do, what it holds and what it waits for.

Everything here is written by the CPU itself or by the engine while that CPU does not run.
`held` and `wants` are kept whether or not checkers are on, since a report of a hang needs them.
Each engine makes CPUs of a class of its own, with what it keeps of them.
"""

from __future__ import annotations

import inspect
import random
import threading
from collections.abc import Callable
from typing import Any, Final

from vmsmp.engine.protocol import Home
from vmsmp.engine.wait import GRANTED, Hold, Wait, WaitEnd
from vmsmp.errors import UsageError

#: Code that a call only makes ready: nothing of it would run.
_RUNS_LATER: Final = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


class Cpu:
    """A CPU of one machine; its thread comes from the pool.

    `pending` is the operation it stands before, `nops` how many it has performed (kept only while
    a run is being recorded or replayed), `td` the kernel thread structure that `sync` hangs on it, `mmu` the
    unit of the room of that name, if the machine has such units.
    """

    __slots__ = (
        "alarmed",
        "args",
        "closed",
        "deadline",
        "done",
        "fn",
        "held",
        "index",
        "latched",
        "machine",
        "mmu",
        "name",
        "nops",
        "ops_join",
        "pending",
        "result",
        "rngs",
        "started",
        "td",
        "thread",
        "wait_end",
        "wants",
    )

    def __init__(
        self,
        machine: Home[Cpu],
        index: int,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        name: str | None,
        thread: threading.Thread,
    ) -> None:
        self.machine = machine
        self.index = index
        self.fn: Callable[..., Any] | None = fn
        self.args = args
        self.name = name or f"cpu{index}"
        self.thread = thread
        self.pending = 0
        self.nops = 0
        self.held: list[Hold] = []
        self.wants: Wait | None = None
        self.rngs: dict[str, random.Random] = {}
        self.result: Any = None
        self.td: Any = None
        self.mmu: Any = None
        self.started = False
        self.done = False
        #: The tick at which its wait times out (None: never), and how the last one ended.
        self.deadline: int | None = None
        self.wait_end: WaitEnd = GRANTED
        #: Whether the scheduler may end its wait.
        self.alarmed = False
        #: Whether an interrupt has come that it takes before any operation, and whether it takes none now.
        self.latched = False
        self.closed = False
        #: The operation of a CPU that waits for its end.
        self.ops_join = 0

    def run(self) -> None:
        """Run the program; only the CPU's own thread does.

        Raises: TypeError for a generator or a coroutine, of which nothing would run.
        """
        assert self.fn is not None
        code = getattr(self.fn, "__code__", None)
        if code is not None and code.co_flags & _RUNS_LATER:
            raise TypeError(
                f"a CPU runs a function to its end, and {code.co_name} is a generator or a coroutine"
            )
        self.result = self.fn(*self.args)

    def rng(self, stream: str) -> random.Random:
        """The CPU's random numbers of that name, from the machine's seed alone."""
        if stream not in self.rngs:
            self.rngs[stream] = random.Random(f"{self.machine.seed}/{stream}/{self.index}")
        return self.rngs[stream]

    def holds(self, thing: Any, mode: str) -> bool:
        """Whether it has `thing` in hand in that mode."""
        return any(hold.lock is thing and hold.mode == mode for hold in self.held)

    def let_go(self, thing: Any, mode: str) -> bool:
        """Take the last such hold out of its hands; whether there was one."""
        held = self.held
        if held:
            last = held[-1]  # it mostly is that one
            if last.lock is thing and last.mode == mode:
                held.pop()
                return True
        for n in range(len(held) - 2, -1, -1):
            if held[n].lock is thing and held[n].mode == mode:
                del held[n]
                return True
        return False

    def load(self, va: int) -> Any:
        """Read memory at a virtual address in user mode, through TLB and page tables.

        Raises: UsageError on another CPU or without an MMU, and as `mmu.unit.Unit.access`.
        """
        return self._unit().load(va)

    def store(self, va: int, value: Any) -> None:
        """Write memory at a virtual address in user mode, through TLB and page tables.

        Raises: as `load`.
        """
        self._unit().store(va, value)

    def _unit(self) -> Any:
        if self.mmu is None:
            raise UsageError("this machine has no MMU: m.mmu(frames=...) makes one")
        if self.machine.curcpu is not self:
            raise UsageError(
                f"{self} accesses memory itself, and {self.machine.curcpu} cannot do that for it"
            )
        return self.mmu

    def join(self) -> None:
        """Wait until this CPU has run its program to the end.  Blocks the calling CPU."""
        self.machine.engine.join(self)

    def forget(self) -> None:
        """The execution is over: let go of the program and of what it used."""
        self.held = []
        self.rngs = {}
        self.args = ()
        self.fn = self.wants = self.td = self.mmu = self.result = None

    def __repr__(self) -> str:
        return f"cpu{self.index}" if self.name == f"cpu{self.index}" else f"cpu{self.index} {self.name}"
