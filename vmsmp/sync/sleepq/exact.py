"""Queues of each CPU, with masks, hints and IPIs."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from vmsmp.engine import ops
from vmsmp.engine.cpu import Cpu
from vmsmp.sync.errno import (
    PDOMAIN_MASK,
    PWAKEUP_ONE,
)
from vmsmp.sync.ident import ident_hash, ident_name, wchan_identity
from vmsmp.sync.services import Services
from vmsmp.sync.sleepq.queues import SleepQueues
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

BUCKETS: Final = 8
HINTS: Final = 4
#: A hint that matches every ident: the queue has run out of hints.
MATCH_ALL: Final = -1


def bucket_of(ident: Any) -> int:
    """The number of the queue that the ident hashes to."""
    return ident_hash(ident) >> 29


class CpuQueue:
    """One bucket of one CPU: its own thread at most, and the hints that other CPUs read."""

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
        """INV-SL1: every thread on the queue announced a sleep that hashes here."""
        for td in self.queue:
            if not td.td_flags & TDF_TSLEEPQ or bucket_of(td.td_wchan) != self.bucket:
                return f"{td.cpu} is on it and waits for {ident_name(td.td_wchan)}"
        return None

    def check_rest(self) -> str | None:
        """A hint is set only while a thread is on the queue (which need not be asleep)."""
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
        # invariant: a queue is touched by its own CPU only; other CPUs read the hints
        self._queues: dict[tuple[int, int], CpuQueue] = {}

    def check_word(self) -> str | None:
        """The bit of a CPU is set while its queue is not empty."""
        for (index, bucket), qp in self._queues.items():
            if qp.queue and not self.slpque_cpumasks[bucket].peek() & 1 << index:
                return f"cpu{index} is on queue {bucket} and its bit is clear"
        return None

    def check_rest(self) -> str | None:
        """The bit of a CPU is set only while its queue is not empty."""
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

    def _queue(self, cpu: Cpu, bucket: int) -> CpuQueue:
        queue = self._queues.get((cpu.index, bucket))
        if queue is None:
            queue = self._queues[cpu.index, bucket] = CpuQueue(self.machine, cpu, bucket)
        return queue

    def interlock(self, ident: Any, flags: int) -> None:
        """tsleep_interlock: set the ident hint first, then the CPU's bit."""
        td = curthread(self.machine)
        if td.td_flags & TDF_TSLEEPQ:  # an IPI that comes before this step may still take it off its queue
            self.machine.point(wchan_identity(self.machine, ident) << ops.KIND_BITS | ops.INTERLOCK)
        crit_enter(td)
        same = td.td_wchan == ident and td.td_wdomain == flags & PDOMAIN_MASK
        if not td.td_flags & TDF_TSLEEPQ or not same:
            self._enqueue(td, ident, flags)
        for hook in self.machine.hooks.interlocked:
            hook(td.cpu, ident)
        crit_exit(td)

    def _enqueue(self, td: Thread, ident: Any, flags: int) -> None:
        """Move the thread to the queue of `ident`.  Locks: on the thread's own CPU, in a critical section."""
        if td.td_flags & TDF_TSLEEPQ:
            self.remove(td)
        bucket = bucket_of(ident)
        qp = self._queue(td.cpu, bucket)
        for hint in qp.hints:
            found = hint.peek()  # only we write it
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
        """_wakeup: wake the local queue, fence, then send an IPI to every other CPU that may match."""
        td = curthread(self.machine)
        crit_enter(td)
        bucket = bucket_of(ident)
        woke = self._wakeup_local(td, bucket, ident, domain)
        # cpu_mfence(): the caller's change of state is visible before the mask is read.
        mask = self.slpque_cpumasks[bucket].load() & ~(1 << td.cpu.index)
        while mask:
            target = self.machine.cpus[(mask & -mask).bit_length() - 1]
            mask &= mask - 1
            qp = self._queue(target, bucket)
            for hint in qp.hints:
                if hint.load() in (ident, MATCH_ALL):
                    woke += 1
                    there = partial(self._wakeup_local, target.td, bucket, ident, domain)
                    lwkt_send_ipiq(self.machine, target.td, there)
                    break
        crit_exit(td)
        for hook in self.machine.hooks.wakeup:
            hook(td.cpu, ident, domain & PDOMAIN_MASK, woke)

    def _wakeup_local(self, td: Thread, bucket: int, ident: Any, domain: int) -> int:
        """Wake the matching threads of `td`'s CPU, on that CPU."""
        woke = 0
        for sleeper in list(self._queue(td.cpu, bucket).queue):
            if sleeper.td_wchan == ident and sleeper.td_wdomain == domain & PDOMAIN_MASK:
                self.remove(sleeper)
                woke += 1
                if sleeper.td_flags & TDF_TSLEEP_DESCHEDULED:
                    sleeper.td_flags &= ~TDF_TSLEEP_DESCHEDULED
                    # for wakeup_one only a thread that really slept counts
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
