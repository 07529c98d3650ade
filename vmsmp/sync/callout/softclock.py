"""The wheel, and the softclock thread that calls the callouts on it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from vmsmp.engine import ops
from vmsmp.engine.cpu import Cpu
from vmsmp.sync.callout.callout import CALLOUT_INPROG
from vmsmp.sync.errno import LK_CANCELABLE, LK_EXCLUSIVE, LK_RELEASE
from vmsmp.sync.services import Services
from vmsmp.sync.thread import curthread, lwkt_deschedule_self, lwkt_schedule
from vmsmp.sync.token.switch import lwkt_switch

if TYPE_CHECKING:
    from vmsmp.sync.callout.callout import Callout


class Softclock:
    """struct softclock_pcpu, of the whole machine."""

    def __init__(self, machine: Services) -> None:
        self.machine = machine
        self.ident = machine.enroll(self)
        self.name = "softclock"
        self.wheel: Any = machine.spinlock("callwheel") if machine.exact else contextlib.nullcontext()
        # invariant: changed under the wheel's spinlock; the first to be called first
        self.queue: list[Callout] = []
        #: The gate of the atomic depth: one object for the steps on all callouts.
        self.gate = machine.engine.gate()
        #: The callout that the thread is calling, unless its function has acted on it.
        self.running: Callout | None = None
        self.cpu: Cpu | None = None
        self._begun = False
        self._inside = False

    # -- the wheel ------------------------------------------------------------------------------

    def insert(self, callout: Callout) -> None:
        """Queue the callout as requested last.  Locks: the wheel's."""
        assert callout.asked is not None
        when, func, args = callout.asked
        callout.queued = max(when, self.machine.ticks + 1), func, args
        self.queue.append(callout)
        self.queue.sort(key=_due)

    def remove(self, callout: Callout) -> None:
        """Take the callout off the wheel.  Locks: the wheel's."""
        if callout not in self.queue:
            self.machine.panic(f"{callout} is taken off the wheel, on which it is not")
        self.queue.remove(callout)

    def kick(self) -> None:
        """Make the thread look at the wheel, which has changed; spawn it the first time."""
        engine = self.machine.engine
        if not self._begun:
            self._begun = True
            self.cpu = self.machine.spawn(self.run, name="softclock")
            self.machine.afterlife[self.cpu.index] = self
        elif self.cpu is not None and self.cpu.done:
            engine.rouse(self.cpu)
        elif self.cpu is not None and self.cpu.td is not None:
            lwkt_schedule(self.cpu.td)
            if self.cpu.td.idle:
                self.cpu.td.idle = False
                engine.ready(self.cpu)
            if engine.parallel:  # it may be about to end, and have looked at the wheel already
                engine.rouse(self.cpu)

    # -- the thread -----------------------------------------------------------------------------

    def is_current(self) -> bool:
        """Whether the running CPU is the softclock thread's."""
        return self.cpu is self.machine.engine.current

    def wanted(self) -> bool:
        """Whether the thread, which has ended, has something to do."""
        return bool(self.queue) and not self._inside

    def run(self) -> None:
        """softclock_handler: call what is due, until nothing is queued."""
        self.cpu = self.machine.engine.current  # the CPU that spawned it may not have stored it yet
        td = curthread(self.machine)
        self._inside = True
        while queue := self.queue[:1]:  # at once: another CPU of the free engine may empty it
            first = queue[0]
            left = _due(first) - self.machine.ticks
            if left > 0:
                lwkt_deschedule_self(td)
                lwkt_switch(td, self.ident << ops.KIND_BITS | ops.RESUME, left)
                lwkt_schedule(td)
            else:
                self._call_first(first)
        self._inside = False

    def _call_first(self, first: Callout) -> None:
        callout: Callout | None = first.step(self._take)
        if callout is not None:
            self._carry_out(callout)

    def _carry_out(self, callout: Callout) -> None:
        if callout.step(callout.begin):
            self._call(callout)
        if self.running is callout:
            callout.alone(lambda: self._finish(callout))

    def _take(self) -> Callout | None:
        """Take the first callout that is due off the wheel, or return None."""
        with self.wheel:
            if not self.queue or _due(self.queue[0]) > self.machine.ticks:
                return None
            callout = self.queue.pop(0)
            callout.flags.setbits(CALLOUT_INPROG)
            self.running = callout
            return callout

    def _call(self, callout: Callout) -> None:
        assert callout.queued is not None
        _, func, args = callout.queued
        if callout.lk is None:
            func(*args)
        elif callout.lk.lock(LK_EXCLUSIVE | LK_CANCELABLE) == 0:
            func(*args)
            callout.lk.lock(LK_RELEASE)
        else:
            callout.step(callout.gave_up)

    def _finish(self, callout: Callout) -> None:
        self.running = None
        callout.finish()


def _due(callout: Callout) -> int:
    """When it is to be called."""
    queued = callout.queued
    return queued[0] if queued is not None else 0
