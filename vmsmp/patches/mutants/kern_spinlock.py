"""Mutants of the spinlocks (sys/kern/kern_spinlock.c)."""

from __future__ import annotations

from vmsmp.patches.patch import Edit, Mutant

_MODULE = "vmsmp.sync.spinlock"

MUTANTS = (
    Mutant(
        "SP-01",
        f"{_MODULE}:spin_trylock",
        "if not spin.lock.cmpset(0, 1) and not spin.lock.cmpset(SPINLOCK_SHARED, 1):",
        "if spin.lock.fetchadd(1) != 0:",
        "INV-SP2",
        "a failed try leaves its increment in the word, which never comes back to 0",
        "spin_try_leaves_no_trace",
    ),
    Mutant(
        "SP-04",
        f"{_MODULE}:_spin_lock_contested",
        "value, (value - SPINLOCK_EXCLWAIT | 1) & ~SPINLOCK_SHARED",
        "value, value - SPINLOCK_EXCLWAIT | 1",
        "INV-SP1",
        "a windowed reader's SHARED survives the writer's win, and the next reader walks in",
        "spin_readers_and_writers",
        mended_by=("window-leaves-shared-clear",),
    ),
    Mutant(
        "SP-05",
        f"{_MODULE}:_spin_lock_contested",
        "if value & SPINLOCK_COUNT == 0:",
        "if value & SPINLOCK_COUNT <= 1:",
        "INV-SP1",
        "a queued writer takes the owner's count for its own",
        "spin_writers_queue",
    ),
    Mutant(
        "SP-06",
        f"{_MODULE}:spin_lock_shared",
        "old == 0 and spin.lock.cmpset(1, SPINLOCK_SHARED | 1)",
        "old == 0 and spin.lock.setbits(SPINLOCK_SHARED) is not None",
        "INV-SP1",
        "the reader sets SHARED over a writer that has queued meanwhile, and the writer's win keeps it",
        "spin_readers_and_writers",
        # Older code had neither guard.  With SP-04's guard, the stray bit only costs the writer its turn.
        also=(Edit(f"{_MODULE}:_spin_lock_contested", "& ~SPINLOCK_SHARED", "& -1"),),
    ),
    Mutant(
        "SP-07",
        f"{_MODULE}:_spin_lock_shared_contested",
        "if word.fetchadd(1) & SPINLOCK_SHARED:",
        "if word.fetchadd(1) is not None:",
        "INV-SP1",
        "the reader trusts the SHARED it read before its increment",
        "spin_readers_and_writers",
    ),
    Mutant(
        "SP-08",
        f"{_MODULE}:_spin_lock_shared_contested",
        """
        value = word.fetchadd(-1) - 1
        while True:
        """,
        """
        value = word.load()
        while True:
        """,
        "INV-SP2",
        "the reader's first increment is never taken back",
        "spin_readers_and_writers",
    ),
)
