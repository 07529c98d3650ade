"""Queues of each CPU, with masks, hints and IPIs."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from vmsmp.engine import ops
from vmsmp.engine.cpu import Cpu
from vmsmp.sync.errno import (
    PDOMAIN_MASK,
    PWAKEUP_MYCPU,
    PWAKEUP_ONE,
)
from vmsmp.sync.ident import ident_hash, ident_name, wchan_identity
from vmsmp.sync.ipiq import send
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
    lwkt_schedule,
    thread_of,
)

BUCKETS: Final = 8
HINTS: Final = 4
#: A hint that matches every ident: the queue has run out of hints.
MATCH_ALL: Final = -1


def bucket_of(ident: Any) -> int:
    """The number of the queue that the ident hashes to."""
    return ident_hash(ident) >> 29


class CpuQueue:
    """One bucket of one CPU: at most the CPU's own thread, and the hints that other CPUs read."""

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
        """INV-SL1: every thread on the queue announced a sleep that hashes here, and a hint covers it."""
        hinted = [hint.peek() for hint in self.hints]
        for td in self.queue:
            if not td.td_flags & TDF_TSLEEPQ or bucket_of(td.td_wchan) != self.bucket:
                return f"{td.cpu} is on it and waits for {ident_name(td.td_wchan)}"
            if td.td_wchan not in hinted and hinted[0] != MATCH_ALL:
                return f"{td.cpu} waits for {ident_name(td.td_wchan)}, and no hint says so"
        return None

    def check_rest(self) -> str | None:
        """Return None: hints may name idents that are no longer waited for."""
        return self.check_word()

    def clear_hints(self) -> None:
        """Clear the hints of a queue that has become empty."""
        for hint in self.hints:
            hint.store(None)

    def hint_at(self, ident: Any) -> None:
        """Make the hints cover an ident.  Locks: on the queue's own CPU, in a critical section."""
        found = []
        for hint in self.hints:
            found.append(hint.load())
            if found[-1] == ident:
                return
        if None in found:
            self.hints[found.index(None)].store(ident)
        else:
            self.hints[0].store(MATCH_ALL)

    def narrow_hints(self) -> None:
        """Drop the hints of idents that no thread on the queue waits for any more."""
        waited_for = [td.td_wchan for td in self.queue]
        found = [hint.load() for hint in self.hints]
        overflow = any(ident not in found for ident in waited_for)
        for n, hint in enumerate(self.hints):
            if found[n] not in waited_for and not (n == 0 and overflow):
                hint.store(None)

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
        place = cpu.index, bucket
        if place not in self._queues:
            self._queues[place] = CpuQueue(self.machine, cpu, bucket)
        return self._queues[place]

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
            before = bucket_of(td.td_wchan)
            old = self._queue(td.cpu, before)
            old.queue.remove(td)
            if not old.queue:
                old.clear_hints()
                self.slpque_cpumasks[before].clearbits(1 << td.cpu.index)
        bucket = bucket_of(ident)
        qp = self._queue(td.cpu, bucket)
        qp.hint_at(ident)
        self.slpque_cpumasks[bucket].setbits(1 << td.cpu.index)
        qp.queue.append(td)
        td.td_wchan = ident
        td.td_wdomain = flags & PDOMAIN_MASK
        td.td_flags |= TDF_TSLEEPQ

    def remove(self, td: Thread) -> None:
        """_tsleep_remove, which leaves the hints.  Locks: on the thread's own CPU, in a critical section."""
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

    def wakeup(self, ident: Any, domain: int) -> None:
        """_wakeup: wake the local queue, fence, then send an IPI to every other CPU that may match."""
        td = curthread(self.machine)
        crit_enter(td)
        woke, left = self._wakeup_local(td, ident, domain)
        if not left and not domain & PWAKEUP_MYCPU:
            # cpu_mfence(): the caller's change of state is visible before the mask is read.
            mask = self.slpque_cpumasks[bucket_of(ident)].load() & ~(1 << td.cpu.index)
            for index in self.cpus_of(mask):
                woke += self._wakeup_remote(self.machine.cpus[index], ident, domain)
        crit_exit(td)
        for hook in self.machine.hooks.wakeup:
            hook(td.cpu, ident, domain & PDOMAIN_MASK, woke)

    @staticmethod
    def cpus_of(mask: int) -> list[int]:
        """The CPUs of a mask in the order in which they get their IPIs."""
        return [index for index in range(mask.bit_length()) if mask >> index & 1]

    def _wakeup_remote(self, cpu: Cpu, ident: Any, domain: int) -> int:
        """Send an IPI to a CPU if its hints name the ident; return how many were sent."""
        td = thread_of(self.machine, cpu)
        for hint in self._queue(cpu, bucket_of(ident)).hints:
            if hint.load() in (ident, MATCH_ALL):
                there = partial(self._wakeup_local, td, ident, domain)
                send(self.machine, td, there)
                return 1
        return 0

    def wakeup_oncpu(self, td: Thread, ident: Any, domain: int) -> None:
        send(self.machine, td, partial(self._wakeup_local, td, ident, domain))
        for hook in self.machine.hooks.wakeup:
            hook(self.engine.current, ident, domain & PDOMAIN_MASK, 1)

    def _wakeup_local(self, td: Thread, ident: Any, domain: int) -> tuple[int, bool]:
        """Wake the matching threads of `td`'s CPU, on that CPU.

        Returns how many, and whether that is enough: one was to be woken, and one slept.
        """
        woke = 0
        bucket = bucket_of(ident)
        qp = self._queue(td.cpu, bucket)
        for sleeper in list(qp.queue):
            if sleeper.td_wchan == ident and sleeper.td_wdomain == domain & PDOMAIN_MASK:
                self.remove(sleeper)
                woke += 1
                if sleeper.td_flags & TDF_TSLEEP_DESCHEDULED:
                    lwkt_schedule(sleeper)
                    # for wakeup_one only a thread that really slept counts
                    if domain & PWAKEUP_ONE:
                        return woke, True
        if qp.queue:
            qp.narrow_hints()
        else:
            self.slpque_cpumasks[bucket].clearbits(1 << td.cpu.index)
            qp.clear_hints()
        return woke, False

    def signal(self, td: Thread, error: int) -> None:
        def deliver() -> None:
            td.td_sigpending = error
            if td.td_flags & TDF_SINTR:
                lwkt_schedule(td)  # the thread stays on its queue until it runs

        send(self.machine, td, deliver)
