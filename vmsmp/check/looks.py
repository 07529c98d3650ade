"""What each CPU has read since it last woke, and what it has written, taken from a run's log.

An access under a lock counts as one to the lock, so data other than cells count by the lock that guards them.
The words inside a lock count as the lock; those of the sleep queues do not count, since every sleep and every
wakeup touches them.  Two accesses to one object, one of them a write, come in the same order in all runs that
differ only in the order of independent steps, and so does every comparison of their places.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from vmsmp.engine import ops
from vmsmp.engine.machine import Machine
from vmsmp.sync.sleepq.exact import CpuQueue, ExactSleepQueues

#: Kinds of operation that access shared state: words, and locks taken or given back.
_ACCESSES: Final = ops.which(lambda kind: kind.subject in (ops.Subject.WORD, ops.Subject.LOCK))


class Looks:
    """The accesses of one run's CPUs, by index and object; places are indexes of the log."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._seen = 0
        self._running = 0
        #: By CPU: the last access to each object since it last woke, up to the sleep that it is in.
        self.looked: dict[int, dict[int, int]] = {}
        #: By CPU: the last write to each object.
        self.wrote: dict[int, dict[int, int]] = {}
        # CPUs that have begun to sleep: their operations from there on do not count
        self._asleep: set[int] = set()
        # where sleeps have ended, and whose, in the part of the log that is not read yet
        self._ends: deque[tuple[int, int]] = deque()

    def woken(self, cpu: int) -> None:
        """Note that a CPU's sleep ends here, or does not begin."""
        self._ends.append((len(self._machine.engine.log), cpu))

    def read_to(self, end: int) -> None:
        """Read the log up to `end`."""
        log = self._machine.engine.log
        for at in range(self._seen, end):
            self._end_sleeps(at)
            code = log[at]
            if code < 0:
                self._running = -1 - code
            else:
                self._take_in(at, self._running, code)
        self._seen = max(self._seen, end)
        self._end_sleeps(end)

    def _end_sleeps(self, at: int) -> None:
        """Apply the ends of sleeps up to `at`."""
        while self._ends and self._ends[0][0] <= at:
            _, cpu = self._ends.popleft()
            self._asleep.discard(cpu)
            self.looked[cpu] = {}

    def _take_in(self, at: int, cpu: int, code: int) -> None:
        kind, what = code & ops.KIND_MASK, code >> ops.KIND_BITS
        if kind == ops.SLEEP:
            self._asleep.add(cpu)
        elif kind in _ACCESSES:
            owner = self._machine.words.get(what)
            if isinstance(owner, CpuQueue | ExactSleepQueues):
                return
            what = getattr(owner, "ident", what)
            if cpu not in self._asleep:
                self.looked.setdefault(cpu, {})[what] = at
            if code & 1:
                self.wrote.setdefault(cpu, {})[what] = at

    def writers_since(self, cpu: int) -> dict[int, tuple[int, int]]:
        """What other CPUs wrote after `cpu` last read it: by object, the writer and the place."""
        stale: dict[int, tuple[int, int]] = {}
        looked = self.looked.get(cpu, {})
        for other, written in self.wrote.items():
            for what, at in written.items():
                if other != cpu and at > looked.get(what, at) and at > stale.get(what, (0, -1))[1]:
                    stale[what] = other, at
        return stale
