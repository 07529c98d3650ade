"""lockmgr locks: shared and exclusive, with upgrades, timeouts and cancellation.

Models: sys/kern/kern_lock.c, sys/sys/lock.h with the 64-bit `lk_count`.
Word: see `word`; `lk_lockholder` is valid only while XMASK is not 0.  Every sleep is on the lock
itself and every wakeup is a broadcast.
Grants are handed over: the releaser turns EXREQ or UPREQ into XMASK, and the waiter takes the bit's
absence for the grant.  UPREQ goes before EXREQ, EXREQ before shared.
Locks: no spinlock may be held.  A contested request is a blocking point: tokens are lost.
Deviations: there are no hard sections, so no request can be made in one.

| module | contents |
|---|---|
| word | the bits of `lk_count`, and functions of a count alone |
| lock | what both depths offer |
| struct_lock | struct lock and the invariants of its words |
| wait | the sleep on the lock |
| shared, exclusive, upgrade, release | the requests |
| status | what can be asked without waiting, and the end of a lock |
| exact | `lockmgr`, which dispatches them, and the exact lock |
| atomic | the same contract in one step |
"""

from __future__ import annotations

from vmsmp.sync.lockmgr.atomic import AtomicLockmgr
from vmsmp.sync.lockmgr.exact import ExactLockmgr, lockmgr
from vmsmp.sync.lockmgr.exclusive import lockmgr_exclusive, undo_exreq
from vmsmp.sync.lockmgr.lock import LockmgrLock
from vmsmp.sync.lockmgr.release import (
    lockmgr_cancel_beg,
    lockmgr_cancel_end,
    lockmgr_downgrade,
    lockmgr_release,
)
from vmsmp.sync.lockmgr.shared import lockmgr_shared, undo_shreq
from vmsmp.sync.lockmgr.status import (
    lockinuse,
    lockmgr_try,
    lockowned,
    lockreinit,
    lockstatus,
    lockuninit,
)
from vmsmp.sync.lockmgr.struct_lock import LK_KERNTHREAD
from vmsmp.sync.lockmgr.upgrade import lockmgr_upgrade, undo_upreq
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

__all__ = [
    "LKC_CANCEL",
    "LKC_EXREQ",
    "LKC_EXREQ2",
    "LKC_SCOUNT",
    "LKC_SHARED",
    "LKC_SMASK",
    "LKC_UPREQ",
    "LKC_XMASK",
    "LK_KERNTHREAD",
    "AtomicLockmgr",
    "ExactLockmgr",
    "LockmgrLock",
    "lockinuse",
    "lockmgr",
    "lockmgr_cancel_beg",
    "lockmgr_cancel_end",
    "lockmgr_downgrade",
    "lockmgr_exclusive",
    "lockmgr_release",
    "lockmgr_shared",
    "lockmgr_try",
    "lockmgr_upgrade",
    "lockowned",
    "lockreinit",
    "lockstatus",
    "lockuninit",
    "undo_exreq",
    "undo_shreq",
    "undo_upreq",
]
