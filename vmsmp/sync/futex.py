"""Futexes: waiting on the value of a word.

Models: `futex(2)` of Linux (FUTEX_WAIT, FUTEX_WAKE, FUTEX_REQUEUE, FUTEX_CMP_REQUEUE) on an `Atomic`.
`wait` sleeps only if the word has the expected value; the test and the enqueueing are atomic, so the wake of
a CPU that changes the word first is never missed.  A wake reaches those who have slept longest.  A waiter
that returns does not know why, so it tests the word again: with the machine's option `spurious` a wait may
end for no reason, and a wake may have been meant for an earlier use of the same word.
EAGAIN is EWOULDBLOCK, as in DragonFly: the word had another value, or the time is up; only `m.ticks` tells.
Both depths sleep on the machine's sleep queues, each waiter on an ident of its own.  At the atomic depth the
queue of a word is read and changed in one step.  The exact depth is Linux's: queues in hashed buckets, each
under a spinlock; the word is read, the waiter put on the queue and its sleep announced under the bucket's
lock; a waker takes waiters off under the lock and wakes them after releasing it.
Locks: none held by the caller; a wait is a blocking point.
Deviations:
  * a requeue from a word to itself moves no waiter.
  * a timeout is EWOULDBLOCK where Linux has ETIMEDOUT.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from vmsmp.engine import ops
from vmsmp.engine.cpu import Cpu
from vmsmp.sync.arguments import ticks
from vmsmp.sync.atomic import Atomic
from vmsmp.sync.errno import EAGAIN, PCATCH, PINTERLOCKED
from vmsmp.sync.ident import ident_hash
from vmsmp.sync.services import Services

#: More than there can be waiters (INT_MAX, as callers of futex(2) write it).
ALL: Final = 0x7FFFFFFF
#: The buckets that words hash to at the exact depth.
BUCKETS: Final = 4


class Waiter:
    """One CPU that waits: the word on whose queue it is, or was, and the primitive that it waits for."""

    __slots__ = ("expected", "ident", "machine", "sake", "woken", "word")

    def __init__(self, machine: Services, word: Atomic, expected: Any, sake: Any) -> None:
        self.machine = machine
        self.ident = machine.enroll(self)
        self.word = word
        self.sake = sake
        self.expected = expected
        self.woken = False

    @property
    def name(self) -> str:
        """A report says what is waited for."""
        name: str = (self.sake or self.word).name
        return name

    def state(self) -> str:
        state: str = (self.sake or self.word).state()
        return state

    def missed(self, first: Atomic) -> Callable[[], str | None]:
        """Return a function that says why the sleep is a lost wakeup: the word has changed without a wake."""

        def overdue() -> str | None:
            word, cpus = self.word, self.machine.cpus
            if word is not first or word.peek() == self.expected or self.woken:
                return None
            if self.machine.engine.anyone_spins() or any(cpu.deadline is not None for cpu in cpus):
                return None  # somebody still may
            return f"it is {word.state()}, no longer {word.format(self.expected)}, and no wake came"

        return overdue

    def __repr__(self) -> str:
        return f"futex {self.name}"


def futex_word(word: Any) -> Atomic:
    """Return `word`, which must be an atomic.

    Raises: TypeError for anything else.
    """
    if not isinstance(word, Atomic):
        raise TypeError(f"a futex is a machine's atomic, not {word!r}")
    return word


class Futexes:
    """All futexes of a machine; the depths differ in how a queue is accessed."""

    def __init__(self, machine: Services) -> None:
        self.machine = machine
        # by the word's identity, in order of arrival
        self._queues: dict[int, list[Waiter]] = {}

    def wait(self, word: Atomic, expected: Any, timo: int = 0) -> int:
        """Sleep if `word` is `expected`, until a wake; 0, EAGAIN, EWOULDBLOCK or EINTR."""
        ticks(timo)
        return self.sleep(word, expected, timo, PCATCH)

    def sleep(
        self,
        word: Atomic,
        expected: Any,
        timo: int = 0,
        flags: int = 0,
        overdue: Callable[[], str | None] | None = None,
        sake: Any = None,
    ) -> int:
        """As `wait`; without PCATCH in `flags` no signal ends it.

        `overdue` as for `tsleep`; `sake` is the primitive that waits by this futex.
        """
        machine = self.machine
        for hook in machine.hooks.blocking:
            hook(machine.curcpu, f"futex wait on {word.name}")
        waiter = Waiter(machine, word, expected, sake)
        if not self._begin(waiter):
            return EAGAIN
        overdue = overdue or waiter.missed(word)
        error = machine.tsleep(waiter, PINTERLOCKED | flags, "futex", timo, overdue=overdue)
        if waiter.woken or not self._leave(waiter):
            return 0  # woken, whatever else happened
        return error

    def wake(self, word: Atomic, n: int = 1) -> int:
        """Wake up to `n` CPUs that wait on `word`; return how many."""
        raise NotImplementedError

    def requeue(
        self, word: Atomic, target: Atomic, wake: int = 1, requeue: int = ALL, expected: Any = None
    ) -> int:
        """Wake up to `wake` CPUs that wait on `word`, and move up to `requeue` others to `target`.

        Returns how many were woken or moved; or -EAGAIN, with nothing done, if `expected` is given and `word`
        has another value.
        """
        raise NotImplementedError

    def waiting(self, word: Atomic) -> int:
        """How many CPUs wait on the word, read invisibly: for checkers and tests."""
        return len(self._queue(word))

    # -- what a depth does in its way -----------------------------------------------------------

    def _begin(self, waiter: Waiter) -> bool:
        """Announce the sleep and join the word's queue, if the word has the expected value."""
        raise NotImplementedError

    def _leave(self, waiter: Waiter) -> bool:
        """Leave the queue after a sleep that no wake ended; return False if a wake came after all."""
        raise NotImplementedError

    # -- queues: looked at and changed by one CPU at a time -------------------------------------

    def _queue(self, word: Atomic) -> list[Waiter]:
        return self._queues.get(word.ident, [])

    def _append(self, waiter: Waiter) -> None:
        self._queues.setdefault(waiter.word.ident, []).append(waiter)

    def _remove(self, waiter: Waiter) -> bool:
        if waiter.woken:
            return False
        self._queue(waiter.word).remove(waiter)
        return True

    def _take(self, word: Atomic, n: int) -> list[Waiter]:
        """Take the first `n` off the queue: they count as woken now, and their wakeup follows."""
        queue = self._queue(word)
        taken = queue[:n]
        del queue[:n]
        for waiter in taken:
            waiter.woken = True
        return taken

    def _move(self, word: Atomic, target: Atomic, n: int) -> int:
        queue = self._queue(word)
        moved = queue[:n] if word is not target else []
        del queue[: len(moved)]
        for waiter in moved:
            waiter.word = target
            self._append(waiter)
        return len(moved)

    def _tell(self, woken: list[Waiter]) -> None:
        for waiter in woken:
            self.machine.wakeup(waiter)


class AtomicFutexes(Futexes):
    """Futexes whose queues are read and changed in one step."""

    def __init__(self, machine: Services) -> None:
        super().__init__(machine)
        self._gate = machine.engine.gate()

    def _begin(self, waiter: Waiter) -> bool:
        def look(_cpu: Cpu) -> bool:
            if waiter.word.peek() != waiter.expected:
                return False
            self._append(waiter)
            return True

        self.machine.tsleep_interlock(waiter)
        return bool(self._gate.alter(self._code(waiter.word, ops.SLEEP), look))

    def _leave(self, waiter: Waiter) -> bool:
        code = self._code(waiter.word, ops.SLEEP)
        return bool(self._gate.alter(code, lambda _cpu: self._remove(waiter)))

    def wake(self, word: Atomic, n: int = 1) -> int:
        woken = self._gate.alter(self._code(word, ops.WAKEUP), lambda _cpu: self._take(word, n))
        self._tell(woken)
        return len(woken)

    def requeue(
        self, word: Atomic, target: Atomic, wake: int = 1, requeue: int = ALL, expected: Any = None
    ) -> int:
        def pass_on(_cpu: Cpu) -> tuple[list[Waiter], int] | None:
            if expected is not None and word.peek() != expected:
                return None
            woken = self._take(word, wake)
            return woken, self._move(word, target, requeue)

        done = self._gate.alter(ops.STEP, pass_on)  # it touches two words
        if done is None:
            return -EAGAIN
        woken, moved = done
        self._tell(woken)
        return len(woken) + int(moved)

    @staticmethod
    def _code(word: Atomic, kind: int) -> int:
        return word.ident << ops.KIND_BITS | kind


class ExactFutexes(Futexes):
    """Futexes with hashed buckets, each with a spinlock."""

    def __init__(self, machine: Services) -> None:
        super().__init__(machine)
        self.buckets = [machine.spinlock(f"futex[{n}]") for n in range(BUCKETS)]

    def _bucket(self, word: Atomic) -> Any:
        return self.buckets[ident_hash(word) % BUCKETS]

    def _begin(self, waiter: Waiter) -> bool:
        with self._bucket(waiter.word):
            if waiter.word.load() != waiter.expected:
                return False
            self._append(waiter)
            self.machine.tsleep_interlock(waiter)
            return True

    def _leave(self, waiter: Waiter) -> bool:
        """unqueue_me: the word may change while we wait for its bucket's lock."""
        while True:
            word = waiter.word
            with self._bucket(word):
                if waiter.word is word:
                    return self._remove(waiter)

    def wake(self, word: Atomic, n: int = 1) -> int:
        with self._bucket(word):
            woken = self._take(word, n)
        self._tell(woken)
        return len(woken)

    def requeue(
        self, word: Atomic, target: Atomic, wake: int = 1, requeue: int = ALL, expected: Any = None
    ) -> int:
        first, second = self._bucket(word), self._bucket(target)
        locks = [lock for lock in self.buckets if lock in (first, second)]
        for lock in locks:
            lock.acquire()
        woken: list[Waiter] | None = None
        moved = 0
        if expected is None or word.load() == expected:
            woken = self._take(word, wake)
            moved = self._move(word, target, requeue)
        for lock in reversed(locks):
            lock.release()
        if woken is None:
            return -EAGAIN
        self._tell(woken)
        return len(woken) + moved
