"""lockmgr locks: shared and exclusive, with upgrades, timeouts and cancellation.

Models: sys/kern/kern_lock.c with the 64-bit `lk_count`.
The word's bits are in `lockmgr_word`; `lk_lockholder` is valid only while XMASK is not 0.  All
sleeping is on the lock itself, every wakeup a broadcast.
Grants are handed over: the releaser turns EXREQ or UPREQ into XMASK, and the waiter takes the bit's
absence for the grant.  UPREQ goes before EXREQ before shared.
Locks: no spinlock may be held.  A contested request is a blocking point: tokens are lost.
Deviations: none.  The same contract in one step is `lockmgr_atomic`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from vmsmp.sync.errno import (
    EBUSY,
    ENOLCK,
    LK_CANCEL_BEG,
    LK_CANCEL_END,
    LK_CANCELABLE,
    LK_CANRECURSE,
    LK_DOWNGRADE,
    LK_EXCLUPGRADE,
    LK_EXCLUSIVE,
    LK_NOWAIT,
    LK_PCATCH,
    LK_RELEASE,
    LK_SHARED,
    LK_SLEEPFAIL,
    LK_TIMELOCK,
    LK_TYPE_MASK,
    LK_UPGRADE,
    PCATCH,
    PINTERLOCKED,
)
from vmsmp.sync.lock import EXCLUSIVE, SHARED, UPGRADE
from vmsmp.sync.lockmgr_lock import LockmgrLock
from vmsmp.sync.lockmgr_word import (
    LKC_CANCEL,
    LKC_EXREQ,
    LKC_EXREQ2,
    LKC_SCOUNT,
    LKC_SHARED,
    LKC_SMASK,
    LKC_UPREQ,
    LKC_XMASK,
    word_text,
)
from vmsmp.sync.thread import TDF_DEADLKTREAT, Thread, curthread

if TYPE_CHECKING:
    from vmsmp.engine.cpu import Cpu
    from vmsmp.sync.services import Services

#: lk_lockholder of a lock that is on its way back from a waiter who had given up.
LK_KERNTHREAD: Final = "LK_KERNTHREAD"


def lockmgr(lkp: ExactLockmgr, flags: int) -> int:
    """Do the request in `flags`; 0 or an error number.

    Sleeps: all requests but LK_RELEASE, LK_DOWNGRADE, LK_CANCEL_* and those with LK_NOWAIT.
    """
    request = _REQUESTS.get(flags & LK_TYPE_MASK)
    if request is None:
        raise ValueError(f"lockmgr: unknown request {flags & LK_TYPE_MASK:#x} in flags {flags:#x}")
    return request(lkp, flags)


# -- waiting --------------------------------------------------------------------------------------


def _lk_sleep(lkp: ExactLockmgr, flags: int, wmesg: str, overdue: Callable[[int], str | None]) -> int:
    """Sleep on the lock, interlocked before."""
    timo = lkp.lk_timo if flags & LK_TIMELOCK else 0
    return lkp.machine.tsleep(
        lkp,
        PINTERLOCKED | (PCATCH if flags & LK_PCATCH else 0),
        wmesg,
        timo,
        overdue=lambda: overdue(lkp.lk_count.peek()),
    )


def _owner(lkp: ExactLockmgr) -> Cpu | None:
    """The CPU that owns it exclusively, for the observers."""
    return next((cpu for cpu, mode in lkp.holders if mode == EXCLUSIVE), None)


def _canceled(count: int, flags: int) -> bool:
    return bool(count & LKC_CANCEL and flags & LK_CANCELABLE)


def _shared_admitted(count: int) -> str | None:
    """Why a shared request that is not counted yet need not wait any more."""
    if count & LKC_SHARED and count & (LKC_EXREQ | LKC_UPREQ):
        return None
    return "no writer waits for the readers any more"


def _shared_granted(count: int) -> str | None:
    """Why a counted shared requester need not wait any more."""
    if count & LKC_SHARED:
        return "it holds the lock shared"
    if not count & (LKC_XMASK | LKC_EXREQ | LKC_UPREQ):
        return "the lock is free"
    return None


def _exclusive_due(count: int) -> str | None:
    """Why an exclusive requester without EXREQ need not wait any more, or waits in vain."""
    if _exclusive_grantable(count):
        return "the lock is free"
    if not count & LKC_EXREQ2:
        return "its EXREQ2 is gone, nobody will wake it"
    return None


def _grant_due(count: int, bit: int) -> str | None:
    """Why the owner of EXREQ or UPREQ need not wait any more, or waits in vain."""
    if not count & bit:
        return "it holds the lock exclusively"
    if not count & (LKC_XMASK | LKC_SMASK):
        return "nobody is left to grant it the lock"
    return None


# -- shared ---------------------------------------------------------------------------------------


def lockmgr_shared(lkp: ExactLockmgr, flags: int) -> int:
    """LK_SHARED."""
    td = curthread(lkp.machine)
    lkp._wants_to_wait(flags, SHARED, _owner(lkp))
    count = lkp.lk_count.load()
    if count & LKC_XMASK and lkp.lk_lockholder.load() is td:
        return _recurse(lkp, td, flags)

    # While readers hold the lock a new one lets waiting writers go first, and does not count yet.
    # Deadlock treatment skips that: the thread holds what a writer may be waiting for.
    impolite = bool(td.td_flags & TDF_DEADLKTREAT)
    if not impolite:
        while count & LKC_SHARED and count & (LKC_EXREQ | LKC_UPREQ):
            if _canceled(count, flags):
                return ENOLCK
            if flags & LK_NOWAIT:
                return EBUSY
            lkp._contest(td)
            lkp.machine.tsleep_interlock(lkp)
            count = lkp.lk_count.fetchadd(0)
            if not (count & LKC_SHARED and count & (LKC_EXREQ | LKC_UPREQ)):
                break
            error = _lk_sleep(lkp, flags, "lkshared", _shared_admitted)
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
        if _canceled(count, flags):
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
        if first:  # sleeping is for the second round
            first = False
            count = lkp.lk_count.load()
            continue
        lkp._contest(td)
        count = lkp.lk_count.load()
        if count & LKC_SHARED:
            break
        lkp.machine.tsleep_interlock(lkp)
        count = lkp.lk_count.fetchadd(0)
        if not count & LKC_SHARED and count & busy:
            error = _lk_sleep(lkp, flags, "lkshared2", _shared_granted)
            slept = True
            count = lkp.lk_count.load()
    lkp._acquired(td.cpu, SHARED, tried=bool(flags & LK_NOWAIT))
    return 0


def _recurse(lkp: ExactLockmgr, td: Thread, flags: int) -> int:
    """A request by the exclusive holder: one more level, exclusive whatever was asked for."""
    if not flags & LK_CANRECURSE:
        if flags & LK_NOWAIT:
            return EBUSY
        lkp.machine.panic(f"lockmgr: locking against myself: {lkp}")
    lkp.lk_count.fetchadd(1)
    lkp._acquired(td.cpu, EXCLUSIVE)
    return 0


def undo_shreq(lkp: ExactLockmgr) -> None:
    """Take one shared request or hold back; if that leaves nobody, grant who waits."""
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


# -- exclusive ------------------------------------------------------------------------------------


def _exclusive_grantable(count: int) -> bool:
    """Shared requests that are not granted do not stand in an exclusive one's way."""
    return not count & (LKC_UPREQ | LKC_EXREQ | LKC_XMASK) and not (count & LKC_SHARED and count & LKC_SMASK)


def lockmgr_exclusive(lkp: ExactLockmgr, flags: int) -> int:
    """LK_EXCLUSIVE."""
    td = curthread(lkp.machine)
    lkp._wants_to_wait(flags, EXCLUSIVE, _owner(lkp))
    count = lkp.lk_count.load()
    if count & LKC_XMASK and lkp.lk_lockholder.load() is td:
        return _recurse(lkp, td, flags)
    while True:
        if _exclusive_grantable(count):
            granted, count = lkp.lk_count.fcmpset(count, (count + 1) & ~LKC_SHARED)
            if granted:
                lkp._acquired(td.cpu, EXCLUSIVE, tried=bool(flags & LK_NOWAIT))
                lkp.lk_lockholder.store(td)
                return 0
            continue
        if flags & LK_NOWAIT:
            return EBUSY
        lkp._contest(td)
        lkp.machine.tsleep_interlock(lkp)
        if count & (LKC_EXREQ | LKC_XMASK):
            asked, count = lkp.lk_count.fcmpset(count, count | LKC_EXREQ2)
            if not asked:
                continue
            error = _lk_sleep(lkp, flags, "lkexcl", _exclusive_due)
            if error:
                return error
            if flags & LK_SLEEPFAIL:
                return ENOLCK
            count = lkp.lk_count.load()
            continue
        asked, count = lkp.lk_count.fcmpset(count, count | LKC_EXREQ)
        if asked:
            lkp.asking.add(td)
            return _await_grant(lkp, td, flags, LKC_EXREQ, undo_exreq)


def _await_grant(
    lkp: ExactLockmgr, td: Thread, flags: int, bit: int, undo: Callable[[ExactLockmgr], int]
) -> int:
    """Own `bit` (EXREQ or UPREQ), interlocked; wait until it disappears, which is the grant."""
    while True:
        count = lkp.lk_count.fetchadd(0)
        if not count & bit:
            break
        error = 0
        gave_up = _canceled(count, flags)
        if not gave_up:
            error = _lk_sleep(lkp, flags, "lkgrant", lambda count: _grant_due(count, bit))
            gave_up = bool(flags & LK_SLEEPFAIL)
        if error or gave_up:
            if undo(lkp):
                lkp.asking.discard(td)
                return error or ENOLCK
            if error:
                break  # it was granted while we were giving up: keep it
            lkp._acquired(td.cpu, EXCLUSIVE)
            lkp.asking.discard(td)
            lkp.lk_lockholder.store(LK_KERNTHREAD)
            lockmgr_release(lkp, LK_RELEASE)
            return ENOLCK
        lkp.machine.tsleep_interlock(lkp)
    if not lkp.lk_count.peek() & LKC_XMASK:
        lkp.machine.panic(f"{lkp} was granted without an owner count")
    lkp._acquired(td.cpu, EXCLUSIVE)
    lkp.asking.discard(td)
    lkp.lk_lockholder.store(td)
    return 0


def _grant_exreq(lkp: ExactLockmgr, count: int) -> int:
    """The word after whoever gives up has granted the lock to the owner of EXREQ."""
    after = (count + 1) & ~(LKC_EXREQ | LKC_EXREQ2)
    # As it stands a cached SHARED survives the grant, and lets readers in beside the new owner.
    return after & ~LKC_SHARED if lkp.machine.repaired("undo-grant-clears-shared") else after


def undo_exreq(lkp: ExactLockmgr) -> int:
    """The owner of EXREQ gives up.  0 if the lock was granted meanwhile, else EBUSY."""
    count = lkp.lk_count.load()
    while True:
        if not count & LKC_EXREQ:
            return 0
        result = EBUSY
        if count & LKC_XMASK:
            after = count & ~(LKC_EXREQ | LKC_EXREQ2)
            wake = bool(count & LKC_EXREQ2 and not count & LKC_UPREQ)
            # Readers that let us go first are not counted: nothing in the word asks for their wakeup.
            wake = wake or lkp.machine.repaired("undo-exreq-wakes-readers")
        elif count & LKC_UPREQ:
            after = count & ~(LKC_EXREQ | LKC_EXREQ2)
            wake = False
        elif count & LKC_SHARED and count & LKC_SMASK:
            after = count & ~(LKC_EXREQ | LKC_EXREQ2)
            wake = True
        else:
            after = _grant_exreq(lkp, count)
            wake = bool(count & (LKC_EXREQ2 | LKC_SHARED))
            result = 0
        done, count = lkp.lk_count.fcmpset(count, after)
        if done:
            if wake:
                lkp.machine.wakeup(lkp)
            return result


# -- upgrade and downgrade ------------------------------------------------------------------------


def lockmgr_upgrade(lkp: ExactLockmgr, flags: int) -> int:
    """LK_UPGRADE and LK_EXCLUPGRADE.

    The latter succeeds only if nobody else held the lock exclusively in between.  On failure the
    shared hold is gone.
    """
    td = curthread(lkp.machine)
    lkp._wants_to_wait(flags, UPGRADE, _owner(lkp))
    count = lkp.lk_count.load()
    if count & LKC_XMASK and lkp.lk_lockholder.load() is td:
        return 0
    while True:
        if count & LKC_UPREQ:  # another one upgrades already: this one has lost
            lockmgr_release(lkp, LK_RELEASE)
            if flags & LK_TYPE_MASK == LK_EXCLUPGRADE or flags & LK_NOWAIT:
                return EBUSY
            return lockmgr_exclusive(lkp, flags)
        if count & LKC_SMASK == LKC_SCOUNT:
            granted, count = lkp.lk_count.fcmpset(count, (count - LKC_SCOUNT + 1) & ~LKC_SHARED)
            if granted:
                lkp._upgraded(td.cpu)
                lkp.lk_lockholder.store(td)
                return 0
            continue
        if flags & LK_NOWAIT:
            lockmgr_release(lkp, LK_RELEASE)
            return EBUSY
        lkp._contest(td)
        lkp.machine.tsleep_interlock(lkp)
        asked, count = lkp.lk_count.fcmpset(count, count - LKC_SCOUNT | LKC_UPREQ)
        if asked:
            lkp._released(td.cpu, SHARED)
            lkp.asking.add(td)
            return _await_grant(lkp, td, flags, LKC_UPREQ, undo_upreq)


def undo_upreq(lkp: ExactLockmgr) -> int:
    """The owner of UPREQ gives up; its shared count is gone already.  As `undo_exreq`."""
    count = lkp.lk_count.load()
    while True:
        if not count & LKC_UPREQ:
            return 0
        wake = False
        if count & LKC_XMASK:
            after = count & ~LKC_UPREQ
        elif count & LKC_EXREQ and not (
            # As it stands the lock is granted exclusively though other readers may still hold it.
            count & LKC_SHARED and count & LKC_SMASK and lkp.machine.repaired("undo-upreq-spares-readers")
        ):
            after = _grant_exreq(lkp, count) & ~LKC_UPREQ
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


def lockmgr_downgrade(lkp: ExactLockmgr, _flags: int) -> int:
    """LK_DOWNGRADE: exclusive to shared in one step, so nobody else can have it in between."""
    td = curthread(lkp.machine)
    count = lkp.lk_count.load()
    if lkp.lk_lockholder.load() is not td or count & LKC_XMASK != 1:
        lkp.machine.panic(f"lockmgr: downgrade of {lkp}, which is not held exclusively once")
    lkp.lk_lockholder.store(None)
    lkp._released(td.cpu, EXCLUSIVE)
    while True:
        after = (count & ~(LKC_XMASK | LKC_EXREQ2)) + LKC_SCOUNT | LKC_SHARED
        done, found = lkp.lk_count.fcmpset(count, after)
        if done:
            lkp._acquired(td.cpu, SHARED)
            if count & (LKC_SMASK | LKC_EXREQ2):
                lkp.machine.wakeup(lkp)
            return 0
        count = found


# -- release and cancel ---------------------------------------------------------------------------


def lockmgr_release(lkp: ExactLockmgr, _flags: int = LK_RELEASE) -> int:
    """LK_RELEASE: never sleeps, always succeeds; hands the lock over if somebody owns a request."""
    td = curthread(lkp.machine)
    count = lkp.lk_count.load()
    if count & LKC_XMASK:
        _release_exclusive(lkp, td, count)
    else:
        _release_shared(lkp, td, count)
    return 0


def _release_exclusive(lkp: ExactLockmgr, td: Thread, count: int) -> None:
    holder = lkp.lk_lockholder.load()
    if holder is not td and holder is not LK_KERNTHREAD:
        lkp.machine.fail(
            "lock-misuse", f"{lkp} released by a CPU that does not hold it", [f"{td.cpu} released"]
        )
    lkp._released(td.cpu, EXCLUSIVE)
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


def _release_shared(lkp: ExactLockmgr, td: Thread, count: int) -> None:
    lkp._released(td.cpu, SHARED)
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


def lockmgr_cancel_beg(lkp: ExactLockmgr, _flags: int = 0) -> int:
    """LK_CANCEL_BEG: cancelable requests fail from now on; the caller holds the lock."""
    return _cancel(lkp, lambda count: count | LKC_CANCEL)


def lockmgr_cancel_end(lkp: ExactLockmgr, _flags: int = 0) -> int:
    """LK_CANCEL_END."""
    return _cancel(lkp, lambda count: count & ~LKC_CANCEL)


def _cancel(lkp: ExactLockmgr, change: Callable[[int], int]) -> int:
    count = lkp.lk_count.load()
    while True:
        done, found = lkp.lk_count.fcmpset(count, change(count))
        if done:
            if count & (LKC_EXREQ | LKC_SMASK | LKC_UPREQ):
                lkp.machine.wakeup(lkp)
            return 0
        count = found


_REQUESTS: Final[dict[int, Callable[[ExactLockmgr, int], int]]] = {
    LK_SHARED: lockmgr_shared,
    LK_EXCLUSIVE: lockmgr_exclusive,
    LK_UPGRADE: lockmgr_upgrade,
    LK_EXCLUPGRADE: lockmgr_upgrade,
    LK_DOWNGRADE: lockmgr_downgrade,
    LK_RELEASE: lockmgr_release,
    LK_CANCEL_BEG: lockmgr_cancel_beg,
    LK_CANCEL_END: lockmgr_cancel_end,
}


# -- the lock ------------------------------------------------------------------------------------


class ExactLockmgr(LockmgrLock):
    """struct lock: `lk_count`, `lk_lockholder`, `lk_timo`, under the functions of this module."""

    def __init__(self, machine: Services, name: str | None = None, timo: int = 0) -> None:
        super().__init__(machine, name, timo)
        self.lk_count = machine.atomic(0, f"{self.name}.lk_count", format=word_text)
        self.lk_lockholder = machine.atomic(None, f"{self.name}.lk_lockholder", format=_holder)
        # ghost: who owns EXREQ or UPREQ, or was granted the lock for it and has not noticed yet
        self.asking: set[Thread] = set()
        machine.words[self.lk_count.ident] = machine.words[self.lk_lockholder.ident] = self

    lock = lockmgr

    def check_word(self) -> str | None:
        """INV-LK1, INV-LK2, INV-LK4, INV-LK5."""
        word = self.lk_count.peek()
        holding = self.holders
        owners = {cpu.index for cpu, mode in holding if mode == EXCLUSIVE}
        readers = [cpu for cpu, mode in holding if mode == SHARED]
        if word & LKC_XMASK and (readers or (word & LKC_SHARED and word & LKC_SMASK)):
            return "granted exclusively while readers hold it"
        if word & LKC_XMASK and word & LKC_SHARED:
            return "XMASK and SHARED are both set"
        if len(owners) > 1:
            return f"{len(owners)} exclusive owners"
        if bool(word & LKC_EXREQ) + bool(word & LKC_UPREQ) > len(self.asking):
            return "EXREQ or UPREQ is set and nobody owns it"
        holder = self.lk_lockholder.peek()
        if isinstance(holder, Thread) and owners and holder.cpu.index not in owners:
            return f"lk_lockholder is cpu{holder.cpu.index}, which does not own it"
        if word & LKC_SHARED and owners:
            return "SHARED is set while it is owned exclusively"
        if word >> 32 < len(readers):
            return f"{len(readers)} readers but the word counts {word >> 32}"
        return None

    def check_rest(self) -> str | None:
        """INV-LK3."""
        word = self.lk_count.peek()
        stale = LKC_XMASK | LKC_SMASK | LKC_EXREQ | LKC_UPREQ | LKC_EXREQ2 | LKC_CANCEL
        if word & stale or self.lk_lockholder.peek() is not None:
            return f"nobody uses it but lk_count is {word_text(word)}"
        return None

    def state(self) -> str:
        return f"{word_text(self.lk_count.peek())} ({super().state()})"


def _holder(td: Any) -> str:
    return f"cpu{td.cpu.index}" if isinstance(td, Thread) else str(td)
