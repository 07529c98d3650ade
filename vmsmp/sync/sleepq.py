"""tsleep and wakeup: sleep queues by ident, and the interlock that keeps wakeups from being lost.

Models: sys/kern/kern_synch.c.
A sleeper announces itself with `tsleep_interlock`, publishes that it waits by an atomic that fails
if the state has changed, and only then sleeps; a waker changes the state and calls `wakeup` if
anybody had published.  Whichever of the two atomics comes first, the sleeper is seen or does not
sleep.  An ident is a value: it is compared, never looked into.

*exact*: every CPU has its own queues; a global CPU mask for each bucket and four ident hints for
each queue tell a waker whom to send an IPI, which does the waking on the sleeper's own CPU.
*atomic*: one list for the machine; announcing, waking and falling asleep are one step each.
Locks: queues and hints are touched on their own CPU only, in a critical section.
Deviations:
  * 8 buckets instead of 1024, and one thread a CPU, so a queue holds at most one.
  * wakeups are sent at once: the per-CPU delay (`wakeup_start_delayed`) is not modelled.
  * `signal` marks the thread and wakes it on its own CPU; there are no real signals.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from vmsmp.engine import ops
from vmsmp.engine.cpu import Cpu
from vmsmp.engine.wait import Wait, WaitEnd, WaitMode
from vmsmp.sync.errno import (
    EINTR,
    EWOULDBLOCK,
    PCATCH,
    PDOMAIN_MASK,
    PINTERLOCKED,
    PWAKEUP_ONE,
)
from vmsmp.sync.ident import ident_hash, ident_name
from vmsmp.sync.thread import (
    TDF_SINTR,
    TDF_TSLEEP_DESCHEDULED,
    TDF_TSLEEPQ,
    Thread,
    crit_enter,
    crit_exit,
    curthread,
    lwkt_send_ipiq,
)
from vmsmp.sync.token import lwkt_switch

if TYPE_CHECKING:
    from collections.abc import Callable

    from vmsmp.sync.services import Services

BUCKETS: Final = 8
HINTS: Final = 4
MATCH_ALL: Final = -1


def bucket_of(ident: Any) -> int:
    """The number of the queue that the ident hashes to."""
    return ident_hash(ident) >> 29


class SleepQueues:
    """What both depths share: the order of steps of a sleep."""

    def __init__(self, machine: Services) -> None:
        self.machine = machine
        self.engine = machine.engine

    def interlock(self, ident: Any, flags: int) -> None:
        raise NotImplementedError

    def remove(self, td: Thread) -> None:
        raise NotImplementedError

    def wakeup(self, ident: Any, domain: int) -> None:
        raise NotImplementedError

    def signal(self, td: Thread) -> None:
        raise NotImplementedError

    def tsleep(
        self,
        ident: Any,
        flags: int,
        wmesg: str,
        timo: int,
        overdue: Callable[[], str | None] | None,
    ) -> int:
        machine = self.machine
        td = curthread(machine)
        cpu = td.cpu
        for hook in machine.hooks.blocking:
            hook(cpu, f"tsleep {wmesg or ident_name(ident)}")
        machine.point(self.code(ident, ops.SLEEP))
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
        how = lwkt_switch(td, self.code(ident, ops.RESUME), timo or None)
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
        """Commit to sleeping, unless a wakeup came after the interlock."""
        if not td.td_flags & TDF_TSLEEPQ:
            return False
        if td.td_wchan != ident or td.td_wdomain != flags & PDOMAIN_MASK:
            return False  # we slept on something else meanwhile
        td.td_flags |= TDF_TSLEEP_DESCHEDULED
        if flags & PCATCH:
            td.td_flags |= TDF_SINTR
        return True

    def resume(self, td: Thread) -> None:
        """The sleep is over, however it ended: off the queue."""
        td.td_flags &= ~(TDF_TSLEEP_DESCHEDULED | TDF_SINTR)
        self.remove(td)

    def code(self, ident: Any, kind: int) -> int:
        """The visible operation of doing `kind` to an ident, which may be anything.

        A string or a whole number is a channel of that name; an object that has no identity is nobody's.
        """
        key = getattr(ident, "ident", None)
        if isinstance(ident, str):
            key = self.machine.identify(str.__str__(ident))
        elif isinstance(ident, int):
            key = self.machine.identify(str(int(ident)))
        elif not isinstance(key, int):
            key = 0
        return key << ops.KIND_BITS | kind


class _CpuQueue:
    """One bucket of one CPU: at most its own thread, and the hints that others read."""

    __slots__ = ("bucket", "hints", "name", "queue")

    def __init__(self, machine: Services, cpu: Cpu, bucket: int) -> None:
        self.bucket = bucket
        self.queue: list[Thread] = []
        self.hints = [
            machine.atomic(None, f"cpu{cpu.index}.slpque[{bucket}].ident{n}", format=ident_name)
            for n in range(HINTS)
        ]
        machine.words.update((hint.ident, self) for hint in self.hints)
        self.name = f"sleep queue {bucket} of cpu{cpu.index}"

    def check_word(self) -> str | None:
        """INV-SL1: who is on the queue announced a sleep that hashes here."""
        for td in self.queue:
            if not td.td_flags & TDF_TSLEEPQ or bucket_of(td.td_wchan) != self.bucket:
                return f"{td.cpu} is on it and waits for {ident_name(td.td_wchan)}"
        return None

    def check_rest(self) -> str | None:
        """It hints at an ident only if somebody is on it (who may never have gone to sleep)."""
        if not self.queue and any(hint.peek() is not None for hint in self.hints):
            return "nobody is on it and it still hints at an ident"
        return None

    def state(self) -> str:
        return f"{len(self.queue)} queued"

    def __repr__(self) -> str:
        return self.name


class ExactSleepQueues(SleepQueues):
    """Per-CPU queues, masks and IPIs."""

    def __init__(self, machine: Services) -> None:
        super().__init__(machine)
        self.slpque_cpumasks = [
            machine.atomic(0, f"slpque_cpumasks[{n}]", format=bin) for n in range(BUCKETS)
        ]
        machine.words.update((mask.ident, self) for mask in self.slpque_cpumasks)
        self.name = "slpque_cpumasks"
        # invariant: touched by its own CPU only, but for the hints, which others read
        self._queues: dict[tuple[int, int], _CpuQueue] = {}

    def check_word(self) -> str | None:
        """Whoever is on a queue has its CPU's bit set."""
        for (index, bucket), qp in self._queues.items():
            if qp.queue and not self.slpque_cpumasks[bucket].peek() & 1 << index:
                return f"cpu{index} is on queue {bucket} and its bit is clear"
        return None

    def check_rest(self) -> str | None:
        """A bit is set only for a CPU that is on that queue."""
        on = [0] * BUCKETS
        for (index, bucket), qp in self._queues.items():
            on[bucket] |= 1 << index if qp.queue else 0
        if on != [mask.peek() for mask in self.slpque_cpumasks]:
            return "the bits do not say which CPUs are on a queue"
        return None

    def state(self) -> str:
        return " ".join(mask.state() for mask in self.slpque_cpumasks)

    def __repr__(self) -> str:
        return self.name

    def _queue(self, cpu: Cpu, bucket: int) -> _CpuQueue:
        queue = self._queues.get((cpu.index, bucket))
        if queue is None:
            queue = self._queues[cpu.index, bucket] = _CpuQueue(self.machine, cpu, bucket)
        return queue

    def interlock(self, ident: Any, flags: int) -> None:
        """tsleep_interlock: the ident hint first, the CPU's bit after it."""
        td = curthread(self.machine)
        crit_enter(td)
        if td.td_flags & TDF_TSLEEPQ:
            self.remove(td)
        bucket = bucket_of(ident)
        qp = self._queue(td.cpu, bucket)
        for hint in qp.hints:
            found = hint.peek()  # ours alone to write
            if found == ident:
                break
            if found is None:
                hint.store(ident)
                break
        else:
            qp.hints[0].store(MATCH_ALL)
        self.slpque_cpumasks[bucket].setbits(1 << td.cpu.index)
        qp.queue.append(td)
        td.td_wchan = ident
        td.td_wdomain = flags & PDOMAIN_MASK
        td.td_flags |= TDF_TSLEEPQ
        for hook in self.machine.hooks.interlocked:
            hook(td.cpu, ident)
        crit_exit(td)

    def remove(self, td: Thread) -> None:
        """_tsleep_remove.  Locks: on the thread's own CPU, in a critical section."""
        if not td.td_flags & TDF_TSLEEPQ:
            return
        bucket = bucket_of(td.td_wchan)
        qp = self._queue(td.cpu, bucket)
        td.td_flags &= ~TDF_TSLEEPQ
        qp.queue.remove(td)
        td.td_wchan = None
        td.td_wdomain = 0
        if not qp.queue:
            self.slpque_cpumasks[bucket].clearbits(1 << td.cpu.index)
            for hint in qp.hints:
                if hint.peek() is not None:
                    hint.store(None)

    def wakeup(self, ident: Any, domain: int) -> None:
        """_wakeup: the local queue, a full fence, then an IPI to every other CPU that may match."""
        td = curthread(self.machine)
        crit_enter(td)
        bucket = bucket_of(ident)
        woke = self._wakeup_local(td, ident, domain)
        # cpu_mfence(): the caller's change of state is visible before the mask is read.
        mask = self.slpque_cpumasks[bucket].load() & ~(1 << td.cpu.index)
        while mask:
            target = self.machine.cpus[(mask & -mask).bit_length() - 1]
            mask &= mask - 1
            qp = self._queue(target, bucket)
            for hint in qp.hints:
                if hint.load() in (ident, MATCH_ALL):
                    woke += 1
                    there = partial(self._wakeup_local, target.td, ident, domain)
                    lwkt_send_ipiq(self.machine, target.td, there)
                    break
        crit_exit(td)
        for hook in self.machine.hooks.wakeup:
            hook(td.cpu, ident, domain & PDOMAIN_MASK, woke)

    def _wakeup_local(self, td: Thread, ident: Any, domain: int) -> int:
        """Wake the matching threads of the CPU that `td` runs on, which is the one this runs on."""
        woke = 0
        for sleeper in list(self._queue(td.cpu, bucket_of(ident)).queue):
            if sleeper.td_wchan == ident and sleeper.td_wdomain == domain & PDOMAIN_MASK:
                self.remove(sleeper)
                woke += 1
                if sleeper.td_flags & TDF_TSLEEP_DESCHEDULED:
                    sleeper.td_flags &= ~TDF_TSLEEP_DESCHEDULED
                    # only a thread that really slept counts for wakeup_one
                    if domain & PWAKEUP_ONE:
                        break
        return woke

    def signal(self, td: Thread) -> None:
        def deliver() -> None:
            td.td_sigpending = True
            if td.td_flags & TDF_SINTR:
                self.remove(td)
                td.td_flags &= ~TDF_TSLEEP_DESCHEDULED

        lwkt_send_ipiq(self.machine, td, deliver)


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

        self._gate.alter(self.code(ident, ops.INTERLOCK), announce)
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

        self._gate.alter(self.code(ident, ops.WAKEUP), wake)
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
