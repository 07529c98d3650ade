"""The same contract in one step each, on one list of the whole machine."""

from __future__ import annotations

from typing import Any

from vmsmp.engine import ops
from vmsmp.engine.cpu import Cpu
from vmsmp.sync.errno import (
    PDOMAIN_MASK,
    PWAKEUP_ONE,
)
from vmsmp.sync.ident import wchan_identity
from vmsmp.sync.services import Services
from vmsmp.sync.sleepq.queues import SleepQueues
from vmsmp.sync.thread import (
    TDF_SINTR,
    TDF_TSLEEP_DESCHEDULED,
    TDF_TSLEEPQ,
    Thread,
    curthread,
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
                self._waiting.remove(td)
            self._waiting.append(td)
            td.td_wchan = ident
            td.td_wdomain = flags & PDOMAIN_MASK
            td.td_flags |= TDF_TSLEEPQ

        self._gate.alter(self._code(ident, ops.INTERLOCK), announce)
        for hook in self.machine.hooks.interlocked:
            hook(td.cpu, ident)

    def deschedule(self, td: Thread, ident: Any, flags: int) -> bool:
        with self._gate.host:  # wakers write our flags
            return super().deschedule(td, ident, flags)

    def resume(self, td: Thread) -> None:
        with self._gate.host:
            super().resume(td)

    def remove(self, td: Thread) -> None:
        if td.td_flags & TDF_TSLEEPQ:
            td.td_flags &= ~TDF_TSLEEPQ
            self._waiting.remove(td)
            td.td_wchan = None

    def wakeup(self, ident: Any, domain: int) -> None:
        woke: list[Thread] = []

        def wake(_cpu: Cpu) -> None:
            for td in [t for t in self._waiting if t.td_wchan == ident]:
                if td.td_wdomain != domain & PDOMAIN_MASK:
                    continue
                self._waiting.remove(td)
                td.td_flags &= ~TDF_TSLEEPQ
                td.td_wchan = None
                woke.append(td)
                if td.td_flags & TDF_TSLEEP_DESCHEDULED:
                    self._schedule(td)
                    if domain & PWAKEUP_ONE:
                        break

        self._gate.alter(self._code(ident, ops.WAKEUP), wake)
        for hook in self.machine.hooks.wakeup:
            hook(self.engine.current, ident, domain & PDOMAIN_MASK, len(woke))

    def _schedule(self, td: Thread) -> None:
        td.td_flags &= ~TDF_TSLEEP_DESCHEDULED
        if td.idle:
            td.idle = False
            self.engine.ready(td.cpu)

    def signal(self, td: Thread) -> None:
        def deliver(_cpu: Cpu) -> None:
            td.td_sigpending = True
            if td.td_flags & TDF_SINTR:
                self.remove(td)
                self._schedule(td)
            if td.td_gate is not None:
                td.td_gate.changed()

        self._gate.alter(td.ident << ops.KIND_BITS | ops.IPI, deliver)

    def _code(self, ident: Any, kind: int) -> int:
        """The visible operation of doing `kind` to an ident."""
        return wchan_identity(self.machine, ident) << ops.KIND_BITS | kind
