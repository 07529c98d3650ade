"""Functions of a lockmgr lock that never wait: who holds it, a try, and the end of its use.

Each answer may be stale.  At the atomic depth it takes one step.
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
    """Whether this thread holds the lock exclusively, or any thread holds or requests it shared."""
    td = curthread(lkp.machine)
    count = lkp.read_count()
    if count & LKC_XMASK:
        return lkp.read_holder() is td
    return bool(count & LKC_SMASK)


def lockinuse(lkp: LockmgrLock) -> bool:
    """Whether any thread holds the lock, or requests it shared."""
    return bool(lkp.read_count() & (LKC_SMASK | LKC_XMASK))


def lockmgr_try(lkp: LockmgrLock, flags: int) -> bool:
    """Make the request in `flags` with LK_NOWAIT; return whether it was granted."""
    return lkp.lock(flags | LK_NOWAIT) == 0


def lockreinit(lkp: LockmgrLock, wmesg: str, timo: int, _flags: int = 0) -> None:
    """Change the lock's wait message and its timeout.  Its flags stay."""
    lkp.lk_wmesg = wmesg
    lkp.lk_timo = timo


def lockuninit(lkp: LockmgrLock) -> None:
    """End the use of the lock; panic if a request for it waits."""
    count = lkp.read_count()
    if count & (LKC_EXREQ | LKC_UPREQ) or (count & LKC_SMASK and not count & LKC_SHARED):
        lkp.machine.panic(f"lockmgr: {lkp} ends and somebody waits for it")
