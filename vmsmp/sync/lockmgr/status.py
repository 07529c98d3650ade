"""What can be asked of a lockmgr lock without waiting: who holds it, whether it can be had at once.

Each answer may be old when it is given.  At the atomic depth it takes one step.
"""

from __future__ import annotations

from vmsmp.sync.errno import LK_EXCLOTHER, LK_EXCLUSIVE, LK_NOWAIT, LK_SHARED
from vmsmp.sync.lockmgr.lock import LockmgrLock
from vmsmp.sync.lockmgr.word import LKC_EXREQ, LKC_SHARED, LKC_SMASK, LKC_UPREQ, LKC_XMASK
from vmsmp.sync.thread import Thread, curthread


def lockstatus(lkp: LockmgrLock, td: Thread | None = None) -> int:
    """LK_EXCLUSIVE, LK_EXCLOTHER (`td` is not the holder), LK_SHARED, or 0."""
    count = lkp.read_count()
    if count & LKC_XMASK:
        return LK_EXCLUSIVE if td is None or lkp.read_holder() is td else LK_EXCLOTHER
    return LK_SHARED if count & LKC_SMASK and count & LKC_SHARED else 0


def lockowned(lkp: LockmgrLock) -> bool:
    """Whether this thread holds the lock exclusively, or anybody holds or asks for it shared."""
    td = curthread(lkp.machine)
    count = lkp.read_count()
    if count & LKC_XMASK:
        return lkp.read_holder() is td
    return bool(count & LKC_SMASK)


def lockinuse(lkp: LockmgrLock) -> bool:
    """Whether anybody holds the lock, or asks for it shared."""
    return bool(lkp.read_count() & (LKC_SMASK | LKC_XMASK))


def lockmgr_try(lkp: LockmgrLock, flags: int) -> bool:
    """Make the request in `flags` if it need not wait; whether it was granted."""
    return lkp.lock(flags | LK_NOWAIT) == 0


def lockreinit(lkp: LockmgrLock, wmesg: str, timo: int, _flags: int = 0) -> None:
    """Change what a lock is called while it is waited for, and its time limit.  The flags stay."""
    lkp.lk_wmesg = wmesg
    lkp.lk_timo = timo


def lockuninit(lkp: LockmgrLock) -> None:
    """The lock is not used any more: a panic if somebody asks for it and waits."""
    count = lkp.read_count()
    if count & (LKC_EXREQ | LKC_UPREQ) or (count & LKC_SMASK and not count & LKC_SHARED):
        lkp.machine.panic(f"lockmgr: {lkp} ends and somebody waits for it")
