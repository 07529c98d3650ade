"""Mutants of lockmgr (sys/kern/kern_lock.c)."""

from __future__ import annotations

from vmsmp.patches.patch import Mutant

_PACKAGE = "vmsmp.sync.lockmgr"

MUTANTS = (
    Mutant(
        "LK-07",
        f"{_PACKAGE}.shared:_await_shared",
        """
        lkp.machine.tsleep_interlock(lkp)
        count = lkp.lk_count.fetchadd(0)
        """,
        "lkp.machine.tsleep_interlock(lkp)",
        "INV-LK7",
        "the grant and its wakeup fall between the look and the interlock",
        "readers_and_writers",
    ),
    Mutant(
        "LK-08",
        f"{_PACKAGE}.shared:_await_shared",
        "count = lkp.lk_count.fetchadd(LKC_SCOUNT) + LKC_SCOUNT",
        "count = lkp.lk_count.fetchadd(LKC_SCOUNT) + LKC_SCOUNT | LKC_SHARED",
        "INV-LK2",
        "a counted request is taken for a grant",
        "readers_and_writers",
    ),
    Mutant(
        "LK-10",
        f"{_PACKAGE}.shared:undo_shreq",
        "while count & (LKC_EXREQ | LKC_UPREQ | LKC_CANCEL) and not count & (LKC_SMASK | LKC_XMASK):",
        "while False:",
        "INV-LK7",
        "two readers leave at once, each leaving the grant to the other",
        "last_readers_leave",
    ),
    Mutant(
        "LK-12",
        f"{_PACKAGE}.release:_release_exclusive",
        "wake = bool(count & (LKC_UPREQ | LKC_EXREQ | LKC_SMASK | LKC_EXREQ2))",
        "wake = bool(count & (LKC_UPREQ | LKC_EXREQ | LKC_SMASK))",
        "INV-LK7",
        "EXREQ2 is cleared, and the CPU that set it sleeps on",
        "readers_and_writers",
    ),
    Mutant(
        "LK-13",
        f"{_PACKAGE}.release:_release_shared",
        "if count & LKC_UPREQ:",
        "if count & LKC_UPREQ and not count & LKC_EXREQ:",
        "INV-LK8",
        "the writer is let in before the upgrade that was promised to be atomic",
        "upgrade_against_writer",
    ),
    Mutant(
        "LK-14",
        f"{_PACKAGE}.upgrade:lockmgr_upgrade",
        "if flags & LK_TYPE_MASK == LK_EXCLUPGRADE or flags & LK_NOWAIT:",
        "if flags & LK_NOWAIT:",
        "INV-LK8",
        "the second upgrader waits its turn and is told that nobody was in between",
        "upgrade_contention",
    ),
    Mutant(
        "LK-15",
        f"{_PACKAGE}.upgrade:lockmgr_upgrade",
        "asked, count = lkp.lk_count.fcmpset(count, after)",
        """
        lkp.lk_count.fetchadd(-LKC_SCOUNT)
        asked = lkp.lk_count.setbits(LKC_UPREQ) is not None
        """,
        "INV-LK7",
        "the last reader leaves between the two steps, and UPREQ is set on a free lock",
        "upgrade_or_wait",
    ),
    Mutant(
        "LK-16",
        f"{_PACKAGE}.release:lockmgr_downgrade",
        "if count & (LKC_SMASK | LKC_EXREQ2):",
        "if count & LKC_EXREQ2:",
        "INV-LK7",
        "a counted reader owns the lock after the downgrade and sleeps on",
        "downgrade_keeps_the_lock",
    ),
    Mutant(
        "LK-17",
        f"{_PACKAGE}.release:lockmgr_downgrade",
        "lkp.lk_lockholder.store(None)",
        """
        from vmsmp.sync.lockmgr.shared import lockmgr_shared

        lockmgr_release(lkp)
        return lockmgr_shared(lkp, 0)
        """,
        "INV-LK8",
        "a writer slips in between the release and the shared acquire",
        "downgrade_keeps_the_lock",
    ),
    Mutant(
        "LK-18",
        f"{_PACKAGE}.shared:recurse",
        "lkp.lk_count.fetchadd(1)",
        "lkp.lk_count.fetchadd(LKC_SCOUNT)",
        "INV-DL",
        "shared recursion counts as a reader beside its own exclusive hold",
        "lockmgr_storm",
    ),
    Mutant(
        "LK-19",
        f"{_PACKAGE}.exclusive:await_grant",
        "if error and undo(lkp):",
        "if error and undo(lkp) is not None:",
        "INV-LK7",
        "a request times out as it is granted, and the lock belongs to nobody",
        "timeouts_against_grants",
    ),
)
