"""Lost wakeups: a CPU keeps sleeping although what it waits for has happened.

There are three proofs, all tested when no CPU can run and before any timeout fires:
  * the caller's predicate (`overdue`) says that the sleep should be over;
  * the CPU sleeps but is on no sleep queue (INV-SL1): a wakeup removed it before it slept;
  * a wakeup on the same ident found no sleeper, and the CPU has read nothing since then: it went to
    sleep because of a stale value.
A sleep that only its timeout would end is reported too: the kernel hides lost wakeups behind
timeouts.  INV-SL3, INV-SL4, INV-LK7, INV-MX5.
"""

from __future__ import annotations

from bisect import bisect_right
from operator import attrgetter
from typing import Any, Final, NamedTuple

from vmsmp.engine import ops
from vmsmp.engine.cpu import Cpu
from vmsmp.engine.machine import Machine
from vmsmp.engine.wait import WaitMode
from vmsmp.sync.ident import ident_name
from vmsmp.sync.observer import LockObserver
from vmsmp.sync.thread import TDF_TSLEEPQ

#: Kinds of operations that read shared state.
_READS: Final = ops.which(lambda kind: kind.reads)


class Missed(NamedTuple):
    """A wakeup that found no sleeper: its ident and domain, its place in the log, and its CPU."""

    asleep: tuple[Any, int]
    at: int
    cpu: Cpu


class LostWakeup(LockObserver):
    """Checks every sleeper when the machine is stopped.

    Without a log of the run (`logged`) only the first two proofs are possible.
    """

    def __init__(self, *, logged: bool = True) -> None:
        self._logged = logged
        # invariant: every wakeup that found no sleeper, by the name of its ident
        self._missed: dict[str, list[Missed]] = {}
        # per sleeper: how far its log was read, which CPU ran there, and where the sleeper read last
        self._read: dict[Cpu, tuple[int, int, int]] = {}

    def begin(self, machine: Machine) -> None:
        self._missed = {}
        self._read = {}

    def wakeup(self, cpu: Cpu, ident: Any, domain: int, woke: int) -> None:
        if not woke and self._logged:
            missed = Missed((ident, domain), len(cpu.machine.engine.log), cpu)
            self._missed.setdefault(ident_name(ident), []).append(missed)

    def idle(self, machine: Machine) -> None:
        for cpu in machine.cpus:
            wait = cpu.wants
            if wait is None or wait.mode is not WaitMode.SLEEP:
                continue
            timed = cpu.deadline is not None
            tail = "; only its timeout would wake it" if timed else ""
            reason = wait.overdue() if wait.overdue is not None else None
            if reason is not None:
                machine.fail(
                    "lost-wakeup",
                    f"{ident_name(wait.what)}: {reason}",
                    [f"{cpu} sleeps on {ident_name(wait.what)}{tail}"],
                )
            if not cpu.td.td_flags & TDF_TSLEEPQ:
                machine.fail(
                    "lost-wakeup",
                    f"{ident_name(wait.what)}: its wakeup came after the interlock, and it slept anyway",
                    [f"{cpu} sleeps and is on no sleep queue any more{tail}"],
                )
            if wait.overdue is not None:
                continue  # the caller's predicate decides
            missed = self._unseen(machine, cpu, wait.what)
            if missed is not None:
                machine.fail(
                    "lost-wakeup",
                    f"{ident_name(wait.what)}: its wakeup came before the sleep",
                    [
                        f"{missed} woke nobody on {ident_name(wait.what)}",
                        f"{cpu} had looked before that and went to sleep after it{tail}",
                    ],
                )

    def _unseen(self, machine: Machine, sleeper: Cpu, ident: Any) -> Cpu | None:
        """Return the CPU whose wakeup on `ident` the sleeper missed and cannot have noticed."""
        asleep = (ident, sleeper.td.td_wdomain)
        missed = self._missed.get(ident_name(ident))
        if not missed:
            return None
        first = bisect_right(missed, self._last_read(machine, sleeper), key=attrgetter("at"))
        unseen = (miss for miss in missed[first:] if miss.cpu is not sleeper and miss.asleep == asleep)
        return next((miss.cpu for miss in unseen), None)

    def _last_read(self, machine: Machine, sleeper: Cpu) -> int:
        """Return where in the log the sleeper last read shared state, or -1."""
        log = machine.engine.log
        seen, running, last_read = self._read.get(sleeper, (0, 0, -1))
        for at in range(seen, len(log)):
            code = log[at]
            if code < 0:
                running = -1 - code
            elif running == sleeper.index:
                kind = code & ops.KIND_MASK
                known = code >> ops.KIND_BITS in machine.words
                if (kind in _READS and not known) or kind in (ops.RESUME, ops.START):
                    last_read = at
        self._read[sleeper] = len(log), running, last_read
        return last_read
