"""Removals of locks, tokens and counts that change nothing."""

from __future__ import annotations

from typing import Final

from vmsmp.patches.equivalent.entry import Equivalent

EQUIVALENTS: Final = (
    # -- spinlocks -------------------------------------------------------------------------------
    Equivalent("sync.spinlock._spin_enter-swap", "crit_enter", "nothing happens between the two counts"),
    Equivalent(
        "sync.spinlock._spin_leave-swap",
        "gd_spinlocks",
        "only what may sleep looks at the count, and no IPI that comes at the end may",
    ),
    Equivalent("sync.spinlock.spin_lock-always", "if old != 0", "the contested way takes a free lock, too"),
    *(
        Equivalent(
            f"sync.spinlock.{function}-always", "latched", "an interrupt that did not come is not taken"
        )
        for function in ("spin_lock", "spin_lock_shared")
    ),
    Equivalent(
        "sync.spinlock._spin_lock_contested-never",
        "old == SPINLOCK_SHARED and",
        "the loop takes a lock whose readers have left, too",
    ),
    Equivalent(
        "sync.spinlock._spin_lock_contested-term1",
        "old == SPINLOCK_SHARED and",
        "the compare and set succeeds only if the count is its own",
    ),
    Equivalent(
        "sync.spinlock._spin_lock_contested-always",
        "if old & SPINLOCK_SHARED",
        "SHARED that a reader in its window has set may be cleared: the reader is counted",
    ),
    Equivalent(
        "sync.spinlock.spin_lock_shared-always",
        "if not old & SPINLOCK_SHARED and",
        "the contested way takes it, too",
    ),
    Equivalent(
        "sync.spinlock.spin_lock_shared-term[12]",
        "if not old & SPINLOCK_SHARED and",
        "the contested way takes it, too",
    ),
    Equivalent(
        "sync.spinlock.spin_lock_shared-term3",
        "if not old & SPINLOCK_SHARED and",
        "the compare and set succeeds only if the count is its own",
    ),
    Equivalent(
        "sync.spinlock._spin_lock_shared_contested-never", "choose(2)", "a reader need not be in its window"
    ),
    Equivalent(
        "sync.spinlock._spin_lock_shared_contested-term2", "choose(2)", "a reader may always be in its window"
    ),
    Equivalent(
        "sync.spinlock._spin_lock_shared_contested-never",
        "elif value == 0",
        "it enters a free lock in its window, which comes",
    ),
    Equivalent(
        "sync.spinlock._spin_lock_shared_contested-always",
        "elif value == 0",
        "the compare and set succeeds only if the word is 0",
    ),
    Equivalent(
        "sync.spinlock.AtomicSpinlock.try_upgrade-term[23]",
        "counted and",
        "an upgrade may be refused while a writer waits, and need not be",
    ),
    Equivalent(
        "sync.spinlock.AtomicSpinlock.try_upgrade-swap",
        "_readers = 0",
        "one step at the atomic depth: nobody sees what is between",
    ),
    # -- tokens ----------------------------------------------------------------------------------
    Equivalent(
        "sync.token.exact._lwkt_trytokref_exclusive-swap",
        "fetchadd(TOK_INCR)",
        "nobody else looks at the mode of a ref",
    ),
    Equivalent(
        "sync.token.exact._lwkt_trytokref_exclusive-term2",
        "and not count & TOK_EXCLREQ",
        "the bit is set once more",
    ),
    Equivalent(
        "sync.token.exact._lwkt_trytokref_shared-*",
        "if windowed and",
        "whether a reader may overlook EXCLREQ is drawn; this changes how often",
    ),
    Equivalent(
        "sync.token.exact._lwkt_trytokref_shared-*",
        "choose(2)",
        "whether a reader may overlook EXCLREQ is drawn; this changes how often",
    ),
    Equivalent(
        "sync.token.exact._lwkt_trytokref_spin-term[12]",
        "or _spin",
        "how often a try is repeated is anybody's guess",
    ),
    Equivalent(
        "sync.token.exact._spin-never",
        "",
        "how often a try is repeated, and whether in its window, is anybody's guess",
    ),
    Equivalent(
        "sync.token.exact._lwkt_gettoken-never",
        "if _",
        "how often a try is repeated before the thread gives way is anybody's guess",
    ),
    Equivalent(
        "sync.token.exact.lwkt_getalltokens-*",
        "if spinning",
        "the order in which tokens are tried matters for nothing but progress at the worst of times",
    ),
    Equivalent(
        "sync.token.exact.lwkt_getalltokens-gone",
        "refs.sort",
        "the order in which tokens are tried matters for nothing but progress at the worst of times",
    ),
    Equivalent("sync.token.atomic.AtomicToken._take_ref-term1", "", "a shared ref has no such bit"),
    Equivalent(
        "sync.token.atomic.AtomicToken._acquire-never",
        "len(td.td_toks_array) == 1",
        "a thread that loses no token may wait as one that loses some",
    ),
    Equivalent(
        "sync.token.atomic.AtomicToken.release-swap",
        "",
        "one step at the atomic depth: nobody sees what is between",
    ),
    # -- reference counts ------------------------------------------------------------------------
    Equivalent(
        "sync.refcount.refcount_release_wakeup-gone",
        "clearbits",
        "WAITING that stays costs a needless wakeup",
    ),
    Equivalent("sync.refcount.refcount_wait-never", "load() == 0", "the loop looks, too"),
    Equivalent(
        "sync.refcount.AtomicRefcount.wait-never", "", "a wait may lose tokens whether it has to wait or not"
    ),
    # -- lockmgr ---------------------------------------------------------------------------------
    Equivalent(
        "sync.lockmgr.atomic.AtomicLockmgr._wait-swap",
        "",
        "a signal may reach the thread while it has no tokens yet",
    ),
    Equivalent(
        "sync.lockmgr.atomic.AtomicLockmgr.*-swap",
        "",
        "one step at the atomic depth: nobody sees what is between",
    ),
    Equivalent("sync.lockmgr.atomic.AtomicLockmgr._impolite-term1", "", "waiters are granted in any order"),
    Equivalent("sync.lockmgr.atomic.AtomicLockmgr._yields-term2", "", "waiters are granted in any order"),
    Equivalent(
        "sync.lockmgr.atomic.AtomicLockmgr._can_upgrade-term1",
        "",
        "there is no owner while somebody upgrades",
    ),
    Equivalent(
        "sync.lockmgr.atomic.AtomicLockmgr._request-never",
        "if not exclusive and",
        "a reader may wait counted",
    ),
    Equivalent(
        "sync.lockmgr.atomic.AtomicLockmgr._request-term2",
        "if not exclusive and",
        "a reader may wait uncounted",
    ),
    Equivalent(
        "sync.lockmgr.atomic.AtomicLockmgr._register-gone",
        "_readers_waiting",
        "waiters are granted in any order",
    ),
    Equivalent(
        "sync.lockmgr.atomic.AtomicLockmgr._wait_counted-always",
        "if not flags & LK_SLEEPFAIL",
        "it fails when it would be granted the lock",
    ),
    Equivalent(
        "sync.lockmgr.atomic.AtomicLockmgr._wait_counted-*",
        "if not shared and self._readers",
        "a request with LK_SLEEPFAIL may fail for no reason",
    ),
    Equivalent("sync.lockmgr.atomic.AtomicLockmgr._drop-gone", "_admit", "waiters are granted in any order"),
    Equivalent("sync.lockmgr.*-always", "if wake", "a wakeup that is not needed"),
    Equivalent("sync.lockmgr.shared.undo_shreq-always", "if done or grants", "a wakeup that is not needed"),
    Equivalent(
        "sync.lockmgr.shared.undo_shreq-term2",
        "if done or grants",
        "a grant that came too late need not wake anybody",
    ),
    Equivalent(
        "sync.lockmgr.release.*-always", "if count & (LKC_SMASK | LKC_EXREQ2)", "a wakeup that is not needed"
    ),
    Equivalent(
        "sync.lockmgr.release.*-always", "if count & (LKC_EXREQ | LKC_EXREQ2", "a wakeup that is not needed"
    ),
    Equivalent(
        "sync.lockmgr.*-term1",
        "if count & LKC_XMASK and lkp.lk_lockholder",
        "the holder is cleared before the count",
    ),
    Equivalent(
        "sync.lockmgr.exclusive.await_grant-always", "if count & bit", "an announcement that no sleep follows"
    ),
    Equivalent("sync.lockmgr.exclusive.await_grant-never", "if error and bit", "the word says so, too"),
    Equivalent(
        "sync.lockmgr.exclusive.await_grant-term2",
        "if error and bit",
        "what was granted is not looked at again",
    ),
    Equivalent(
        "sync.lockmgr.exclusive.undo_exreq-never",
        "elif count & LKC_UPREQ",
        "the same change, and a wakeup that is not needed",
    ),
    Equivalent(
        "sync.lockmgr.exclusive.undo_exreq-always",
        "elif count & LKC_SHARED",
        "who gives up need not notice that the lock is free",
    ),
    Equivalent(
        "sync.lockmgr.exclusive.undo_exreq-term[12]",
        "elif count & LKC_SHARED",
        "who gives up need not notice that the lock is free",
    ),
    Equivalent("sync.lockmgr.shared._await_shared-never", "if granted", "the word says so, too"),
    Equivalent("sync.lockmgr.shared._await_shared-never", "if count & LKC_SHARED:", "the loop looks again"),
    Equivalent(
        "sync.lockmgr.shared._await_shared-*",
        "TDF_DEADLKTREAT",
        "waiters for a lock that nobody holds are granted it in any order",
    ),
    Equivalent(
        "sync.lockmgr.shared.undo_shreq-term1",
        "while count &",
        "a cancellation of nothing ends, and a wakeup that is not needed",
    ),
    Equivalent(
        "sync.lockmgr.release._release_exclusive-never",
        "if count & LKC_UPREQ",
        "nobody upgrades while there is an owner",
    ),
    Equivalent(
        "sync.lockmgr.release._release_shared-always",
        "LKC_SCOUNT:",
        "the retreat of a request grants the lock, too",
    ),
    Equivalent("sync.lockmgr.status.lockreinit-swap", "", "nobody looks between the two"),
    Equivalent("sync.lockmgr.upgrade.lockmgr_upgrade-term2", "lk_lockholder", "only a misuse would be told"),
    Equivalent(
        "sync.lockmgr.upgrade.lockmgr_upgrade-term2",
        "LK_EXCLUPGRADE or",
        "the request to own it does not wait either",
    ),
    Equivalent(
        "sync.lockmgr.upgrade.undo_upreq-never",
        "if count & LKC_XMASK",
        "there is no owner while somebody upgrades",
    ),
    Equivalent(
        "sync.lockmgr.upgrade.undo_upreq-never", "elif count & LKC_EXREQ", "the last reader grants it"
    ),
    Equivalent(
        "sync.lockmgr.upgrade.undo_upreq-*",
        "if count & LKC_SMASK",
        "SHARED is set while readers are inside, and may be set while none are",
    ),
    # -- mutexes ---------------------------------------------------------------------------------
    Equivalent(
        "sync.mutex.atomic.AtomicMutex.*-swap",
        "",
        "one step at the atomic depth: nobody sees what is between",
    ),
    Equivalent("sync.mutex.atomic.AtomicMutex._ask-gone", "ticks(timo)", "it only refuses an argument"),
    Equivalent(
        "sync.mutex.atomic.AtomicMutex._upgrade-term[234567]",
        "",
        "whether an upgrade fails while others wait, or have just been let in, is drawn",
    ),
    Equivalent(
        "sync.mutex.link.mtx_enter_link-swap", "", "with LINKSPIN, and nothing that others see is between"
    ),
    Equivalent("sync.mutex.lock.Mutex.spinlock-swap", "crit_enter", "nothing happens between the two counts"),
    Equivalent("sync.mutex.lock.Mutex.*spin*-swap", "gd_spinlocks", "only what may sleep looks at the count"),
    Equivalent(
        "sync.mutex.lock.Mutex.try_spinlock-swap", "crit_enter", "nothing happens between the two counts"
    ),
    Equivalent(
        "sync.mutex.lock.Mutex.spinunlock-swap", "self.release", "only what may sleep looks at the count"
    ),
    Equivalent(
        "sync.mutex.release._release-always", "if word & MTX_EXCLUSIVE", "a mutex that is shared has no owner"
    ),
    Equivalent("sync.mutex.release.mtx_chain_link_sh-always", "> handed", "it adds nothing"),
    Equivalent(
        "sync.mutex.request.mtx_lock_ex-never",
        "cmpset(0, MTX_EXCLUSIVE | 1)",
        "the loop takes a free mutex, too",
    ),
    # -- edges -----------------------------------------------------------------------------------
    Equivalent("sync.mutex.release.mtx_chain_link_sh-edge1", "> handed", "nothing is added then"),
    Equivalent(
        "sync.spinlock._spin_lock_shared_contested-one1", "word.fetchadd(-1) - 1", "it looks once more"
    ),
    Equivalent(
        "sync.token.exact.ExactToken.regain_all-edge1",
        "SORT_AFTER",
        "after how many turns they are sorted is anybody's guess",
    ),
)
