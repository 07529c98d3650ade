"""Requests that never sleep: release, downgrade, cancel."""

from __future__ import annotations

from collections.abc import Callable

from vmsmp.sync.errno import (
    LK_RELEASE,
)
from vmsmp.sync.lock import EXCLUSIVE, SHARED
from vmsmp.sync.lockmgr.shared import undo_shreq
from vmsmp.sync.lockmgr.struct_lock import LK_KERNTHREAD, StructLock
from vmsmp.sync.lockmgr.word import (
    LKC_CANCEL,
    LKC_EXREQ,
    LKC_EXREQ2,
    LKC_SCOUNT,
    LKC_SHARED,
    LKC_SMASK,
    LKC_UPREQ,
    LKC_XMASK,
)
from vmsmp.sync.thread import Thread, curthread


def lockmgr_release(lkp: StructLock, _flags: int = LK_RELEASE) -> int:
    """LK_RELEASE: let go of the lock, and grant it to the owner of a request, if any.  Always succeeds."""
    td = curthread(lkp.machine)
    count = lkp.lk_count.load()
    if count & LKC_XMASK:
        _release_exclusive(lkp, td, count)
    else:
        _release_shared(lkp, td, count)
    return 0


def _release_exclusive(lkp: StructLock, td: Thread, count: int) -> None:
    holder = lkp.lk_lockholder.load()
    if holder is not td and holder is not LK_KERNTHREAD:
        lkp.machine.fail(
            "lock-misuse", f"{lkp} released by a CPU that does not hold it", [f"{td.cpu} released"]
        )
    lkp.note_released(td.cpu, EXCLUSIVE)
    while True:
        wake = False
        last = count & LKC_XMASK == 1
        if not last:
            after = count - 1
        elif count & LKC_UPREQ:
            after = count & ~LKC_UPREQ
            wake = True
        elif count & LKC_EXREQ:
            after = count & ~LKC_EXREQ
            wake = True
        else:
            after = count - 1 & ~(LKC_CANCEL | LKC_EXREQ2) | LKC_SHARED
            wake = bool(count & (LKC_SMASK | LKC_EXREQ2))
        if last:
            lkp.lk_lockholder.store(None)
        done, count = lkp.lk_count.fcmpset(count, after)
        if done:
            if wake:
                lkp.machine.wakeup(lkp)
            return
        if last:
            lkp.lk_lockholder.store(holder)


def _release_shared(lkp: StructLock, td: Thread, count: int) -> None:
    lkp.note_released(td.cpu, SHARED)
    while True:
        if count & LKC_SMASK != LKC_SCOUNT:
            undo_shreq(lkp)
            return
        wake = True
        if count & LKC_UPREQ:
            after = (count - LKC_SCOUNT + 1) & ~(LKC_UPREQ | LKC_CANCEL | LKC_SHARED)
        elif count & LKC_EXREQ:
            after = (count - LKC_SCOUNT + 1) & ~(LKC_EXREQ | LKC_EXREQ2 | LKC_CANCEL | LKC_SHARED)
        else:
            after = count - LKC_SCOUNT & ~LKC_CANCEL
            wake = False
        done, count = lkp.lk_count.fcmpset(count, after)
        if done:
            if wake:
                lkp.machine.wakeup(lkp)
            return


def lockmgr_downgrade(lkp: StructLock, _flags: int) -> int:
    """LK_DOWNGRADE: turn an exclusive hold into a shared one in one step, with nobody in between."""
    td = curthread(lkp.machine)
    count = lkp.lk_count.load()
    if lkp.lk_lockholder.load() is not td or count & LKC_XMASK != 1:
        lkp.machine.panic(f"lockmgr: downgrade of {lkp}, which is not held exclusively once")
    lkp.lk_lockholder.store(None)
    lkp.note_released(td.cpu, EXCLUSIVE)
    while True:
        after = (count & ~(LKC_XMASK | LKC_EXREQ2)) + LKC_SCOUNT | LKC_SHARED
        done, found = lkp.lk_count.fcmpset(count, after)
        if done:
            lkp.note_acquired(td.cpu, SHARED)
            if count & (LKC_SMASK | LKC_EXREQ2):
                lkp.machine.wakeup(lkp)
            return 0
        count = found


def lockmgr_cancel_beg(lkp: StructLock, _flags: int = 0) -> int:
    """LK_CANCEL_BEG: make cancelable requests fail from now on.  The caller holds the lock."""
    return _cancel(lkp, lambda count: count | LKC_CANCEL)


def lockmgr_cancel_end(lkp: StructLock, _flags: int = 0) -> int:
    """LK_CANCEL_END: let cancelable requests wait again."""
    return _cancel(lkp, lambda count: count & ~LKC_CANCEL)


def _cancel(lkp: StructLock, change: Callable[[int], int]) -> int:
    count = lkp.lk_count.load()
    while True:
        done, found = lkp.lk_count.fcmpset(count, change(count))
        if done:
            if count & (LKC_EXREQ | LKC_SMASK | LKC_UPREQ):
                lkp.machine.wakeup(lkp)
            return 0
        count = found
