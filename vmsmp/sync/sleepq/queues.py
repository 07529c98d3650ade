"""The steps of a sleep, in order, at either depth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vmsmp.engine import ops
from vmsmp.engine.wait import Wait, WaitEnd, WaitMode
from vmsmp.sync.arguments import ticks
from vmsmp.sync.errno import (
    EWOULDBLOCK,
    PCATCH,
    PDOMAIN_MASK,
    PINTERLOCKED,
)
from vmsmp.sync.ident import ident_name, wchan_identity
from vmsmp.sync.services import Services
from vmsmp.sync.thread import (
    TDF_SINTR,
    TDF_TIMEOUT,
    TDF_TSLEEP_DESCHEDULED,
    TDF_TSLEEPQ,
    Thread,
    crit_enter,
    crit_exit,
    cursig,
    curthread,
    lwkt_deschedule_self,
    lwkt_schedule,
)
from vmsmp.sync.token.switch import lwkt_switch


class SleepQueues:
    """Sleep queues at either depth: the steps of a sleep, in order."""

    def __init__(self, machine: Services) -> None:
        self.machine = machine
        self.engine = machine.engine

    def interlock(self, ident: Any, flags: int) -> None:
        """tsleep_interlock: announce that the running CPU may sleep on `ident`."""
        raise NotImplementedError

    def remove(self, td: Thread) -> None:
        """_tsleep_remove: take the thread off its queue, if it is on one."""
        raise NotImplementedError

    def wakeup(self, ident: Any, domain: int) -> None:
        """Wake the threads that wait for `ident` in `domain`.

        With PWAKEUP_ONE: one of the own CPU, or else one of each other CPU.  With PWAKEUP_MYCPU: only
        threads of the own CPU.
        """
        raise NotImplementedError

    def wakeup_oncpu(self, td: Thread, ident: Any, domain: int) -> None:
        """Wake those among the threads of one CPU; masks and hints are ignored."""
        raise NotImplementedError

    def signal(self, td: Thread, error: int) -> None:
        """Mark a signal as pending, and schedule the thread if it sleeps with PCATCH."""
        raise NotImplementedError

    def tsleep(
        self,
        ident: Any,
        flags: int,
        wmesg: str,
        timo: int,
        overdue: Callable[[], str | None] | None,
    ) -> int:
        """Sleep on `ident`; 0, EWOULDBLOCK, EINTR or ERESTART (see `Services.tsleep`)."""
        machine = self.machine
        td = curthread(machine)
        cpu = td.cpu
        ticks(timo)
        for hook in machine.hooks.blocking:
            hook(cpu, f"tsleep {wmesg or ident_name(ident)}")
        if flags & PINTERLOCKED:
            for hook in machine.hooks.commits:
                hook(cpu, ident)
        channel = wchan_identity(machine, ident) << ops.KIND_BITS
        machine.point(channel | ops.SLEEP)
        crit_enter(td)
        if not flags & PINTERLOCKED:
            self.interlock(ident, flags)
        how, error = WaitEnd.BEFORE, 0
        if flags & PCATCH and self.catches(td):
            pass  # a signal is pending already; the thread stays on its queue
        elif self.deschedule(td, ident, flags):
            how = self._switch(td, Wait(ident, WaitMode.SLEEP, overdue), channel | ops.RESUME, timo)
            error = EWOULDBLOCK if td.td_flags & TDF_TIMEOUT else 0
            self.resume(td)
        if flags & PCATCH:
            error = self.caught(td, error)
        crit_exit(td)
        for hook in machine.hooks.woken:
            hook(cpu, ident, how)
        return error

    def _switch(self, td: Thread, wait: Wait, code: int, timo: int) -> WaitEnd:
        """Give up the CPU until something ends the sleep, and return what did."""
        cpu = td.cpu
        cpu.wants = wait
        for hook in self.machine.hooks.sleeps:
            hook(cpu, wait.what)

        def ended(how: WaitEnd) -> None:
            cpu.wants = None
            if how is WaitEnd.TIMEOUT:
                self.endtsleep(td)

        due = self.engine.ticks + timo
        how = lwkt_switch(td, code, timo or None, ended)
        if timo and self.engine.ticks >= due and self.machine.options.timeouts != "any":
            self.endtsleep(td)  # woken, but its time was up before it ran
        return how or WaitEnd.WAKEUP

    def catches(self, td: Thread) -> bool:
        """Return whether a signal is pending; if not, let the next one end the sleep."""
        if td.td_sigpending:
            return True
        td.td_flags |= TDF_SINTR
        return False

    def caught(self, td: Thread, error: int) -> int:
        """Let no signal end the sleep from here on; return `error`, or that of a pending signal."""
        td.td_flags &= ~TDF_SINTR
        return error or cursig(td)

    def deschedule(self, td: Thread, ident: Any, flags: int) -> bool:
        """Commit to the sleep; False if a wakeup came after the interlock."""
        if not td.td_flags & TDF_TSLEEPQ:
            return False
        if td.td_wchan != ident or td.td_wdomain != flags & PDOMAIN_MASK:
            return False  # the thread slept on something else meanwhile
        lwkt_deschedule_self(td)
        td.td_flags |= TDF_TSLEEP_DESCHEDULED
        return True

    def endtsleep(self, td: Thread) -> None:
        """Leave the queue when the time is up, before the tokens are taken again."""
        td.td_flags |= TDF_TIMEOUT
        self.remove(td)
        lwkt_schedule(td)

    def resume(self, td: Thread) -> None:
        """End the sleep, whatever the reason: leave the queue."""
        td.td_flags &= ~(TDF_TSLEEP_DESCHEDULED | TDF_TIMEOUT)
        self.remove(td)
        lwkt_schedule(td)
