"""Repairs of the spinlocks (sys/kern/kern_spinlock.c)."""

from __future__ import annotations

from vmsmp.patches.patch import Repair

_MODULE = "vmsmp.sync.spinlock"

REPAIRS = (
    Repair(
        "window-leaves-shared-clear",
        f"{_MODULE}:_spin_lock_shared_contested",
        "word.fcmpset(value, value | SPINLOCK_SHARED | 1)",
        "word.fcmpset(value, value | (1 if value else SPINLOCK_SHARED | 1))",
        "a reader that overrules a queued writer leaves SHARED clear, so later readers wait for the writer",
    ),
)
