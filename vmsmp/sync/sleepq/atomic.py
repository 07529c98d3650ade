"""Sleep queues of the atomic depth: one list for the machine, one step for each operation."""

from __future__ import annotations

from typing import Any

from vmsmp.engine import ops
from vmsmp.engine.cpu import Cpu
from vmsmp.sync.errno import PDOMAIN_MASK, PWAKEUP_MYCPU
from vmsmp.sync.ident import wchan_identity
from vmsmp.sync.services import Services
from vmsmp.sync.sleepq.queues import SleepQueues
from vmsmp.sync.thread import (
    TDF_SINTR,
    TDF_TSLEEP_DESCHEDULED,
    TDF_TSLEEPQ,
    Thread,
    curthread,
    lwkt_schedule,
)


class AtomicSleepQueues(SleepQueues):
    """One list for the whole machine, in order of arrival."""

    def __init__(self, machine: Services) -> None:
        super().__init__(machine)
        self._gate = machine.engine.gate()
        self._waiting: list[Thread] = []

    def interlock(self, ident: Any, flags: int) -> None:
        td = curthread(self.machine)

        def announce(_cpu: Cpu) -> None:
            if td.td_flags & TDF_TSLEEPQ:
                if td.td_wchan == ident and td.td_wdomain == flags & PDOMAIN_MASK:
                    return
                self._waiting.remove(td)
            self._waiting.append(td)
            td.td_wchan = ident
            td.td_wdomain = flags & PDOMAIN_MASK
            td.td_flags |= TDF_TSLEEPQ

        self._gate.alter(self._code(ident, ops.INTERLOCK), announce)
        for hook in self.machine.hooks.interlocked:
            hook(td.cpu, ident)

    # Wakers and signals write this thread's flags under the host's lock, so it does so itself.

    def catches(self, td: Thread) -> bool:
        with self._gate.host:
            return super().catches(td)

    def caught(self, td: Thread, error: int) -> int:
        with self._gate.host:
            return super().caught(td, error)

    def deschedule(self, td: Thread, ident: Any, flags: int) -> bool:
        with self._gate.host:
            return super().deschedule(td, ident, flags)

    def endtsleep(self, td: Thread) -> None:
        with self._gate.host:
            super().endtsleep(td)

    def resume(self, td: Thread) -> None:
        with self._gate.host:
            super().resume(td)

    def remove(self, td: Thread) -> None:
        if td.td_flags & TDF_TSLEEPQ:
            td.td_flags &= ~TDF_TSLEEPQ
            self._waiting.remove(td)
            td.td_wchan = None
            td.td_wdomain = 0

    def wakeup(self, ident: Any, domain: int) -> None:
        """As for all: PWAKEUP_ONE wakes one thread of each CPU, and each CPU has only one."""
        only = self.engine.current if domain & PWAKEUP_MYCPU else None
        self._wakeup(ident, domain & PDOMAIN_MASK, only)

    def wakeup_oncpu(self, td: Thread, ident: Any, domain: int) -> None:
        self._wakeup(ident, domain & PDOMAIN_MASK, td.cpu)

    def _wakeup(self, ident: Any, domain: int, only: Cpu | None) -> None:
        woke: list[Thread] = []

        def wake(_cpu: Cpu) -> None:
            for td in list(self._waiting):
                if td.td_wchan != ident or td.td_wdomain != domain or only not in (None, td.cpu):
                    continue
                self.remove(td)
                woke.append(td)
                if td.td_flags & TDF_TSLEEP_DESCHEDULED:
                    self._schedule(td)

        self._gate.alter(self._code(ident, ops.WAKEUP), wake)
        for hook in self.machine.hooks.wakeup:
            hook(self.engine.current, ident, domain, len(woke))

    def _schedule(self, td: Thread) -> None:
        lwkt_schedule(td)
        if td.idle:
            td.idle = False
            self.engine.ready(td.cpu)

    def signal(self, td: Thread, error: int) -> None:
        def deliver(_cpu: Cpu) -> None:
            td.td_sigpending = error
            if td.td_flags & TDF_SINTR:
                self._schedule(td)  # the thread stays on its queue until it runs
            if td.td_gate is not None:
                td.td_gate.changed()

        self._gate.alter(td.ident << ops.KIND_BITS | ops.IPI, deliver)

    def _code(self, ident: Any, kind: int) -> int:
        """The visible operation of doing `kind` to an ident."""
        return wchan_identity(self.machine, ident) << ops.KIND_BITS | kind
