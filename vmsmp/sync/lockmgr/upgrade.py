"""Upgrades of a shared hold, and their retreat."""

from __future__ import annotations

from vmsmp.sync.errno import (
    EBUSY,
    LK_EXCLUPGRADE,
    LK_NOWAIT,
    LK_RELEASE,
    LK_TYPE_MASK,
)
from vmsmp.sync.lock import SHARED, UPGRADE
from vmsmp.sync.lockmgr.exclusive import await_grant, lockmgr_exclusive
from vmsmp.sync.lockmgr.release import lockmgr_release
from vmsmp.sync.lockmgr.struct_lock import StructLock
from vmsmp.sync.lockmgr.word import (
    LKC_EXREQ,
    LKC_SCOUNT,
    LKC_SHARED,
    LKC_SMASK,
    LKC_UPREQ,
    LKC_XMASK,
    grant_exreq,
)
from vmsmp.sync.thread import curthread


def lockmgr_upgrade(lkp: StructLock, flags: int) -> int:
    """LK_UPGRADE and LK_EXCLUPGRADE: turn a shared hold into an exclusive one.

    LK_EXCLUPGRADE succeeds only if no other thread held the lock exclusively in between.  After a
    failure the shared hold is gone.  Returns: 0 or an error number.  Sleeps: while others read.
    """
    td = curthread(lkp.machine)
    flags |= lkp.lk_flags
    lkp.note_request(flags, UPGRADE)
    count = lkp.lk_count.load()
    if count & LKC_XMASK and lkp.lk_lockholder.load() is td:
        return 0
    if count & LKC_XMASK or not count & LKC_SMASK:
        lkp.machine.panic(f"lockmgr: upgrade unowned lock: {lkp}")
    while True:
        if count & LKC_UPREQ:  # another CPU is upgrading: this one has lost
            lockmgr_release(lkp, LK_RELEASE)
            if flags & LK_TYPE_MASK == LK_EXCLUPGRADE or flags & LK_NOWAIT:
                return EBUSY
            return lockmgr_exclusive(lkp, flags)
        if count & LKC_SMASK == LKC_SCOUNT:
            granted, count = lkp.lk_count.fcmpset(count, (count - LKC_SCOUNT + 1) & ~LKC_SHARED)
            if granted:
                lkp.note_upgraded(td.cpu)
                lkp.lk_lockholder.store(td)
                return 0
            continue
        if flags & LK_NOWAIT:
            lockmgr_release(lkp, LK_RELEASE)
            return EBUSY
        lkp.note_contest(td)
        lkp.machine.tsleep_interlock(lkp)
        after = count - LKC_SCOUNT | LKC_UPREQ
        asked, count = lkp.lk_count.fcmpset(count, after)
        if asked:
            lkp.note_released(td.cpu, SHARED)
            lkp.asking.add(td)
            return await_grant(lkp, td, flags, LKC_UPREQ, after, undo_upreq)


def undo_upreq(lkp: StructLock) -> int:
    """Give up UPREQ; the shared count is gone already.  Returns as `undo_exreq`."""
    count = lkp.lk_count.load()
    while True:
        if not count & LKC_UPREQ:
            return 0
        wake = False
        if count & LKC_XMASK:
            after = count & ~LKC_UPREQ
        elif count & LKC_EXREQ:
            # Other readers may still hold the lock; the kernel grants it exclusively all the same.
            after = grant_exreq(count) & ~LKC_UPREQ
            wake = True
        else:
            after = count & ~LKC_UPREQ
            if count & LKC_SMASK:
                after |= LKC_SHARED
            wake = bool((count | after) & LKC_SHARED)
        done, count = lkp.lk_count.fcmpset(count, after)
        if done:
            if wake:
                lkp.machine.wakeup(lkp)
            return EBUSY
