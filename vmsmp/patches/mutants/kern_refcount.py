"""Mutants of the reference counts with waiters (sys/kern/kern_refcount.c)."""

from __future__ import annotations

from vmsmp.patches.patch import Mutant

_MODULE = "vmsmp.sync.refcount"

MUTANTS = (
    Mutant(
        "RC-01a",
        f"{_MODULE}:refcount_wait",
        """
        ref.machine.tsleep_interlock(ref, 0)
        published, n = ref.count.fcmpset(n, n | REFCNTF_WAITING)
        """,
        """
        published, n = ref.count.fcmpset(n, n | REFCNTF_WAITING)
        ref.machine.tsleep_interlock(ref, 0)
        """,
        "INV-SL4",
        "the last release wakes between the published flag and the interlock",
        "refcount_drains",
    ),
    Mutant(
        "RC-01b",
        f"{_MODULE}:refcount_wait",
        "published, n = ref.count.fcmpset(n, n | REFCNTF_WAITING)",
        "published, n = True, ref.count.setbits(REFCNTF_WAITING)",
        "INV-SL4",
        "the count reaches 0 before the flag is set, and nobody is left to wake",
        "refcount_drains",
    ),
    Mutant(
        "RC-03",
        f"{_MODULE}:refcount_release_wakeup",
        "if old == REFCNTF_WAITING | n:",
        "if old == n:",
        "INV-SL4",
        "the last release does not see that somebody waits",
        "refcount_drains",
    ),
)
