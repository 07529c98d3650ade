"""Exclusive requests, the wait for a grant, and its retreat."""

from __future__ import annotations

from collections.abc import Callable

from vmsmp.sync.errno import (
    EBUSY,
    ENOLCK,
    LK_NOWAIT,
    LK_RELEASE,
    LK_SLEEPFAIL,
)
from vmsmp.sync.lock import EXCLUSIVE
from vmsmp.sync.lockmgr.release import lockmgr_release
from vmsmp.sync.lockmgr.shared import recurse
from vmsmp.sync.lockmgr.struct_lock import LK_KERNTHREAD, StructLock
from vmsmp.sync.lockmgr.wait import lk_sleep
from vmsmp.sync.lockmgr.word import (
    LKC_EXREQ,
    LKC_EXREQ2,
    LKC_SHARED,
    LKC_SMASK,
    LKC_UPREQ,
    LKC_XMASK,
    canceled,
    exclusive_due,
    exclusive_grantable,
    grant_due,
    grant_exreq,
)
from vmsmp.sync.thread import Thread, curthread


def lockmgr_exclusive(lkp: StructLock, flags: int) -> int:
    """LK_EXCLUSIVE: take the lock exclusively."""
    td = curthread(lkp.machine)
    lkp.note_request(flags, EXCLUSIVE)
    count = lkp.lk_count.load()
    if count & LKC_XMASK and lkp.lk_lockholder.load() is td:
        return recurse(lkp, td, flags)
    while True:
        if exclusive_grantable(count):
            granted, count = lkp.lk_count.fcmpset(count, (count + 1) & ~LKC_SHARED)
            if granted:
                lkp.note_acquired(td.cpu, EXCLUSIVE, tried=bool(flags & LK_NOWAIT))
                lkp.lk_lockholder.store(td)
                return 0
            continue
        if flags & LK_NOWAIT:
            return EBUSY
        lkp.note_contest(td)
        lkp.machine.tsleep_interlock(lkp)
        if count & (LKC_EXREQ | LKC_XMASK):
            asked, count = lkp.lk_count.fcmpset(count, count | LKC_EXREQ2)
            if not asked:
                continue
            error = lk_sleep(lkp, flags, "lkexcl", exclusive_due)
            if error:
                return error
            if flags & LK_SLEEPFAIL:
                return ENOLCK
            count = lkp.lk_count.load()
            continue
        asked, count = lkp.lk_count.fcmpset(count, count | LKC_EXREQ)
        if asked:
            lkp.asking.add(td)
            return await_grant(lkp, td, flags, LKC_EXREQ, undo_exreq)


def await_grant(lkp: StructLock, td: Thread, flags: int, bit: int, undo: Callable[[StructLock], int]) -> int:
    """Wait until `bit` (EXREQ or UPREQ) is gone, which is the grant.

    The caller owns the bit and has called the interlock.
    """
    while True:
        count = lkp.lk_count.fetchadd(0)
        if not count & bit:
            break
        error = 0
        gave_up = canceled(count, flags)
        if not gave_up:
            error = lk_sleep(lkp, flags, "lkgrant", lambda count: grant_due(count, bit))
            gave_up = bool(flags & LK_SLEEPFAIL)
        if error or gave_up:
            if undo(lkp):
                lkp.asking.discard(td)
                return error or ENOLCK
            if error:
                break  # granted while we were giving up: keep it
            lkp.note_acquired(td.cpu, EXCLUSIVE)
            lkp.asking.discard(td)
            lkp.lk_lockholder.store(LK_KERNTHREAD)
            lockmgr_release(lkp, LK_RELEASE)
            return ENOLCK
        lkp.machine.tsleep_interlock(lkp)
    if not lkp.lk_count.peek() & LKC_XMASK:
        lkp.machine.panic(f"{lkp} was granted without an owner count")
    lkp.note_acquired(td.cpu, EXCLUSIVE)
    lkp.asking.discard(td)
    lkp.lk_lockholder.store(td)
    return 0


def undo_exreq(lkp: StructLock) -> int:
    """Give up EXREQ.  0 if the lock was granted meanwhile, else EBUSY."""
    count = lkp.lk_count.load()
    while True:
        if not count & LKC_EXREQ:
            return 0
        result = EBUSY
        if count & LKC_XMASK:
            after = count & ~(LKC_EXREQ | LKC_EXREQ2)
            # Readers that let us go first are not counted: nothing in the word asks for a wakeup.
            wake = bool(count & LKC_EXREQ2 and not count & LKC_UPREQ)
        elif count & LKC_UPREQ:
            after = count & ~(LKC_EXREQ | LKC_EXREQ2)
            wake = False
        elif count & LKC_SHARED and count & LKC_SMASK:
            after = count & ~(LKC_EXREQ | LKC_EXREQ2)
            wake = True
        else:
            after = grant_exreq(count)
            wake = bool(count & (LKC_EXREQ2 | LKC_SHARED))
            result = 0
        done, count = lkp.lk_count.fcmpset(count, after)
        if done:
            if wake:
                lkp.machine.wakeup(lkp)
            return result
