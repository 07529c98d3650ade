"""Barriers: no CPU passes before all have arrived.

Models: `pthread_barrier_wait` of POSIX.
The n-th CPU to arrive opens the barrier for all, and the barrier can be used again, as in a loop.
One of the CPUs, here the last to arrive, is told so (PTHREAD_BARRIER_SERIAL_THREAD).  What any of them did
before the barrier is ordered before what any of them does after it.
The exact depth is a spinlock around a count, and a generation to wait on: a CPU that is slow to wake sees
that its own generation is over, however many have arrived for the next one.
Locks: none held by the caller; waiting is a blocking point.
"""

from __future__ import annotations

from vmsmp.engine import ops
from vmsmp.engine.cpu import Cpu
from vmsmp.engine.wait import Wait, WaitMode
from vmsmp.sync.arguments import whole
from vmsmp.sync.futex import ALL, Futexes
from vmsmp.sync.services import Services
from vmsmp.sync.token import leave_tokens, regain_tokens


class Barrier:
    """A barrier for `n` CPUs at either depth."""

    def __init__(self, machine: Services, n: int, name: str | None = None) -> None:
        if whole("barrier", n) < 1:
            raise ValueError(f"barrier({n}): a barrier is for at least 1 CPU")
        self.machine = machine
        self.n = n
        self.ident = ident = machine.enroll(self)
        self.name = name or f"barrier {ident & 63}.{ident >> 6}"

    def wait(self) -> bool:
        """Wait until `n` CPUs have arrived; return True on the last of them.

        Sleeps: yes, except on the last; tokens are lost then.
        """
        for hook in self.machine.hooks.blocking:
            hook(self.machine.curcpu, f"wait at {self}")
        return self._wait()

    def _wait(self) -> bool:
        raise NotImplementedError

    def arrived(self) -> int:
        """How many CPUs wait, read invisibly: for checkers and tests."""
        raise NotImplementedError

    def state(self) -> str:
        return f"{self.arrived()} of {self.n}"

    def __repr__(self) -> str:
        return f"barrier {self.name!r}" if not self.name.startswith("barrier") else self.name


class AtomicBarrier(Barrier):
    """One step to arrive, one to pass."""

    def __init__(self, machine: Services, n: int, name: str | None = None) -> None:
        super().__init__(machine, n, name)
        self._gate = machine.engine.gate()
        self._code = self.ident << ops.KIND_BITS
        self._count = 0
        self._generation = 0

    def _wait(self) -> bool:
        def come(_cpu: Cpu) -> int | None:
            generation = self._generation
            self._count += 1
            if self._count < self.n:
                return generation
            self._count = 0
            self._generation += 1
            return None

        mine = self._gate.alter(self._code | ops.FETCHADD, come)
        if mine is None:
            return True
        leave_tokens(self.machine, f"wait at {self}")
        self._gate.enter(
            self._code | ops.ATOMIC_LOAD,
            lambda _cpu: self._generation != mine,
            lambda _cpu: None,
            Wait(self, WaitMode.OTHERS),
        )
        regain_tokens(self.machine)
        return False

    def arrived(self) -> int:
        return self._count


class ExactBarrier(Barrier):
    """The spinlock `lock` around `count`, and the word `generation`, which is a futex."""

    def __init__(self, machine: Services, n: int, name: str | None, futexes: Futexes) -> None:
        super().__init__(machine, n, name)
        self.lock = machine.spinlock(f"{self.name}.lock")
        self.count = machine.cell(0, f"{self.name}.count")
        self.generation = machine.atomic(0, f"{self.name}.generation")
        self._futexes = futexes

    def _wait(self) -> bool:
        self.lock.acquire()
        mine = self.generation.load()
        count = self.count.load() + 1
        if count == self.n:
            self.count.store(0)
            self.generation.fetchadd(1)
            self.lock.release()
            self._futexes.wake(self.generation, ALL)
            return True
        self.count.store(count)
        self.lock.release()
        while self.generation.load() == mine:
            self._futexes.sleep(self.generation, mine, overdue=lambda: self._opened(mine), sake=self)
        return False

    def _opened(self, generation: int) -> str | None:
        return f"{self.name} has opened" if self.generation.peek() != generation else None

    def arrived(self) -> int:
        return self.count.peek()
