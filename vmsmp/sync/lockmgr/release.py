"""Requests that never sleep: release, downgrade, cancel."""

from __future__ import annotations

from typing import Any

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
    """LK_RELEASE: release the lock, and grant it to the owner of a request, if any.  Always succeeds."""
    td = curthread(lkp.machine)
    count = lkp.lk_count.load()
    done = False
    while not done:
        if not count & (LKC_SMASK | LKC_XMASK):
            lkp.machine.panic(f"lockmgr: LK_RELEASE: no lock held: {lkp}")
        holder = _may_release(lkp, td, count)
        if count & LKC_XMASK:
            done, count = _release_exclusive(lkp, td, holder, count)
        else:
            done, count = _release_shared(lkp, td, count)
    return 0


def _may_release(lkp: StructLock, td: Thread, count: int) -> Any:
    """Read the exclusive holder, and panic if it is another thread."""
    if not count & LKC_XMASK:
        if not count & LKC_SHARED:
            lkp.machine.panic(f"lockmgr: {lkp} is released before it was granted")
        return None
    holder = lkp.lk_lockholder.load()
    if holder is not td and holder is not LK_KERNTHREAD:
        lkp.machine.panic(f"lockmgr: not exclusive lock holder: {lkp}")
    return holder


def _release_exclusive(lkp: StructLock, td: Thread, holder: Any, count: int) -> tuple[bool, int]:
    """Try once to release an exclusive hold; return whether it did, and the count found."""
    if count & LKC_XMASK != 1:
        lkp.note_released(td.cpu, EXCLUSIVE)
        lkp.lk_count.fetchadd(-1)
        return True, count
    if count & LKC_UPREQ:
        after = count & ~LKC_UPREQ
    elif count & LKC_EXREQ:
        after = count & ~LKC_EXREQ
    else:
        after = count - 1 & ~(LKC_CANCEL | LKC_EXREQ2) | LKC_SHARED
    wake = bool(count & (LKC_UPREQ | LKC_EXREQ | LKC_SMASK | LKC_EXREQ2))
    lkp.lk_lockholder.store(None)
    lkp.note_released(td.cpu, EXCLUSIVE)
    done, count = lkp.lk_count.fcmpset(count, after)
    if not done:
        lkp.note_kept(td.cpu, EXCLUSIVE)
        lkp.lk_lockholder.store(holder)
    elif wake:
        lkp.machine.wakeup(lkp)
    return done, count


def _release_shared(lkp: StructLock, td: Thread, count: int) -> tuple[bool, int]:
    """Try once to release a shared hold; return whether it did, and the count found."""
    lkp.note_released(td.cpu, SHARED)
    if count & LKC_SMASK != LKC_SCOUNT:
        undo_shreq(lkp)
        return True, count
    wake = True
    if count & LKC_UPREQ:
        after = (count - LKC_SCOUNT + 1) & ~(LKC_UPREQ | LKC_CANCEL | LKC_SHARED)
    elif count & LKC_EXREQ:
        after = (count - LKC_SCOUNT + 1) & ~(LKC_EXREQ | LKC_EXREQ2 | LKC_CANCEL | LKC_SHARED)
    else:
        after = count - LKC_SCOUNT & ~LKC_CANCEL
        wake = False
    done, count = lkp.lk_count.fcmpset(count, after)
    if not done:
        lkp.note_kept(td.cpu, SHARED)
    elif wake:
        lkp.machine.wakeup(lkp)
    return done, count


def lockmgr_downgrade(lkp: StructLock, _flags: int) -> int:
    """LK_DOWNGRADE: turn an exclusive hold into a shared one in one step."""
    td = curthread(lkp.machine)
    count = lkp.lk_count.load()
    while True:
        if lkp.lk_lockholder.load() is not td or count & LKC_XMASK != 1:
            lkp.machine.panic(f"lockmgr: not holding exclusive lock: {lkp}")
        lkp.lk_lockholder.store(None)
        after = (count & ~(LKC_XMASK | LKC_EXREQ2)) + LKC_SCOUNT | LKC_SHARED
        lkp.note_released(td.cpu, EXCLUSIVE)
        done, found = lkp.lk_count.fcmpset(count, after)
        if done:
            lkp.note_acquired(td.cpu, SHARED)
            if count & (LKC_SMASK | LKC_EXREQ2):
                lkp.machine.wakeup(lkp)
            return 0
        lkp.note_kept(td.cpu, EXCLUSIVE)
        lkp.lk_lockholder.store(td)
        count = found


def lockmgr_cancel_beg(lkp: StructLock, _flags: int = 0) -> int:
    """LK_CANCEL_BEG: make cancelable requests fail from now on.  Locks: the lock, held by some thread."""
    count = lkp.lk_count.load()
    while True:
        if count & LKC_CANCEL:
            lkp.machine.panic(f"lockmgr: {lkp} is being canceled already")
        if not count & (LKC_XMASK | LKC_SMASK):
            lkp.machine.panic(f"lockmgr: {lkp} is canceled and nobody holds it")
        done, found = lkp.lk_count.fcmpset(count, count | LKC_CANCEL)
        if done:
            if count & (LKC_EXREQ | LKC_EXREQ2 | LKC_SMASK | LKC_UPREQ):
                lkp.machine.wakeup(lkp)
            return 0
        count = found


def lockmgr_cancel_end(lkp: StructLock, _flags: int = 0) -> int:
    """LK_CANCEL_END: let cancelable requests wait again.  Wakes nobody."""
    lkp.lk_count.clearbits(LKC_CANCEL)
    return 0
