"""Reference counts that can be waited for.

Models: sys/sys/refcount.h, sys/kern/kern_refcount.c.
`refcount_wait` sleeps until the count is 0.  It publishes REFCNTF_WAITING in the word by a compare-and-set,
after announcing itself on the sleep queue; the release that takes the count to 0 sees the
flag and wakes.  The kernel bounds the sleep by ten seconds, so a lost wakeup shows there as a stall;
here it is a failure.  Every release of a count that is waited for must be `refcount_release_wakeup`.
Locks: none; one atomic word.
Deviations: the message that the kernel prints once a minute is left out.
"""

from __future__ import annotations

from typing import Final

from vmsmp.engine import ops
from vmsmp.engine.clock import HZ
from vmsmp.engine.cpu import Cpu
from vmsmp.engine.wait import Wait, WaitMode
from vmsmp.sync.errno import PINTERLOCKED
from vmsmp.sync.services import Services
from vmsmp.sync.token import leave_tokens, regain_tokens

REFCNTF_WAITING: Final = 0x40000000


def _format(word: int) -> str:
    return f"WAITING|{word & ~REFCNTF_WAITING}" if word & REFCNTF_WAITING else str(word)


def refcount_acquire(ref: ExactRefcount, n: int = 1) -> None:
    """Add `n` references.  Sleeps: never."""
    ref.count.fetchadd(n)


def refcount_release(ref: ExactRefcount) -> bool:
    """Drop one reference; True if it was the last.  Wakes nobody."""
    return (ref.count.fetchadd(-1) & ~REFCNTF_WAITING) == 1


def refcount_release_wakeup(ref: ExactRefcount, n: int = 1) -> bool:
    """Drop `n` references; True if they were the last.  Wakes the waiters then."""
    old = ref.count.fetchadd(-n)
    if old == REFCNTF_WAITING | n:
        ref.count.clearbits(REFCNTF_WAITING)
        ref.machine.wakeup(ref)
        return True
    return bool(old == n)


def refcount_wait(ref: ExactRefcount, wmesg: str = "refwait") -> None:
    """Wait until the count is 0.  Sleeps: yes, ten seconds at a time; tokens are lost."""
    if ref.count.load() == 0:
        return
    n = ref.count.load()
    while n & ~REFCNTF_WAITING:
        # After a sleep `n` is not read again: if the count has changed, the compare-and-set fails.
        ref.machine.tsleep_interlock(ref, 0)
        published, n = ref.count.fcmpset(n, n | REFCNTF_WAITING)
        if published:
            ref.machine.tsleep(ref, PINTERLOCKED, wmesg, HZ * 10, overdue=ref.overdue)


class ExactRefcount:
    """One count word under the functions of this module."""

    def __init__(self, machine: Services, value: int = 0, name: str | None = None) -> None:
        self.machine = machine
        self.ident = ident = machine.enroll(self)
        self.name = name or f"refcount {ident & 63}.{ident >> 6}"
        self.count = machine.atomic(value, f"{self.name}.count", format=_format)

    acquire = refcount_acquire
    release = refcount_release
    release_wakeup = refcount_release_wakeup
    wait = refcount_wait

    def overdue(self) -> str | None:
        """INV-SL4: a CPU sleeps here only while the count is above 0 and WAITING is set."""
        word = self.count.peek()
        if word & ~REFCNTF_WAITING == 0:
            return f"{self.name} is 0"
        if not word & REFCNTF_WAITING:
            return f"{self.name} has lost its WAITING flag"
        return None

    def references(self) -> int:
        """The number of references, read invisibly: for checkers and tests."""
        return int(self.count.peek()) & ~REFCNTF_WAITING

    def state(self) -> str:
        return self.count.state()

    def __repr__(self) -> str:
        return f"refcount {self.name!r}"


class AtomicRefcount:
    """The same contract in one step each."""

    def __init__(self, machine: Services, value: int = 0, name: str | None = None) -> None:
        self.machine = machine
        self.ident = ident = machine.enroll(self)
        self.name = name or f"refcount {ident & 63}.{ident >> 6}"
        self._gate = machine.engine.gate()
        self._code = ident << ops.KIND_BITS
        self._count = value

    def acquire(self, n: int = 1) -> None:
        self._gate.alter(self._code | ops.FETCHADD, lambda _cpu: self._add(n))

    def release(self) -> bool:
        """As `release_wakeup`: at this depth a release always wakes."""
        return self.release_wakeup()

    def release_wakeup(self, n: int = 1) -> bool:
        return bool(self._gate.alter(self._code | ops.FETCHADD, lambda _cpu: self._add(-n) == 0))

    def _add(self, n: int) -> int:
        self._count += n
        return self._count

    def _zero(self, _cpu: Cpu) -> bool:
        return self._count == 0

    def wait(self, wmesg: str = "refwait") -> None:
        """Wait until the count is 0.  A blocking point if it is not."""
        if self._gate.alter(self._code | ops.ATOMIC_LOAD, self._zero):
            return
        leave_tokens(self.machine, f"refcount_wait {wmesg}")
        self._gate.enter(self._code | ops.SLEEP, self._zero, lambda _cpu: None, Wait(self, WaitMode.ZERO))
        regain_tokens(self.machine)

    def references(self) -> int:
        return self._count

    def state(self) -> str:
        return str(self._count)

    def __repr__(self) -> str:
        return f"refcount {self.name!r}"
