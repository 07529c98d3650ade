"""`lockmgr`, the one entry to all requests, and the lock that they work on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from vmsmp.sync.errno import (
    LK_CANCEL_BEG,
    LK_CANCEL_END,
    LK_DOWNGRADE,
    LK_EXCLUPGRADE,
    LK_EXCLUSIVE,
    LK_RELEASE,
    LK_SHARED,
    LK_TYPE_MASK,
    LK_UPGRADE,
)
from vmsmp.sync.lockmgr.exclusive import lockmgr_exclusive
from vmsmp.sync.lockmgr.release import (
    lockmgr_cancel_beg,
    lockmgr_cancel_end,
    lockmgr_downgrade,
    lockmgr_release,
)
from vmsmp.sync.lockmgr.shared import lockmgr_shared
from vmsmp.sync.lockmgr.struct_lock import StructLock
from vmsmp.sync.lockmgr.upgrade import lockmgr_upgrade

_REQUESTS: Final[dict[int, Callable[[StructLock, int], int]]] = {
    LK_SHARED: lockmgr_shared,
    LK_EXCLUSIVE: lockmgr_exclusive,
    LK_UPGRADE: lockmgr_upgrade,
    LK_EXCLUPGRADE: lockmgr_upgrade,
    LK_DOWNGRADE: lockmgr_downgrade,
    LK_RELEASE: lockmgr_release,
    LK_CANCEL_BEG: lockmgr_cancel_beg,
    LK_CANCEL_END: lockmgr_cancel_end,
}


def lockmgr(lkp: StructLock, flags: int) -> int:
    """Do the request in `flags`; 0 or an error number.

    Sleeps: all requests but LK_RELEASE, LK_DOWNGRADE, LK_CANCEL_* and those with LK_NOWAIT.
    """
    request = _REQUESTS.get(flags & LK_TYPE_MASK)
    if request is None:
        lkp.machine.panic(f"lockmgr: unknown locktype request {flags & LK_TYPE_MASK:#x}")
    return request(lkp, flags)


class ExactLockmgr(StructLock):
    """struct lock under the functions of kern_lock.c."""

    lock = lockmgr
