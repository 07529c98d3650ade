"""A spinlock with a counter of updates, so that readers need not write (a sequence lock).

Models: the sequence functions of sys/sys/spinlock2.h.
The writer makes `update` odd under the lock, and even again before it releases the lock.  A reader loads
`update`, reads, and tests whether `update` is still the same; if it was odd, it reads under the shared lock.
Deviation: `update` is here, not in the spinlock, so that other spinlocks have no such word.
"""

from __future__ import annotations

from vmsmp.sync.services import Services
from vmsmp.sync.spinlock import Spinlock

#: How a report shows this module's frames (`engine.source`).
FRAMES = "machinery"


class SequenceLock:
    """The spinlock `spin` and its counter `update`, which is odd while a writer is inside."""

    def __init__(self, machine: Services, spin: Spinlock) -> None:
        self.machine = machine
        self.spin = spin
        self.update = machine.atomic(0, f"{spin.name}.update")


def spin_lock_update(lock: SequenceLock) -> None:
    """Begin to change what `lock` protects.  Locks: takes the spinlock exclusively."""
    lock.spin.acquire()
    spin_lock_update_only(lock)


def spin_lock_update_only(lock: SequenceLock) -> None:
    """Begin a change; the caller excludes other writers."""
    _count(lock, odd=1)


def spin_unlock_update(lock: SequenceLock) -> None:
    """End the change that `spin_lock_update` began."""
    spin_unlock_update_only(lock)
    lock.spin.release()


def spin_unlock_update_only(lock: SequenceLock) -> None:
    """End the change that `spin_lock_update_only` began."""
    _count(lock, odd=0)


def _count(lock: SequenceLock, odd: int) -> None:
    """Add one in two steps, since the kernel's addition is not atomic."""
    update = lock.update.load() + 1
    lock.update.store(update)
    if update & 1 != odd:
        lock.machine.panic(
            f"{lock.update} is {'even' if odd else 'odd'} where an update {'begins' if odd else 'ends'}"
        )


def spin_access_start(lock: SequenceLock) -> int:
    """Begin to read, under the shared lock if a writer is inside; pass the result to `spin_access_end`."""
    update: int = lock.update.load()
    if update & 1:
        lock.spin.acquire_shared()
    return update


def spin_access_end(lock: SequenceLock, update: int) -> bool:
    """End what `spin_access_start` began; return whether the values read are stale and must be read again."""
    if update & 1:
        lock.spin.release_shared()
        return False
    return spin_access_end_only(lock, update)


def spin_access_start_only(lock: SequenceLock) -> int:
    """Begin to read without the lock (see `spin_access_check_inprog`)."""
    update: int = lock.update.load()
    return update


def spin_access_check_inprog(update: int) -> bool:
    """Whether a writer was inside when `spin_access_start_only` returned `update`."""
    return bool(update & 1)


def spin_access_end_only(lock: SequenceLock, update: int) -> bool:
    """Whether a writer came since `spin_access_start_only` returned `update`."""
    return bool(lock.update.load() != update)
