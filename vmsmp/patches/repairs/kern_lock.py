"""Repairs of lockmgr (sys/kern/kern_lock.c)."""

from __future__ import annotations

from vmsmp.patches.patch import Edit, Repair

_PACKAGE = "vmsmp.sync.lockmgr"

REPAIRS = (
    Repair(
        "undo-upreq-spares-readers",
        f"{_PACKAGE}.upgrade:undo_upreq",
        "elif count & LKC_EXREQ:",
        "elif count & LKC_EXREQ and not (count & LKC_SHARED and count & LKC_SMASK):",
        "an abandoned upgrade leaves the lock to the readers that still hold it",
    ),
    Repair(
        "undo-exreq-wakes-readers",
        f"{_PACKAGE}.exclusive:undo_exreq",
        "wake = bool(count & LKC_EXREQ2 and not count & LKC_UPREQ)",
        "wake = True",
        "a writer that gives up wakes the readers that let it go first, though the word does not count them",
    ),
    Repair(
        "undo-grant-clears-shared",
        f"{_PACKAGE}.word:grant_exreq",
        "~(LKC_EXREQ | LKC_EXREQ2)",
        "~(LKC_EXREQ | LKC_EXREQ2 | LKC_SHARED)",
        "a CPU that grants the lock as it gives up clears a cached SHARED",
    ),
    Repair(
        "polite-reader-sees-cancel",
        f"{_PACKAGE}.shared:_let_writers_go_first",
        "error = lk_sleep(lkp, flags, shared_admitted)",
        "error = 0 if canceled(count, flags) else lk_sleep(lkp, flags, shared_admitted)",
        "a reader that lets the writers go first looks at CANCEL again before it sleeps",
    ),
    Repair(
        "sleepfail-minds-every-sleep",
        f"{_PACKAGE}.shared:_let_writers_go_first",
        "count = lkp.lk_count.load()",
        """
        if flags & LK_SLEEPFAIL:
            return ENOLCK
        count = lkp.lk_count.load()
        """,
        "a reader that lets the writers go first fails after the sleep, if it is to",
        also=(
            Edit(
                f"{_PACKAGE}.atomic:AtomicLockmgr._wait_uncounted",
                "if not self._yields(cpu) and self._can_shared(cpu):",
                """
                if flags & LK_SLEEPFAIL:
                    return ENOLCK
                if not self._yields(cpu) and self._can_shared(cpu):
                """,
            ),
        ),
    ),
)
