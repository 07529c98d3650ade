"""The kernel's view of what runs on a CPU: struct thread, critical sections and IPI queues.

Models: sys/sys/thread.h, sys/kern/lwkt_thread.c, lwkt_ipiq.c as far as locks and sleeps need them.
Locks: a thread's fields belong to its own CPU; any CPU writes the IPI queue.
Deviations:
  * one thread a CPU; while it sleeps its CPU is idle and takes IPIs.
  * a running CPU takes an IPI where its effect can first be seen: on entry to or exit from the
    outermost critical section, and before the CPU idles.  An IPI acts on the receiver's own sleep
    queue alone, which is touched in critical sections only, so taking it earlier would look the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

from vmsmp.engine import ops
from vmsmp.engine.cpu import Cpu
from vmsmp.engine.machine import Machine
from vmsmp.engine.wait import WaitMode
from vmsmp.sync.lock import EXCLUSIVE, SHARED

TOK_EXCLUSIVE: Final = 1
TOK_EXCLREQ: Final = 2
TOK_INCR: Final = 4
TOK_COUNTMASK: Final = ~3
LWKT_MAXTOKENS: Final = 32

TDF_TSLEEPQ = 0x0001
TDF_TSLEEP_DESCHEDULED = 0x0002
TDF_DEADLKTREAT = 0x0004
TDF_SINTR = 0x0008


class Thread:
    """struct thread, and the fields of its globaldata that locks use.

    `td_critcount` >= `gd_spinlocks` at every step.  `td_toks_array` is the token stack;
    `td_toks_have` is None or the number of refs, from the bottom, that are really owned.
    """

    __slots__ = (
        "cpu",
        "gd_spinlocks",
        "ident",
        "idle",
        "ipiq",
        "name",
        "td_critcount",
        "td_flags",
        "td_gate",
        "td_sigpending",
        "td_toks_array",
        "td_toks_have",
        "td_wchan",
        "td_wdomain",
    )

    def __init__(self, cpu: Cpu) -> None:
        self.cpu = cpu
        self.ident = cpu.machine.enroll(self)
        self.name = f"ipiq of cpu{cpu.index}"
        self.td_critcount = 0
        self.gd_spinlocks = 0
        self.td_flags = 0
        self.td_toks_array: list[TokRef] = []
        self.td_toks_have: int | None = None
        self.td_wchan: Any = None
        self.td_wdomain = 0
        self.td_sigpending = False
        #: The gate where it waits for a lock of the atomic depth, so that a signal can reach it.
        self.td_gate: Any = None
        self.ipiq: deque[Callable[[], object]] = deque()
        self.idle = False

    def state(self) -> str:
        return f"{len(self.ipiq)} queued"

    def __repr__(self) -> str:
        return self.name


class TokRef:
    """struct lwkt_tokref, a slot of a thread's token stack: which token, and the mode to take it again in."""

    __slots__ = ("tr_count", "tr_owner", "tr_tok")

    def __init__(self, tok: Any, td: Thread, count: int) -> None:
        self.tr_tok: Any = tok  # a token, of the depth of its machine
        self.tr_owner = td
        self.tr_count = count

    @property
    def mode(self) -> WaitMode:
        return EXCLUSIVE if self.tr_count & TOK_EXCLUSIVE else SHARED

    def __repr__(self) -> str:
        return f"ref of cpu{self.tr_owner.cpu.index} to {self.tr_tok.name}"


def curthread(machine: Machine) -> Thread:
    """The thread of the running CPU."""
    cpu = machine.engine.current
    td: Thread | None = cpu.td
    if td is None:
        td = cpu.td = Thread(cpu)
    return td


def crit_enter(td: Thread) -> None:
    """Hold off preemption and IPIs on this CPU until the matching `crit_exit`."""
    if td.ipiq and not td.td_critcount:
        lwkt_process_ipiq(td)
    td.td_critcount += 1


def crit_exit(td: Thread) -> None:
    """Leave a critical section; the outermost exit takes the IPIs that have arrived."""
    td.td_critcount -= 1
    if td.ipiq and not td.td_critcount:
        lwkt_process_ipiq(td)


def lwkt_send_ipiq(machine: Machine, target: Thread, func: Callable[[], object]) -> None:
    """Have the target's CPU call `func`, asynchronously.  Never waits."""
    machine.point(target.ident << ops.KIND_BITS | ops.IPI)
    target.ipiq.append(func)
    if target.idle:
        target.idle = False
        machine.engine.ready(target.cpu)


def lwkt_process_ipiq(td: Thread) -> None:
    """Take the IPIs that have arrived.  Runs on the CPU they were sent to."""
    td.td_critcount += 1
    while td.ipiq:
        td.ipiq.popleft()()
    td.td_critcount -= 1
