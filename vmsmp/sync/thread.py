"""The kernel's view of what runs on a CPU: struct thread, critical sections and IPI queues.

Models: sys/sys/thread.h, sys/kern/lwkt_thread.c, lwkt_ipiq.c as far as locks and sleeps need them.
Locks: a thread's fields belong to its own CPU; a FIFO of IPIs is written by its source and its target.
Deviations:
  * one thread a CPU; while it sleeps its CPU is idle and takes IPIs.
  * a running CPU takes an IPI where its effect can first be seen: on entry to or exit from the
    outermost critical section, and before the CPU idles.  An IPI of this package acts on the receiver's
    own sleep queue alone, which is touched in critical sections only, so taking it earlier would look
    the same.
  * a CPU that has run its program to the end, or waits for the end of another's, takes no IPIs, and
    nobody waits for it to take them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from vmsmp.engine import ops
from vmsmp.engine.cpu import Cpu
from vmsmp.engine.wait import JOIN, WaitMode
from vmsmp.sync.lock import EXCLUSIVE, SHARED

if TYPE_CHECKING:
    from vmsmp.sync.services import Services

TOK_EXCLUSIVE: Final = 1
TOK_EXCLREQ: Final = 2
TOK_INCR: Final = 4
TOK_COUNTMASK: Final = ~3
LWKT_MAXTOKENS: Final = 32

#: On the run queue, as a running thread is, too.
TDF_RUNQ = 0x0002
TDF_SINTR = 0x0040
TDF_TSLEEPQ = 0x0080
TDF_TIMEOUT = 0x8000
TDF_TSLEEP_DESCHEDULED = 0x20000
TDF_DEADLKTREAT = 0x1000000

#: At how many entries of a FIFO its sender waits, and until how many; then the same inside an IPI.
IPIQ_LIMITS: Final = (128, 64)
IPIQ_LIMITS_NESTED: Final = (253, 251)


class Fifo:
    """The IPIs that one CPU sent to another one and that were not taken yet."""

    __slots__ = ("entries", "ip_drain")

    def __init__(self) -> None:
        self.entries: deque[Callable[[], object]] = deque()
        #: Down to how many entries the source, which waits, wants it to be drained; 0: it does not wait.
        self.ip_drain = 0


class Thread:
    """struct thread, and the fields of its globaldata that locks use.

    `td_critcount` >= `gd_spinlocks` at every step.  `td_toks_array` is the token stack;
    `td_toks_have` is None or the number of refs, from the bottom, that are really owned.
    """

    __slots__ = (
        "cpu",
        "gd_intr_nesting_level",
        "gd_ipiq",
        "gd_processing_ipiq",
        "gd_spinlocks",
        "ident",
        "idle",
        "ipi_pending",
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

    def __init__(self, cpu: Cpu, ident: int) -> None:
        self.cpu = cpu
        self.ident = ident
        self.name = f"ipiq of cpu{cpu.index}"
        self.td_critcount = 0
        self.gd_spinlocks = 0
        self.gd_intr_nesting_level = 0
        self.gd_processing_ipiq = 0
        self.td_flags = TDF_RUNQ
        self.td_toks_array: list[TokRef] = []
        self.td_toks_have: int | None = None
        self.td_wchan: Any = None
        self.td_wdomain = 0
        #: The error of the signal that is pending, EINTR or ERESTART; 0 for none.
        self.td_sigpending = 0
        #: The gate where it waits for a lock of the atomic depth, so that a signal can reach it.
        self.td_gate: Any = None
        #: By source, in order of sending.
        self.gd_ipiq: dict[int, Fifo] = {}
        #: Whether there may be IPIs to take: set after one is queued, cleared before they are looked for.
        self.ipi_pending = False
        self.idle = False

    def state(self) -> str:
        return f"{sum(len(fifo.entries) for fifo in self.gd_ipiq.values())} queued"

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


def curthread(machine: Services) -> Thread:
    """The thread of the running CPU."""
    cpu = machine.engine.current
    td: Thread | None = cpu.td
    return td if td is not None else thread_of(machine, cpu)


def thread_of(machine: Services, cpu: Cpu) -> Thread:
    """The thread of a CPU, which may not have used a primitive yet."""
    with machine.making:
        if cpu.td is None:
            cpu.td = Thread(cpu, machine.thread_ident(cpu))
    td: Thread = cpu.td
    return td


def crit_enter(td: Thread) -> None:
    """Hold off preemption and IPIs on this CPU until the matching `crit_exit`."""
    if td.ipi_pending and not td.td_critcount:
        lwkt_process_ipiq(td)
    td.td_critcount += 1


def crit_exit(td: Thread) -> None:
    """Leave a critical section; the outermost exit takes the IPIs that have arrived."""
    td.td_critcount -= 1
    if td.ipi_pending and not td.td_critcount and not td.gd_intr_nesting_level:
        lwkt_process_ipiq(td)


def cursig(td: Thread) -> int:
    """The error of the signal that is pending, which is taken with that; 0 if there is none."""
    error, td.td_sigpending = td.td_sigpending, 0
    return error


def lwkt_schedule(td: Thread) -> None:
    """Put a thread on the run queue of its CPU."""
    td.td_flags |= TDF_RUNQ


def lwkt_deschedule_self(td: Thread) -> None:
    """Leave the run queue; the thread keeps running until it switches."""
    td.td_flags &= ~TDF_RUNQ


def lwkt_send_ipiq(machine: Services, target: Thread, func: Callable[[], object]) -> None:
    """Have the target's CPU call `func`, asynchronously; the own CPU calls it at once.

    Spins: while the FIFO is too full, and takes IPIs of CPUs that wait for this one in the same way.
    """
    td = curthread(machine)
    if target is td:
        func()
        return
    machine.point(target.ident << ops.KIND_BITS | ops.IPI)
    crit_enter(td)
    td.gd_intr_nesting_level += 1
    fifo = target.gd_ipiq.setdefault(td.cpu.index, Fifo())
    most, least = IPIQ_LIMITS_NESTED if td.gd_processing_ipiq else IPIQ_LIMITS
    if len(fifo.entries) > most:
        _wait_for_room(td, target, fifo, least)
    fifo.entries.append(func)
    target.ipi_pending = True
    if target.idle:
        target.idle = False
        machine.engine.ready(target.cpu)
    td.gd_intr_nesting_level -= 1
    crit_exit(td)


def _wait_for_room(td: Thread, target: Thread, fifo: Fifo, least: int) -> None:
    before, fifo.ip_drain = fifo.ip_drain, least
    while len(fifo.entries) > least and not _absent(target.cpu):
        lwkt_process_ipiq_nested(td)
        td.cpu.machine.engine.yield_()
    fifo.ip_drain = before


def _absent(cpu: Cpu) -> bool:
    """Whether a CPU takes no IPIs: it has ended, or waits for another one's end."""
    return cpu.done or (cpu.wants is not None and cpu.wants.mode is JOIN)


def lwkt_process_ipiq(td: Thread) -> None:
    """Take the IPIs that have arrived, lowest source first.  Runs on the CPU they were sent to."""
    td.td_critcount += 1
    td.gd_processing_ipiq += 1
    while td.ipi_pending:
        td.ipi_pending = False
        for source in sorted(td.gd_ipiq):
            while _take(td, td.gd_ipiq[source], 0):
                pass
    td.gd_processing_ipiq -= 1
    td.td_critcount -= 1


def lwkt_process_ipiq_nested(td: Thread) -> None:
    """Take IPIs of sources that wait until there is room for one more."""
    td.td_critcount += 1
    td.gd_processing_ipiq += 1
    for source in sorted(td.gd_ipiq):
        fifo = td.gd_ipiq[source]
        if fifo.ip_drain:
            _take(td, fifo, fifo.ip_drain)
    td.gd_processing_ipiq -= 1
    td.td_critcount -= 1


def _take(td: Thread, fifo: Fifo, limit: int) -> bool:
    """lwkt_process_ipiq_core: call what is queued by now, down to `limit`; whether there is more by then."""
    td.gd_intr_nesting_level += 1
    for _ in range(len(fifo.entries) - limit):
        if len(fifo.entries) <= limit:  # one that was called took some in turn
            break
        fifo.entries.popleft()()
    td.gd_intr_nesting_level -= 1
    return len(fifo.entries) > limit
