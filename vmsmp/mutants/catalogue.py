"""The catalogue of guard removals: those of the lock primitives here, race sites 3.1 to 3.4 of the facts.

Each entry says which invariant must fall and which scenario shows it; none of the scenarios was
written for a mutant.  The page layer's are in `pages`.  Letters follow the facts where one site has
several natural mutants.
"""

from __future__ import annotations

from vmsmp.mutants.pages import PAGE_MUTANTS
from vmsmp.mutants.patch import Mutant

_SPIN = "vmsmp.sync.spinlock"
_TOKEN = "vmsmp.sync.token"
_LOCKMGR = "vmsmp.sync.lockmgr"
_SLEEPQ = "vmsmp.sync.sleepq"
_REFCOUNT = "vmsmp.sync.refcount"

PRIMITIVE_MUTANTS = (
    Mutant(
        "SP-01",
        f"{_SPIN}:spin_trylock",
        "if not spin.lock.cmpset(0, 1) and not spin.lock.cmpset(SPINLOCK_SHARED, 1):",
        "if spin.lock.fetchadd(1) != 0:",
        "INV-SP2",
        "a failed try leaves its increment in the word, which never comes back to 0",
        "spin_try_leaves_no_trace",
    ),
    Mutant(
        "SP-04",
        f"{_SPIN}:_spin_lock_contested",
        "value, (value - SPINLOCK_EXCLWAIT | 1) & ~SPINLOCK_SHARED",
        "value, value - SPINLOCK_EXCLWAIT | 1",
        "INV-SP1",
        "a windowed reader's SHARED survives the writer's win, and the next reader walks in",
        "spin_readers_and_writers",
    ),
    Mutant(
        "SP-05",
        f"{_SPIN}:_spin_lock_contested",
        "if value & SPINLOCK_COUNT == 0:",
        "if value & SPINLOCK_COUNT <= 1:",
        "INV-SP1",
        "a queued writer takes the owner's count for its own",
        "spin_writers_queue",
    ),
    Mutant(
        "SP-06",
        f"{_SPIN}:spin_lock_shared",
        "old == 0 and spin.lock.cmpset(1, SPINLOCK_SHARED | 1)",
        "old == 0 and spin.lock.setbits(SPINLOCK_SHARED) is not None",
        "INV-SP1",
        "the reader sets SHARED over a writer that has queued meanwhile, and the writer's win keeps it",
        "spin_readers_and_writers",
        # The older code had neither guard.  With SP-04's the stray bit only costs the writer its turn.
        also=((f"{_SPIN}:_spin_lock_contested", "& ~SPINLOCK_SHARED", "& -1"),),
    ),
    Mutant(
        "SP-07",
        f"{_SPIN}:_spin_lock_shared_contested",
        "if word.fetchadd(1) & SPINLOCK_SHARED:",
        "if word.fetchadd(1) is not None:",
        "INV-SP1",
        "the reader trusts the SHARED it read before its increment",
        "spin_readers_and_writers",
    ),
    Mutant(
        "SP-08",
        f"{_SPIN}:_spin_lock_shared_contested",
        """
        value = word.fetchadd(-1) - 1
        window = spin.machine.choose(2) == 0
        """,
        """
        value = word.load()
        window = spin.machine.choose(2) == 0
        """,
        "INV-SP2",
        "the reader's first increment is never taken back",
        "spin_readers_and_writers",
    ),
    Mutant(
        "TK-06",
        f"{_TOKEN}:lwkt_getalltokens",
        "refs.sort(key=lambda ref: ref.tr_tok.ident)",
        "refs = sorted(reversed(refs), key=lambda ref: ref.tr_tok.ident)",
        "INV-TK2",
        "of two refs to one token the upper comes first, and its release frees the lower's",
        "token_storm",
    ),
    Mutant(
        "TK-08",
        f"{_TOKEN}:_lwkt_trytokref_exclusive",
        "taken, count = tok.t_count.fcmpset(count, count & ~TOK_EXCLREQ | TOK_EXCLUSIVE)",
        "taken = tok.t_count.setbits(TOK_EXCLUSIVE) is not None",
        "INV-TK2",
        "two CPUs see the token free and both set EXCLUSIVE",
        "token_readers_and_writer",
    ),
    Mutant(
        "TK-10",
        f"{_TOKEN}:_lwkt_trytokref_exclusive",
        "taken, count = tok.t_count.fcmpset(count, count & ~TOK_EXCLREQ | TOK_EXCLUSIVE)",
        "taken, count = tok.t_count.fcmpset(count, count | TOK_EXCLUSIVE)",
        "INV-TK6",
        "EXCLREQ stays for ever, and a reader with no other token waits for it for ever",
        "token_readers_and_writer",
    ),
    Mutant(
        "TK-11",
        f"{_TOKEN}:lwkt_getalltokens",
        """
        for taken in reversed(refs[:n]):
            _lwkt_reltokref(taken, td)
        """,
        "del n",
        "INV-TK4",
        "two waiting threads each keep the token that the other one misses",
        "tokens_in_any_order",
    ),
    Mutant(
        "TK-13",
        f"{_TOKEN}:lwkt_switch",
        "lwkt_relalltokens(td)",
        "td.td_toks_have = None",
        "INV-TK4",
        "the sleeper keeps the token that its waker needs",
        "token_lost_across_sleep",
    ),
    Mutant(
        "TK-16",
        f"{_TOKEN}:lwkt_token_swap",
        """
        if tok1 is tok2:
            return
        """,
        "",
        "INV-TK2",
        "after a swap of two refs to one token the first release lets others in",
        "token_chain_walk",
    ),
    Mutant(
        "LK-07",
        f"{_LOCKMGR}:lockmgr_shared",
        """
        count = lkp.lk_count.fetchadd(0)
        if not count & LKC_SHARED and count & busy:
        """,
        "if not count & LKC_SHARED and count & busy:",
        "INV-LK7",
        "the grant and its wakeup fall between the look and the interlock",
        "readers_and_writers",
    ),
    Mutant(
        "LK-08",
        f"{_LOCKMGR}:lockmgr_shared",
        "count = lkp.lk_count.fetchadd(LKC_SCOUNT) + LKC_SCOUNT",
        "count = lkp.lk_count.fetchadd(LKC_SCOUNT) + LKC_SCOUNT | LKC_SHARED",
        "INV-LK2",
        "a counted request is taken for a grant",
        "readers_and_writers",
    ),
    Mutant(
        "LK-10",
        f"{_LOCKMGR}:undo_shreq",
        "while count & (LKC_EXREQ | LKC_UPREQ | LKC_CANCEL) and not count & (LKC_SMASK | LKC_XMASK):",
        "while False:",
        "INV-LK7",
        "two readers leave at once, each leaving the grant to the other",
        "last_readers_leave",
    ),
    Mutant(
        "LK-12",
        f"{_LOCKMGR}:_release_exclusive",
        "wake = bool(count & (LKC_SMASK | LKC_EXREQ2))",
        "wake = bool(count & LKC_SMASK)",
        "INV-LK7",
        "EXREQ2 is cleared and whoever set it sleeps on",
        "readers_and_writers",
    ),
    Mutant(
        "LK-13",
        f"{_LOCKMGR}:_release_shared",
        "if count & LKC_UPREQ:",
        "if count & LKC_UPREQ and not count & LKC_EXREQ:",
        "INV-LK8",
        "the writer is let in before the upgrade that was promised to be atomic",
        "upgrade_against_writer",
    ),
    Mutant(
        "LK-14",
        f"{_LOCKMGR}:lockmgr_upgrade",
        "if flags & LK_TYPE_MASK == LK_EXCLUPGRADE or flags & LK_NOWAIT:",
        "if flags & LK_NOWAIT:",
        "INV-LK8",
        "the second upgrader waits its turn and is told that nobody was in between",
        "upgrade_contention",
    ),
    Mutant(
        "LK-15",
        f"{_LOCKMGR}:lockmgr_upgrade",
        "asked, count = lkp.lk_count.fcmpset(count, count - LKC_SCOUNT | LKC_UPREQ)",
        """
        lkp.lk_count.fetchadd(-LKC_SCOUNT)
        asked = lkp.lk_count.setbits(LKC_UPREQ) is not None
        """,
        "INV-LK7",
        "the last reader leaves between the two steps, and UPREQ is set on a free lock",
        "upgrade_or_wait",
    ),
    Mutant(
        "LK-16",
        f"{_LOCKMGR}:lockmgr_downgrade",
        "if count & (LKC_SMASK | LKC_EXREQ2):",
        "if count & LKC_EXREQ2:",
        "INV-LK7",
        "a counted reader owns the lock after the downgrade and sleeps on",
        "downgrade_keeps_the_lock",
    ),
    Mutant(
        "LK-17",
        f"{_LOCKMGR}:lockmgr_downgrade",
        """
        lkp.lk_lockholder.store(None)
        lkp._released(td.cpu, EXCLUSIVE)
        """,
        """
        lockmgr_release(lkp)
        return lockmgr_shared(lkp, 0)
        """,
        "INV-LK8",
        "a writer slips in between the release and the shared acquire",
        "downgrade_keeps_the_lock",
    ),
    Mutant(
        "LK-18",
        f"{_LOCKMGR}:_recurse",
        "lkp.lk_count.fetchadd(1)",
        "lkp.lk_count.fetchadd(LKC_SCOUNT)",
        "INV-DL",
        "shared recursion counts as a reader beside its own exclusive hold",
        "lockmgr_storm",
    ),
    Mutant(
        "LK-19",
        f"{_LOCKMGR}:_await_grant",
        "if undo(lkp):",
        "if undo(lkp) is not None:",
        "INV-LK7",
        "a request times out as it is granted, and the lock belongs to nobody",
        "timeouts_against_grants",
    ),
    Mutant(
        "SL-03",
        f"{_SLEEPQ}:SleepQueues.deschedule",
        """
        if not td.td_flags & TDF_TSLEEPQ:
            return False
        if td.td_wchan != ident or td.td_wdomain != flags & PDOMAIN_MASK:
            return False  # we slept on something else meanwhile
        """,
        "",
        "INV-SL3",
        "the wakeup came after the interlock, and the sleeper sleeps all the same",
        "busy_bit_handoff",
    ),
    Mutant(
        "RC-01a",
        f"{_REFCOUNT}:refcount_wait",
        """
        ref.machine.tsleep_interlock(ref, 0)
        published, n = ref.count.fcmpset(n, n | REFCNTF_WAITING)
        """,
        """
        published, n = ref.count.fcmpset(n, n | REFCNTF_WAITING)
        ref.machine.tsleep_interlock(ref, 0)
        """,
        "INV-SL4",
        "the last release wakes between the published flag and the interlock",
        "refcount_drains",
    ),
    Mutant(
        "RC-01b",
        f"{_REFCOUNT}:refcount_wait",
        "published, n = ref.count.fcmpset(n, n | REFCNTF_WAITING)",
        "published, n = True, ref.count.setbits(REFCNTF_WAITING)",
        "INV-SL4",
        "the count reaches 0 before the flag is set, and nobody is left to wake",
        "refcount_drains",
    ),
    Mutant(
        "RC-03",
        f"{_REFCOUNT}:refcount_release_wakeup",
        "if old == REFCNTF_WAITING | n:",
        "if old == n:",
        "INV-SL4",
        "the last release does not see that somebody waits",
        "refcount_drains",
    ),
)

#: The mutants by id.
CATALOGUE: dict[str, Mutant] = {mutant.ident: mutant for mutant in (*PRIMITIVE_MUTANTS, *PAGE_MUTANTS)}
