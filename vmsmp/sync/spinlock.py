"""Spinlocks, exclusive and shared.

Models: sys/sys/spinlock2.h and sys/kern/kern_spinlock.c.
Word: bit 31 SPINLOCK_SHARED, bits 20..30 the exclusive waiters in units of SPINLOCK_EXCLWAIT, bits
0..19 holders and transient increments.  A release is the same for both modes; the last shared one
leaves SHARED set, cached for the next reader.  Queued writers hold off new readers.
Locks: a holder is in a critical section and must not sleep.
Deviations:
  * backoff is one `pause` per turn; "indefinite wait" is the engine's livelock verdict.
  * a reader's time window, in which it may overrule queued writers, is drawn (one turn in two is
    inside) on each turn that could use it, instead of following a time stamp counter.
  * at the atomic depth a try fails only if the lock is held.  In the kernel, and at the exact depth, it may
    also fail because of the count of a reader that is backing off after the owner has released the lock.
  * the counter of updates (`sync.sequence`) is a word beside the lock, only for locks that use it.
"""

from __future__ import annotations

from typing import Final

from vmsmp.engine import ops
from vmsmp.engine.cpu import Cpu
from vmsmp.engine.wait import Wait
from vmsmp.sync.lock import EXCLUSIVE, SHARED, Lock
from vmsmp.sync.services import Services
from vmsmp.sync.thread import Thread, crit_enter, crit_exit, curthread, take_latched

SPINLOCK_SHARED: Final = 0x80000000
SPINLOCK_EXCLWAIT: Final = 0x00100000
SPINLOCK_COUNT: Final = SPINLOCK_EXCLWAIT - 1


def _format(word: int) -> str:
    """The word as a report shows it: `S|2EW|1`."""
    parts = ["S"] if word & SPINLOCK_SHARED else []
    waiters = word >> 20 & 0x7FF
    if waiters:
        parts.append(f"{waiters}EW")
    return "|".join([*parts, str(word & SPINLOCK_COUNT)])


def _spin_enter(spin: ExactSpinlock) -> Thread:
    """Enter a critical section and count the lock, as every acquire does before its first operation."""
    td = curthread(spin.machine)
    crit_enter(td)
    td.gd_spinlocks += 1
    spin.inside.add(td)
    return td


def _spin_leave(td: Thread) -> None:
    td.gd_spinlocks -= 1
    crit_exit(td)


def spin_lock(spin: ExactSpinlock) -> None:
    """Take `spin` exclusively.

    Locks: the holder must not sleep.  Sleeps: never, it spins.
    """
    td = _spin_enter(spin)
    spin.note_wanted(td.cpu, EXCLUSIVE)
    old = spin.lock.fetchadd(1)
    if old != 0:
        _spin_lock_contested(spin, td, old)
    spin.inside.discard(td)
    spin.note_acquired(td.cpu, EXCLUSIVE)
    if td.cpu.latched:
        take_latched(td)  # which no operation of a CPU that waits does


def _spin_lock_contested(spin: ExactSpinlock, td: Thread, old: int) -> None:
    """Wait for a word that was not free; this CPU's increment is in it."""
    word = spin.lock
    if old == SPINLOCK_SHARED and word.cmpset(SPINLOCK_SHARED | 1, 1):
        return  # only SHARED was set, cached by readers that have left
    td.cpu.wants = Wait(spin, EXCLUSIVE)
    spin.contested += 1
    # Move the increment from the holders to the queued writers, which holds off new readers.
    old = word.fetchadd(SPINLOCK_EXCLWAIT - 1)
    spin.queued.add(td)
    if old & SPINLOCK_SHARED:
        word.clearbits(SPINLOCK_SHARED)
    while True:
        value = word.load()
        if value & SPINLOCK_COUNT == 0:
            if word.cmpset(value, (value - SPINLOCK_EXCLWAIT | 1) & ~SPINLOCK_SHARED):
                break
        else:
            spin.machine.pause()
    spin.queued.discard(td)
    td.cpu.wants = None


def spin_trylock(spin: ExactSpinlock) -> bool:
    """Take `spin` exclusively if that needs no waiting; else leave the word as it is."""
    td = _spin_enter(spin)
    if not spin.lock.cmpset(0, 1) and not spin.lock.cmpset(SPINLOCK_SHARED, 1):
        spin.inside.discard(td)
        _spin_leave(td)
        return False
    spin.inside.discard(td)
    spin.note_acquired(td.cpu, EXCLUSIVE, tried=True)
    return True


def spin_unlock(spin: ExactSpinlock) -> None:
    """Release `spin`, in either mode (`spin_unlock_any` relies on that)."""
    td = curthread(spin.machine)
    spin.note_released(td.cpu, spin.mode_of(td.cpu) or EXCLUSIVE)
    spin.lock.fetchadd(-1)
    _spin_leave(td)


def spin_lock_shared(spin: ExactSpinlock) -> None:
    """Take `spin` shared.  Queued writers go first, except in this CPU's time window."""
    td = _spin_enter(spin)
    spin.note_wanted(td.cpu, SHARED)
    old = spin.lock.fetchadd(1)
    if not old & SPINLOCK_SHARED and not (old == 0 and spin.lock.cmpset(1, SPINLOCK_SHARED | 1)):
        _spin_lock_shared_contested(spin, td)
    spin.inside.discard(td)
    spin.note_acquired(td.cpu, SHARED)
    if td.cpu.latched:
        take_latched(td)


def _spin_lock_shared_contested(spin: ExactSpinlock, td: Thread) -> None:
    """Wait for a word that is owned or queued for; this CPU's increment is still in it."""
    word = spin.lock
    td.cpu.wants = Wait(spin, SHARED)
    spin.contested += 1
    value = word.fetchadd(-1) - 1
    while True:
        if value & SPINLOCK_COUNT == 0 and spin.machine.choose(2) == 0:  # inside the time window
            taken, value = word.fcmpset(value, value | SPINLOCK_SHARED | 1)
            if taken:
                break
        elif value == 0:
            taken, value = word.fcmpset(0, SPINLOCK_SHARED | 1)
            if taken:
                break
        elif value & SPINLOCK_SHARED:
            if word.fetchadd(1) & SPINLOCK_SHARED:
                break
            value = word.fetchadd(-1) - 1
        else:
            spin.machine.pause()
            value = word.load()
    td.cpu.wants = None


def spin_lock_upgrade_try(spin: ExactSpinlock) -> bool:
    """Turn a shared hold into an exclusive one if this CPU is the only reader; return whether it was."""
    cpu = spin.engine.current
    if not spin.lock.cmpset(SPINLOCK_SHARED | 1, 1):
        return False
    spin.note_released(cpu, SHARED)
    spin.note_acquired(cpu, EXCLUSIVE, tried=True)
    return True


class Spinlock(Lock):
    """A spinlock at either depth."""

    kind = "spinlock"

    def try_acquire(self) -> bool:
        """Take it exclusively if that needs no waiting."""
        raise NotImplementedError

    def acquire_shared(self) -> None:
        """Take it shared with other readers."""
        raise NotImplementedError

    def release_shared(self) -> None:
        """Release a shared hold."""
        raise NotImplementedError

    def try_upgrade(self) -> bool:
        """Turn a shared hold into an exclusive one if there is no other reader."""
        raise NotImplementedError


class ExactSpinlock(Spinlock):
    """struct spinlock: the word `lock`, under the functions of this module."""

    def __init__(self, machine: Services, name: str | None = None, ident: int | None = None) -> None:
        super().__init__(machine, name, ident)
        word = None if ident is None else ident + ops.MAX_CPUS  # reserved together with ours
        self.lock = machine.atomic(0, f"{self.name}.lock", format=_format, ident=word)
        # ghost: threads inside an acquire, and those of them that are counted as queued writers
        self.inside: set[Thread] = set()
        self.queued: set[Thread] = set()
        machine.words[self.lock.ident] = self

    acquire = spin_lock
    try_acquire = spin_trylock
    release = spin_unlock
    acquire_shared = spin_lock_shared
    release_shared = spin_unlock
    try_upgrade = spin_lock_upgrade_try

    def check_word(self) -> str | None:
        """INV-SP1, INV-SP2, INV-SP3, INV-SP4."""
        word = self.lock.peek()
        holding = self.holders
        owners = [cpu for cpu, mode in holding if mode == EXCLUSIVE]
        if len(owners) > 1:
            return "two exclusive owners"
        if word >> 20 & 0x7FF != len(self.queued):
            return f"{len(self.queued)} writers wait but the word counts {word >> 20 & 0x7FF}"
        if owners and word & SPINLOCK_SHARED:
            return "SHARED is set beside an exclusive owner"
        for cpu, _ in holding:
            held = sum(1 for hold in cpu.held if hold.lock.kind == "spinlock")
            if not held <= cpu.td.gd_spinlocks <= cpu.td.td_critcount:
                return f"{cpu} holds {held} spinlocks and counts {cpu.td.gd_spinlocks}"
        if word & SPINLOCK_COUNT < len(holding):
            return f"{len(holding)} hold it but the word counts {word & SPINLOCK_COUNT}"
        return None

    def check_rest(self) -> str | None:
        """INV-SP2 at rest: the word is free."""
        word = self.lock.peek()
        return None if word & ~SPINLOCK_SHARED == 0 else f"nobody uses it but the word is {_format(word)}"

    def state(self) -> str:
        return f"{_format(self.lock.peek())} ({super().state()})"


def _indexes(cpus: list[Cpu]) -> list[int]:
    return sorted({cpu.index for cpu in cpus})


class AtomicSpinlock(Spinlock):
    """The same contract in one step each, granted by the engine."""

    def __init__(self, machine: Services, name: str | None = None, ident: int | None = None) -> None:
        super().__init__(machine, name, ident)
        self._gate = machine.engine.gate()
        self._code = self.ident << ops.KIND_BITS
        self._owner: Cpu | None = None
        self._readers = 0

    def _free(self, _cpu: Cpu) -> bool:
        return self._owner is None and not self._readers

    def _unowned(self, _cpu: Cpu) -> bool:
        return self._owner is None

    def _take(self, cpu: Cpu) -> None:
        self._owner = cpu
        self.note_acquired(cpu, EXCLUSIVE)

    def _take_shared(self, cpu: Cpu) -> None:
        self._readers += 1
        self.note_acquired(cpu, SHARED)

    def acquire(self) -> None:
        cpu = self.engine.current
        self.note_wanted(cpu, EXCLUSIVE)
        if self._owner is not None or self._readers:
            self.contested += 1
        self._gate.enter(self._code | ops.ACQUIRE, self._free, self._take, Wait(self, EXCLUSIVE))

    def acquire_shared(self) -> None:
        cpu = self.engine.current
        self.note_wanted(cpu, SHARED)
        if self._owner is not None:
            self.contested += 1
        self._gate.enter(
            self._code | ops.ACQUIRE_SHARED, self._unowned, self._take_shared, Wait(self, SHARED)
        )

    def try_acquire(self) -> bool:
        return bool(self._gate.alter(self._code | ops.TRY_ACQUIRE, self._try))

    def _try(self, cpu: Cpu) -> bool:
        if not self._free(cpu):
            self.engine.failed()
            return False
        self._owner = cpu
        self.note_acquired(cpu, EXCLUSIVE, tried=True)
        return True

    def try_upgrade(self) -> bool:
        # A writer that waits at the gate may be counted in the exact lock's word already, or not yet: that is
        # drawn.  It is drawn even if none waits, since a test for one would be an invisible operation.
        counted = bool(self.machine.choose(2))

        def upgrade(cpu: Cpu) -> bool:
            if self._readers != 1 or (counted and self._gate.waits(EXCLUSIVE)):
                return False
            self._readers = 0
            self._owner = cpu
            self.note_released(cpu, SHARED)
            self.note_acquired(cpu, EXCLUSIVE, tried=True)
            return True

        return bool(self._gate.alter(self._code | ops.UPGRADE, upgrade))

    def release(self) -> None:
        self._gate.alter(self._code | (ops.RELEASE_SHARED if self._readers else ops.RELEASE), self._drop)

    release_shared = release

    def _drop(self, cpu: Cpu) -> None:
        mode = self.mode_of(cpu) or (EXCLUSIVE if self._owner else SHARED)
        self.note_released(cpu, mode)
        if mode == EXCLUSIVE:
            self._owner = None
        else:
            self._readers = max(0, self._readers - 1)

    def check_word(self) -> str | None:
        """INV-SP1, on the fields that stand for the word."""
        holders = self.holders
        if not holders and self._owner is None and not self._readers:
            return None  # as it mostly is: every operation on the lock is followed by a look
        if len(holders) == 1 and not self._readers and holders[0] == (self._owner, EXCLUSIVE):
            return None
        owners = [cpu for cpu, mode in holders if mode == EXCLUSIVE]
        if owners != ([] if self._owner is None else [self._owner]):
            return f"{self._owner} is its owner, but it is held exclusively by {_indexes(owners)}"
        readers = len(holders) - len(owners)
        if readers != self._readers or (owners and readers):
            reading = [cpu for cpu, mode in holders if mode == SHARED]
            return f"it has {self._readers} readers, but is held shared by {_indexes(reading)}"
        return None

    def check_rest(self) -> str | None:
        """INV-SP2 at rest."""
        return None if self._free(self.engine.current) else "nobody uses it but it is not free"
