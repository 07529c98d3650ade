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
    """LK_SHARED: take the lock shared; return 0 or an error number.  Sleeps: while contested."""
    td = curthread(lkp.machine)
    flags |= lkp.lk_flags
    lkp.note_request(flags, SHARED)
    count = lkp.lk_count.load()
    if count & LKC_XMASK and lkp.lk_lockholder.load() is td:
        return recurse(lkp, td, flags)
    # Deadlock treatment is not polite: the thread holds what a writer may be waiting for.
    if not td.td_flags & TDF_DEADLKTREAT:
        error = _let_writers_go_first(lkp, td, flags, count)
        if error:
            return error
    error = _await_shared(lkp, td, flags)
    if not error:
        lkp.note_acquired(td.cpu, SHARED, tried=bool(flags & LK_NOWAIT))
    return error


def _let_writers_go_first(lkp: StructLock, td: Thread, flags: int, count: int) -> int:
    """Make a new reader, not counted yet, wait for queued writers while other readers hold the lock.

    LK_SLEEPFAIL is ignored here, as in the kernel.
    """
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
        error = lk_sleep(lkp, flags, shared_admitted)
        if error:
            return error
        count = lkp.lk_count.load()
    return 0


def _await_shared(lkp: StructLock, td: Thread, flags: int) -> int:
    """Count a request and wait until it is granted; on an error, withdraw it."""
    busy = LKC_XMASK | LKC_SHARED
    if not td.td_flags & TDF_DEADLKTREAT:
        busy |= LKC_EXREQ | LKC_UPREQ
    count = lkp.lk_count.fetchadd(LKC_SCOUNT) + LKC_SCOUNT
    interlocked = False
    while True:
        if not count & busy:
            granted, count = lkp.lk_count.fcmpset(count, count | LKC_SHARED)
            if granted:
                return 0
            continue
        if count & LKC_SHARED:
            return 0
        error = 0
        if canceled(count, flags):
            error = ENOLCK
        elif flags & LK_NOWAIT:
            error = EBUSY
        elif interlocked:
            error = lk_sleep(lkp, flags, shared_granted)
            if flags & LK_SLEEPFAIL:  # whatever the sleep says, and granted or not
                error = ENOLCK
        if error:
            undo_shreq(lkp)
            return error
        if not interlocked:
            lkp.note_contest(td)
        interlocked = True
        count = lkp.lk_count.load()
        if count & LKC_SHARED:
            return 0
        lkp.machine.tsleep_interlock(lkp)
        count = lkp.lk_count.fetchadd(0)


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
        grants = True
        if count & LKC_UPREQ:
            after = (count + 1) & ~(LKC_UPREQ | LKC_CANCEL | LKC_SHARED)
        elif count & LKC_EXREQ:
            after = (count + 1) & ~(LKC_EXREQ | LKC_EXREQ2 | LKC_CANCEL | LKC_SHARED)
        else:
            after = count & ~LKC_CANCEL
            grants = False
        done, count = lkp.lk_count.fcmpset(count, after)
        if done or grants:  # as in the kernel, a grant that came too late wakes as well
            lkp.machine.wakeup(lkp)
        if done:
            break
