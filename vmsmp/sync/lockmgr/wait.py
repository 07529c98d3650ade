"""The sleep of a request on the lock."""

from __future__ import annotations

from collections.abc import Callable

from vmsmp.sync.errno import LK_PCATCH, LK_TIMELOCK, PCATCH, PINTERLOCKED
from vmsmp.sync.lockmgr.struct_lock import StructLock
from vmsmp.sync.lockmgr.word import canceled


def lk_sleep(lkp: StructLock, flags: int, overdue: Callable[[int], str | None]) -> int:
    """Sleep on the lock after an interlock; 0 or an error number.

    `overdue` returns from the count why the sleep should be over, or None if it should not.
    """

    def over() -> str | None:
        count = lkp.lk_count.peek()
        return "the lock is being canceled" if canceled(count, flags) else overdue(count)

    catch = PCATCH if flags & LK_PCATCH else 0
    timo = lkp.lk_timo if flags & LK_TIMELOCK else 0
    return lkp.machine.tsleep(lkp, PINTERLOCKED | catch, lkp.lk_wmesg, timo, overdue=over)
