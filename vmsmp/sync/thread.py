"""struct thread, critical sections, and when a CPU takes IPIs.

Models: sys/sys/thread.h, sys/kern/lwkt_thread.c as far as locks and sleeps need them.
Locks: a thread's fields belong to its own CPU; a FIFO of IPIs is written by its source and its target.
`ipiq` has the sender's half.
A CPU that is neither in a critical section (holding a spinlock is one) nor in an IPI takes IPIs:
  * when it enters or leaves the outermost critical section, pauses in a spin loop or yields;
  * while it is idle: asleep, waiting for a lock other than a spinlock or for a CPU's end, or at its own end;
  * where it calls `splz`.
A sender that waits for room in a FIFO or for an answer takes them in a critical section, too.
An interrupt with a vector of its own (`ipiq.vector`) is taken before any operation, also in critical sections
and IPIs, unless interrupts are disabled.
Deviations:
  * one thread per CPU; while it sleeps its CPU is idle.
  * the kernel's CPU takes IPIs at any instruction outside of critical sections; here accesses to memory may
    come first, with the IPI late.  A program that needs an IPI at an access calls `splz` before it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

from vmsmp.engine.cpu import Cpu
from vmsmp.engine.wait import WaitMode
from vmsmp.sync.lock import EXCLUSIVE, SHARED

if TYPE_CHECKING:
    from vmsmp.sync.services import Services

TOK_EXCLUSIVE: Final = 1
TOK_EXCLREQ: Final = 2
TOK_INCR: Final = 4
TOK_COUNTMASK: Final = ~3
LWKT_MAXTOKENS: Final = 32

#: On the run queue, on which a running thread stays.
TDF_RUNQ = 0x0002
TDF_SINTR = 0x0040
TDF_TSLEEPQ = 0x0080
TDF_TIMEOUT = 0x8000
TDF_TSLEEP_DESCHEDULED = 0x20000
TDF_DEADLKTREAT = 0x1000000


class Fifo:
    """The IPIs that one CPU has sent to another one, and that are not taken yet."""

    __slots__ = ("entries", "ip_drain", "ip_windex", "ip_xindex")

    def __init__(self) -> None:
        self.entries: deque[Callable[[], object]] = deque()
        #: How many functions were sent by `lwkt_send_ipiq`, and the word that counts those that are done.
        self.ip_windex = 0
        self.ip_xindex: Any = None
        #: The number of entries down to which the source waits for it to be drained; 0: it does not wait.
        self.ip_drain = 0


class Thread:
    """struct thread, and the fields of its globaldata that locks use.

    `td_critcount` >= `gd_spinlocks` at every step.  `td_toks_array` is the token stack;
    `td_toks_have` is None or the number of refs, from the bottom, that are really owned.
    """

    __slots__ = (
        "cpu",
        "gd_cpusyncq",
        "gd_intr_nesting_level",
        "gd_ipiq",
        "gd_processing_ipiq",
        "gd_spinlocks",
        "ident",
        "idle",
        "ipi_pending",
        "name",
        "td_critcount",
        "td_cscount",
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
        #: How many cpusyncs of its own are in progress: while there are any it is not held by others.
        self.td_cscount = 0
        self.gd_spinlocks = 0
        self.gd_intr_nesting_level = 0
        self.gd_processing_ipiq = 0
        #: Calls that are to be tried again on this CPU (`cpusync`).
        self.gd_cpusyncq: list[Callable[[], object]] = []
        self.td_flags = TDF_RUNQ
        self.td_toks_array: list[TokRef] = []
        self.td_toks_have: int | None = None
        self.td_wchan: Any = None
        self.td_wdomain = 0
        #: The error of a pending signal, EINTR or ERESTART; 0 for none.
        self.td_sigpending = 0
        #: The gate where it waits for a lock of the atomic depth, so that a signal can reach it.
        self.td_gate: Any = None
        #: By source, in order of sending.
        self.gd_ipiq: dict[int, Fifo] = {}
        #: Whether there may be IPIs to take: set after one is queued, cleared before the queues are searched.
        self.ipi_pending = False
        self.idle = False

    def state(self) -> str:
        return f"{sum(len(fifo.entries) for fifo in self.gd_ipiq.values())} queued"

    def __repr__(self) -> str:
        return self.name


class Switcher(Protocol):
    """The hardware's part of a thread switch."""

    def arise(self, td: Thread) -> None:
        """The CPU has been spawned, and is about to run the thread."""

    def halt(self, td: Thread) -> None:
        """The CPU gives up the thread, and is about to idle."""

    def wake(self, td: Thread) -> None:
        """The CPU is not idle any more."""

    def enter(self, td: Thread) -> None:
        """The thread continues, if it was given up."""

    def retire(self, td: Thread) -> None:
        """The thread ends."""


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
    """The thread of a CPU, which may not have used a primitive yet.

    Raises: TypeError for anything but a CPU.
    """
    if not isinstance(cpu, Cpu):
        raise TypeError(f"a CPU is needed, not {cpu!r}")
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
    splz(td)


def cursig(td: Thread) -> int:
    """Consume a pending signal and return its error, or 0 if there is none."""
    error, td.td_sigpending = td.td_sigpending, 0
    return error


def splz(td: Thread) -> None:
    """Take the IPIs that have arrived, unless the thread holds them off.  Runs on the thread's CPU."""
    if takes_ipis(td):
        lwkt_process_ipiq(td)


def takes_ipis(td: Thread) -> bool:
    """Whether IPIs have come and the thread does not hold them off."""
    return td.ipi_pending and not td.td_critcount and not td.gd_intr_nesting_level


def cpu_disable_intr(td: Thread) -> None:
    """Hold off interrupts with a vector of their own, too."""
    td.cpu.closed = True


def cpu_enable_intr(td: Thread) -> None:
    """Take interrupts again, first the one that has come meanwhile."""
    td.cpu.closed = False
    if td.cpu.latched:
        take_latched(td)


def take_latched(td: Thread) -> None:
    """Take the latched interrupt, unless interrupts are disabled; like one of hardware it may nest.

    One that comes meanwhile is latched again.  After the handler IPIs are taken, unless they are held off.
    """
    cpu = td.cpu
    machine: Any = cpu.machine
    while cpu.latched and not cpu.closed:
        cpu.latched = False
        cpu.closed = True
        td.gd_intr_nesting_level += 1
        td.td_critcount += 1
        machine.vector(td)
        td.td_critcount -= 1
        td.gd_intr_nesting_level -= 1
        cpu.closed = False
    splz(td)


def forbid_hard_section(td: Thread, told: str) -> None:
    """Panic if the thread is in an IPI or a send: it may neither wait for a lock nor sleep there."""
    if td.gd_intr_nesting_level:
        td.cpu.machine.panic(told)


def lwkt_schedule(td: Thread) -> None:
    """Put a thread on the run queue of its CPU."""
    td.td_flags |= TDF_RUNQ


def lwkt_deschedule_self(td: Thread) -> None:
    """Leave the run queue; the thread keeps running until it switches."""
    td.td_flags &= ~TDF_RUNQ


def lwkt_process_ipiq(td: Thread) -> None:
    """Take the IPIs that have arrived, lowest source first.  Runs on the CPU they were sent to.

    Then call what is to be tried again: once, or until nothing is left if the CPU has no cpusync of its own.
    """
    td.td_critcount += 1
    td.gd_processing_ipiq += 1
    while True:
        td.ipi_pending = False
        for source in sorted(td.gd_ipiq):
            while _take(td, td.gd_ipiq[source], 0):
                pass
        _poll_cpusync(td)
        if td.ipi_pending:
            continue
        if not td.gd_cpusyncq or td.td_cscount:
            break
        td.cpu.machine.engine.pause()  # held here by another CPU's cpusync
    td.gd_processing_ipiq -= 1
    td.td_critcount -= 1


def _poll_cpusync(td: Thread) -> None:
    """Call what is to be tried again on this CPU; a call may queue itself again."""
    td.gd_intr_nesting_level += 1
    for _ in range(len(td.gd_cpusyncq)):
        if not td.gd_cpusyncq:  # a nested call has taken some
            break
        td.gd_cpusyncq.pop(0)()
    td.gd_intr_nesting_level -= 1


def lwkt_process_ipiq_nested(td: Thread) -> None:
    """Take IPIs of sources that wait for room in their FIFO."""
    td.td_critcount += 1
    td.gd_processing_ipiq += 1
    for source in sorted(td.gd_ipiq):
        fifo = td.gd_ipiq[source]
        if fifo.ip_drain:
            _take(td, fifo, fifo.ip_drain)
    _poll_cpusync(td)
    td.gd_processing_ipiq -= 1
    td.td_critcount -= 1


def _take(td: Thread, fifo: Fifo, limit: int) -> bool:
    """lwkt_process_ipiq_core: call what is queued now, down to `limit`; return whether more has come."""
    td.gd_intr_nesting_level += 1
    for _ in range(len(fifo.entries) - limit):
        if len(fifo.entries) <= limit:  # a nested call has taken some
            break
        fifo.entries.popleft()()
    td.gd_intr_nesting_level -= 1
    return len(fifo.entries) > limit
