"""The steps of a sleep, in order, at either depth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vmsmp.engine import ops
from vmsmp.engine.cpu import Cpu
from vmsmp.engine.wait import Wait, WaitEnd, WaitMode
from vmsmp.sync.errno import (
    EINTR,
    EWOULDBLOCK,
    PCATCH,
    PDOMAIN_MASK,
    PINTERLOCKED,
)
from vmsmp.sync.ident import ident_name, wchan_identity
from vmsmp.sync.services import Services
from vmsmp.sync.thread import (
    TDF_SINTR,
    TDF_TSLEEP_DESCHEDULED,
    TDF_TSLEEPQ,
    Thread,
    crit_enter,
    crit_exit,
    curthread,
)
from vmsmp.sync.token.switch import lwkt_switch


class SleepQueues:
    """What both depths share: the steps of a sleep, in order."""

    def __init__(self, machine: Services) -> None:
        self.machine = machine
        self.engine = machine.engine

    def interlock(self, ident: Any, flags: int) -> None:
        """tsleep_interlock: announce that the running CPU may sleep on `ident`."""
        raise NotImplementedError

    def remove(self, td: Thread) -> None:
        """Take the thread off its queue, if it is on one."""
        raise NotImplementedError

    def wakeup(self, ident: Any, domain: int) -> None:
        """Wake the threads that wait for `ident` in `domain`, or one of them if PWAKEUP_ONE is set."""
        raise NotImplementedError

    def signal(self, td: Thread) -> None:
        """Mark a signal as pending, and end the thread's sleep if it has PCATCH."""
        raise NotImplementedError

    def tsleep(
        self,
        ident: Any,
        flags: int,
        wmesg: str,
        timo: int,
        overdue: Callable[[], str | None] | None,
    ) -> int:
        """Sleep on `ident`; 0, EWOULDBLOCK or EINTR (see `Services.tsleep`)."""
        machine = self.machine
        td = curthread(machine)
        cpu = td.cpu
        for hook in machine.hooks.blocking:
            hook(cpu, f"tsleep {wmesg or ident_name(ident)}")
        channel = wchan_identity(machine, ident) << ops.KIND_BITS
        machine.point(channel | ops.SLEEP)
        crit_enter(td)
        if not flags & PINTERLOCKED:
            self.interlock(ident, flags)
        if flags & PCATCH and td.td_sigpending:
            td.td_sigpending = False
            self.resume(td)
            crit_exit(td)
            return self._back(cpu, ident, WaitEnd.BEFORE, EINTR)
        if not self.deschedule(td, ident, flags):
            crit_exit(td)
            return self._back(cpu, ident, WaitEnd.BEFORE, 0)
        cpu.wants = Wait(ident, WaitMode.SLEEP, overdue)
        for hook in machine.hooks.sleeps:
            hook(cpu, ident)
        how = lwkt_switch(td, channel | ops.RESUME, timo or None)
        cpu.wants = None
        self.resume(td)
        crit_exit(td)
        error = EWOULDBLOCK if how is WaitEnd.TIMEOUT else 0
        if flags & PCATCH and td.td_sigpending:
            td.td_sigpending = False
            error = EINTR
        return self._back(cpu, ident, how or WaitEnd.WAKEUP, error)

    def _back(self, cpu: Cpu, ident: Any, why: WaitEnd, error: int) -> int:
        for hook in self.machine.hooks.woken:
            hook(cpu, ident, why)
        return error

    def deschedule(self, td: Thread, ident: Any, flags: int) -> bool:
        """Commit to the sleep; False if a wakeup came after the interlock."""
        if not td.td_flags & TDF_TSLEEPQ:
            return False
        if td.td_wchan != ident or td.td_wdomain != flags & PDOMAIN_MASK:
            return False  # we slept on something else meanwhile
        td.td_flags |= TDF_TSLEEP_DESCHEDULED
        if flags & PCATCH:
            td.td_flags |= TDF_SINTR
        return True

    def resume(self, td: Thread) -> None:
        """End the sleep, whatever the reason: leave the queue."""
        td.td_flags &= ~(TDF_TSLEEP_DESCHEDULED | TDF_SINTR)
        self.remove(td)
