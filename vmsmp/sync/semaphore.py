"""Counting semaphores.

Models: `sem_wait`, `sem_trywait`, `sem_timedwait` and `sem_post` of POSIX.
A semaphore has no owner: any CPU may release it, before or after another acquires it.  So no checker knows
which CPU owes a release; a missing one shows as a deadlock.  Waiters are let in in any order, and a CPU that
arrives may be faster than one that was woken.  A release synchronizes with the acquire that it allows, as in
C11: what was done before the release is ordered before what is done after the acquire.
The exact depth is the algorithm of the C libraries over a futex: take a unit by compare-and-set; if there is
none, count as a waiter and sleep while the count is 0; a release first adds a unit, and then wakes one waiter
if any is counted.
Locks: none held by the caller; waiting is a blocking point.
"""

from __future__ import annotations

from typing import Self

from vmsmp.engine import ops
from vmsmp.engine.cpu import Cpu
from vmsmp.engine.wait import Wait, WaitMode
from vmsmp.sync.arguments import ticks, whole
from vmsmp.sync.asking import Asking
from vmsmp.sync.errno import EWOULDBLOCK
from vmsmp.sync.futex import Futexes
from vmsmp.sync.services import Services


class Semaphore:
    """A semaphore at either depth."""

    def __init__(self, machine: Services, n: int, name: str | None = None) -> None:
        if whole("semaphore", n) < 0:
            raise ValueError(f"semaphore({n}): the number of units must not be negative")
        self.machine = machine
        self.ident = ident = machine.enroll(self)
        self.name = name or f"semaphore {ident & 63}.{ident >> 6}"

    def acquire(self, timo: int = 0) -> int:
        """Take a unit, or wait for one; 0, or EWOULDBLOCK after `timo` ticks (0: wait for ever).

        Sleeps: yes, if there is none; tokens are lost then.
        """
        raise NotImplementedError

    def try_acquire(self) -> bool:
        """Take a unit if there is one."""
        raise NotImplementedError

    def release(self) -> None:
        """Add a unit.  Sleeps: never."""
        raise NotImplementedError

    def value(self) -> int:
        """How many units there are, read invisibly: for checkers and tests."""
        raise NotImplementedError

    def state(self) -> str:
        return str(self.value())

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def __repr__(self) -> str:
        return f"semaphore {self.name!r}" if not self.name.startswith("semaphore") else self.name

    def _may_sleep(self) -> None:
        for hook in self.machine.hooks.blocking:
            hook(self.machine.curcpu, f"acquire {self}")


class AtomicSemaphore(Semaphore):
    """One step each: the semaphore is a word that its own operations change."""

    def __init__(self, machine: Services, n: int, name: str | None = None) -> None:
        super().__init__(machine, n, name)
        self._count = n
        self._asking = Asking(machine)
        self._code = self.ident << ops.KIND_BITS

    def acquire(self, timo: int = 0) -> int:
        self._may_sleep()
        return self._asking.until(self._code | ops.CMPSET, self._take, Wait(self, WaitMode.UNIT), ticks(timo))

    def try_acquire(self) -> bool:
        return self._asking.once(self._code | ops.CMPSET, self._take)

    def release(self) -> None:
        self._asking.change(self._code | ops.FETCHADD, self._give)

    def _take(self, _cpu: Cpu) -> bool:
        if not self._count:
            return False
        self._count -= 1
        return True

    def _give(self, _cpu: Cpu) -> None:
        self._count += 1

    def value(self) -> int:
        return self._count


class ExactSemaphore(Semaphore):
    """The words `count` and `waiters`, and a futex on `count`."""

    def __init__(self, machine: Services, n: int, name: str | None, futexes: Futexes) -> None:
        super().__init__(machine, n, name)
        self.count = machine.atomic(n, f"{self.name}.count")
        self.waiters = machine.atomic(0, f"{self.name}.waiters")
        self._futexes = futexes

    def acquire(self, timo: int = 0) -> int:
        self._may_sleep()
        if self.try_acquire():
            return 0
        end = self.machine.ticks + ticks(timo)
        self.waiters.fetchadd(1)
        error = 0
        while not self.try_acquire():
            left = end - self.machine.ticks
            if timo and left <= 0:
                error = EWOULDBLOCK
                break
            # the result does not tell whether the time is up: EAGAIN is EWOULDBLOCK
            self._futexes.sleep(self.count, 0, left if timo else 0, overdue=self._has_units, sake=self)
        self.waiters.fetchadd(-1)
        return error

    def try_acquire(self) -> bool:
        n = self.count.load()
        while n:
            taken, n = self.count.fcmpset(n, n - 1)
            if taken:
                return True
        return False

    def release(self) -> None:
        self.count.fetchadd(1)
        if self.waiters.load():
            self._futexes.wake(self.count)

    def _has_units(self) -> str | None:
        return f"{self.name} has units" if self.value() else None

    def value(self) -> int:
        return int(self.count.peek())
