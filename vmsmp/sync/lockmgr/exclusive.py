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
    """LK_EXCLUSIVE: take the lock exclusively; return 0 or an error number.  Sleeps: while contested."""
    td = curthread(lkp.machine)
    flags |= lkp.lk_flags
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
        if canceled(count, flags):
            return ENOLCK
        if flags & LK_NOWAIT:
            return EBUSY
        lkp.note_contest(td)
        bit = LKC_EXREQ2 if count & (LKC_EXREQ | LKC_XMASK) else LKC_EXREQ
        lkp.machine.tsleep_interlock(lkp)
        asked, found = lkp.lk_count.fcmpset(count, count | bit)
        if asked and bit == LKC_EXREQ:
            lkp.asking.add(td)
            return await_grant(lkp, td, flags, LKC_EXREQ, count | LKC_EXREQ, undo_exreq)
        error = 0
        if asked:
            error = lk_sleep(lkp, flags, exclusive_due)
            found = lkp.lk_count.load()
        count = found
        if error:
            return error
        if flags & LK_SLEEPFAIL:  # as in the kernel, also if another CPU was faster and nobody slept
            return ENOLCK


def await_grant(
    lkp: StructLock, td: Thread, flags: int, bit: int, count: int, undo: Callable[[StructLock], int]
) -> int:
    """Wait until `bit` (EXREQ or UPREQ) is gone, which is the grant.

    The caller owns the bit and has called the interlock before it set it; `count` is what it stored.
    """
    while count & bit:
        if canceled(count, flags):
            return _give_up(lkp, td, ENOLCK, undo)
        error = lk_sleep(lkp, flags, lambda count: grant_due(count, bit))
        if flags & LK_SLEEPFAIL:
            return _give_up(lkp, td, error or ENOLCK, undo)
        if error and undo(lkp):
            lkp.asking.discard(td)
            return error
        if error and bit == LKC_EXREQ:
            break  # granted while it was giving up: keep it
        count = lkp.lk_count.load()
        if count & bit:
            lkp.machine.tsleep_interlock(lkp)
            count = lkp.lk_count.fetchadd(0)
    if not count & (LKC_XMASK | bit):
        lkp.machine.panic(f"{lkp} was granted without an owner count")
    lkp.note_acquired(td.cpu, EXCLUSIVE)
    lkp.asking.discard(td)
    lkp.lk_lockholder.store(td)
    return 0


def _give_up(lkp: StructLock, td: Thread, error: int, undo: Callable[[StructLock], int]) -> int:
    """Withdraw a request; if the lock was granted meanwhile, release it."""
    if undo(lkp):
        lkp.asking.discard(td)
        return error
    lkp.note_acquired(td.cpu, EXCLUSIVE)
    lkp.asking.discard(td)
    lkp.lk_lockholder.store(LK_KERNTHREAD)
    lockmgr_release(lkp, LK_RELEASE)
    return error


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
