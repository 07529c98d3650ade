"""Shared requests, their retreat, and recursion by the exclusive holder."""

from __future__ import annotations

from vmsmp.sync.errno import (
    EBUSY,
    ENOLCK,
    LK_CANRECURSE,
    LK_NOWAIT,
    LK_SLEEPFAIL,
)
from vmsmp.sync.lock import EXCLUSIVE, SHARED
from vmsmp.sync.lockmgr.struct_lock import StructLock
from vmsmp.sync.lockmgr.wait import lk_sleep
from vmsmp.sync.lockmgr.word import (
    LKC_CANCEL,
    LKC_EXREQ,
    LKC_EXREQ2,
    LKC_SCOUNT,
    LKC_SHARED,
    LKC_SMASK,
    LKC_UPREQ,
    LKC_XMASK,
    canceled,
    shared_admitted,
    shared_granted,
)
from vmsmp.sync.thread import TDF_DEADLKTREAT, Thread, curthread


def lockmgr_shared(lkp: StructLock, flags: int) -> int:
    """LK_SHARED: take the lock shared."""
    td = curthread(lkp.machine)
    lkp.note_request(flags, SHARED)
    count = lkp.lk_count.load()
    if count & LKC_XMASK and lkp.lk_lockholder.load() is td:
        return recurse(lkp, td, flags)

    # While readers hold the lock, a new reader lets waiting writers go first and is not counted yet.
    # Deadlock treatment skips that: the thread holds what a writer may be waiting for.
    impolite = bool(td.td_flags & TDF_DEADLKTREAT)
    if not impolite:
        while count & LKC_SHARED and count & (LKC_EXREQ | LKC_UPREQ):
            if canceled(count, flags):
                return ENOLCK
            if flags & LK_NOWAIT:
                return EBUSY
            lkp.note_contest(td)
            lkp.machine.tsleep_interlock(lkp)
            count = lkp.lk_count.fetchadd(0)
            if not (count & LKC_SHARED and count & (LKC_EXREQ | LKC_UPREQ)):
                break
            error = lk_sleep(lkp, flags, "lkshared", shared_admitted)
            if error:
                return error
            if flags & LK_SLEEPFAIL:
                return ENOLCK
            count = lkp.lk_count.load()

    count = lkp.lk_count.fetchadd(LKC_SCOUNT) + LKC_SCOUNT
    busy = LKC_XMASK if impolite else LKC_XMASK | LKC_EXREQ | LKC_UPREQ
    error = 0
    slept = False
    first = True
    while True:
        if not count & (busy | LKC_SHARED):
            granted, count = lkp.lk_count.fcmpset(count, count | LKC_SHARED)
            if granted:
                break
            continue
        if count & LKC_SHARED:
            break
        if canceled(count, flags):
            undo_shreq(lkp)
            return ENOLCK
        if flags & LK_NOWAIT:
            undo_shreq(lkp)
            return EBUSY
        if error:
            undo_shreq(lkp)
            return error
        if slept and flags & LK_SLEEPFAIL:
            undo_shreq(lkp)
            return ENOLCK
        if first:  # look again before the first sleep
            first = False
            count = lkp.lk_count.load()
            continue
        lkp.note_contest(td)
        count = lkp.lk_count.load()
        if count & LKC_SHARED:
            break
        lkp.machine.tsleep_interlock(lkp)
        count = lkp.lk_count.fetchadd(0)
        if not count & LKC_SHARED and count & busy:
            error = lk_sleep(lkp, flags, "lkshared2", shared_granted)
            slept = True
            count = lkp.lk_count.load()
    lkp.note_acquired(td.cpu, SHARED, tried=bool(flags & LK_NOWAIT))
    return 0


def recurse(lkp: StructLock, td: Thread, flags: int) -> int:
    """Add a level for the exclusive holder; the hold is exclusive whatever the request was."""
    if not flags & LK_CANRECURSE:
        if flags & LK_NOWAIT:
            return EBUSY
        lkp.machine.panic(f"lockmgr: locking against myself: {lkp}")
    lkp.lk_count.fetchadd(1)
    lkp.note_acquired(td.cpu, EXCLUSIVE)
    return 0


def undo_shreq(lkp: StructLock) -> None:
    """Withdraw one shared request or hold; if none is left, grant the lock to a waiter."""
    count = lkp.lk_count.fetchadd(-LKC_SCOUNT) - LKC_SCOUNT
    while count & (LKC_EXREQ | LKC_UPREQ | LKC_CANCEL) and not count & (LKC_SMASK | LKC_XMASK):
        if count & LKC_UPREQ:
            after = (count + 1) & ~(LKC_UPREQ | LKC_CANCEL | LKC_SHARED)
        elif count & LKC_EXREQ:
            after = (count + 1) & ~(LKC_EXREQ | LKC_EXREQ2 | LKC_CANCEL | LKC_SHARED)
        else:
            after = count & ~LKC_CANCEL
        done, count = lkp.lk_count.fcmpset(count, after)
        if done:
            lkp.machine.wakeup(lkp)
            break
