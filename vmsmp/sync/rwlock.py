"""Reader-writer locks that prefer writers.

Models: `pthread_rwlock_t` of POSIX, which leaves the preference to the implementation.  Here new readers wait
while a writer waits; writers, and readers, are not ordered among themselves, and a writer that arrives may be
faster than one that waits.  A CPU that reads must not ask again while a writer may wait: the two would wait
for each other.  There is no upgrade.
The exact depth is one word: WRITER, the number of waiting writers, and that of readers.  A CPU sleeps while
the word has the value that it has read (a futex), and the release that frees the lock wakes all.
Locks: none held by the caller; waiting is a blocking point.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from vmsmp.engine import ops
from vmsmp.engine.cpu import Cpu
from vmsmp.engine.wait import Wait
from vmsmp.sync.asking import Asking
from vmsmp.sync.futex import ALL, Futexes
from vmsmp.sync.lock import EXCLUSIVE, SHARED, Lock
from vmsmp.sync.services import Services

WRITER: Final = 0x80000000
#: One writer that waits.
QUEUED: Final = 0x00010000
_QUEUED_MASK: Final = WRITER - QUEUED
_READERS: Final = QUEUED - 1


def _format(word: int) -> str:
    """The word as a report shows it: `W|2w|3`."""
    parts = ["W"] if word & WRITER else []
    if word & _QUEUED_MASK:
        parts.append(f"{(word & _QUEUED_MASK) // QUEUED}w")
    return "|".join([*parts, str(word & _READERS)])


class RwLock(Lock):
    """A reader-writer lock at either depth."""

    kind = "rwlock"
    sleepable = True

    def acquire_shared(self) -> None:
        """Take it shared with other readers, with no limit to the wait."""
        raise NotImplementedError

    def try_acquire(self) -> bool:
        """Take it exclusively if that needs no waiting."""
        raise NotImplementedError

    def try_acquire_shared(self) -> bool:
        """Take it shared if that needs no waiting."""
        raise NotImplementedError

    def release_shared(self) -> None:
        """As `release`, which finds the mode by itself."""
        self.release()

    def _leave(self) -> str:
        """Return the running CPU's mode, which it gives up with its next operation."""
        cpu = self.engine.current
        mode = self.mode_of(cpu)
        if mode is None:
            self.machine.fail("lock-misuse", f"{self} released by a CPU that does not hold it")
        self.note_released(cpu, mode)
        return mode


class AtomicRwLock(RwLock):
    """One step to be let in or to be counted as a waiter, one to leave."""

    def __init__(self, machine: Services, name: str | None = None) -> None:
        super().__init__(machine, name)
        self._asking = Asking(machine)
        self._code = self.ident << ops.KIND_BITS
        self._owner: Cpu | None = None
        self._readers = 0
        # by index of the CPU
        self._queued: set[int] = set()

    def acquire(self) -> None:
        self._ask(EXCLUSIVE, self._write)

    def acquire_shared(self) -> None:
        self._ask(SHARED, self._read)

    def _ask(self, mode: str, attempt: Callable[[Cpu], bool]) -> None:
        self.note_wanted(self.engine.current, mode)
        wait = Wait(self, EXCLUSIVE if mode == EXCLUSIVE else SHARED)
        self._asking.until(self._code | ops.REQUEST, attempt, wait)

    def try_acquire(self) -> bool:
        return self._asking.once(self._code | ops.REQUEST, lambda cpu: self._take(cpu, tried=True))

    def try_acquire_shared(self) -> bool:
        return self._asking.once(self._code | ops.REQUEST, lambda cpu: self._share(cpu, tried=True))

    def release(self) -> None:
        self._asking.change(self._code | ops.RELEASE, self._drop)

    def _write(self, cpu: Cpu) -> bool:
        if self._take(cpu):
            self._queued.discard(cpu.index)
            return True
        if cpu.index not in self._queued:
            self._queued.add(cpu.index)
            self.contested += 1
        return False

    def _read(self, cpu: Cpu) -> bool:
        if self._share(cpu):
            return True
        self.contested += 1
        return False

    def _take(self, cpu: Cpu, tried: bool = False) -> bool:
        if self._owner is not None or self._readers:
            return False
        self._owner = cpu
        self.note_acquired(cpu, EXCLUSIVE, tried)
        return True

    def _share(self, cpu: Cpu, tried: bool = False) -> bool:
        if self._owner is not None or self._queued:
            return False
        self._readers += 1
        self.note_acquired(cpu, SHARED, tried)
        return True

    def _drop(self, _cpu: Cpu) -> None:
        if self._leave() == EXCLUSIVE:
            self._owner = None
        else:
            self._readers -= 1

    def check_word(self) -> str | None:
        """It has one owner or readers only, and they are the CPUs that hold it."""
        owners, readers = self.holds_of(EXCLUSIVE), self.holds_of(SHARED)
        if owners != ({} if self._owner is None else {self._owner.index: 1}):
            return f"{self._owner} is its owner, but it is held exclusively by {sorted(owners)}"
        if sum(readers.values()) != self._readers or (owners and readers):
            return f"it has {self._readers} readers, but is held shared by {sorted(readers)}"
        return None

    def check_rest(self) -> str | None:
        """No CPU holds or wants it."""
        return "nobody uses it but it is not free" if self._owner or self._readers or self._queued else None


class ExactRwLock(RwLock):
    """The word `state`, on which CPUs sleep."""

    def __init__(self, machine: Services, name: str | None, futexes: Futexes) -> None:
        super().__init__(machine, name)
        self.word = machine.atomic(0, f"{self.name}.state", format=_format)
        machine.words[self.word.ident] = self
        self._futexes = futexes

    def acquire(self) -> None:
        cpu = self.engine.current
        self.note_wanted(cpu, EXCLUSIVE)
        if not self._take(0):
            self.contested += 1
            self.word.fetchadd(QUEUED)
            while not self._take(QUEUED):
                self._sleep(WRITER | _READERS)
        self.note_acquired(cpu, EXCLUSIVE)

    def acquire_shared(self) -> None:
        cpu = self.engine.current
        self.note_wanted(cpu, SHARED)
        if not self._share():
            self.contested += 1
            while not self._share():
                self._sleep(WRITER | _QUEUED_MASK)
        self.note_acquired(cpu, SHARED)

    def try_acquire(self) -> bool:
        if not self._take(0):
            return False
        self.note_acquired(self.engine.current, EXCLUSIVE, tried=True)
        return True

    def try_acquire_shared(self) -> bool:
        if not self._share():
            return False
        self.note_acquired(self.engine.current, SHARED, tried=True)
        return True

    def release(self) -> None:
        if self._leave() == EXCLUSIVE:
            self.word.clearbits(WRITER)
        elif self.word.fetchadd(-1) & _READERS != 1:
            return
        self._futexes.wake(self.word, ALL)

    def _take(self, queued: int) -> bool:
        """Become the writer of a free lock, and subtract `queued` from the waiting writers."""
        word = self.word.load()
        while not word & (WRITER | _READERS):
            taken, word = self.word.fcmpset(word, word - queued | WRITER)
            if taken:
                return True
        return False

    def _share(self) -> bool:
        """Become a reader, if no writer holds the lock or waits for it."""
        word = self.word.load()
        while not word & (WRITER | _QUEUED_MASK):
            taken, word = self.word.fcmpset(word, word + 1)
            if taken:
                return True
        return False

    def _sleep(self, against: int) -> None:
        """Sleep while the word has a bit of `against`."""
        word = self.word.load()
        if word & against:
            self._futexes.sleep(self.word, word, overdue=lambda: self._free(against), sake=self)

    def _free(self, against: int) -> str | None:
        return None if self.word.peek() & against else f"{self.name} is free"

    def check_word(self) -> str | None:
        """The word has one writer or readers only, and counts at least the holders."""
        word = self.word.peek()
        if word & WRITER and word & _READERS:
            return "WRITER is set beside readers"
        modes = [mode for _, mode in self.holders]
        if modes.count(EXCLUSIVE) > bool(word & WRITER) or modes.count(SHARED) > word & _READERS:
            return f"{len(modes)} hold it and the word is {_format(word)}"
        return None

    def check_rest(self) -> str | None:
        """No CPU holds or wants it: the word is 0."""
        word = self.word.peek()
        return f"nobody uses it but the word is {_format(word)}" if word else None

    def state(self) -> str:
        return f"{_format(self.word.peek())} ({super().state()})"
