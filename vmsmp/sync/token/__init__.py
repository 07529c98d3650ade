"""LWKT tokens: serialising locks that a thread loses whenever it blocks.

Models: sys/kern/lwkt_token.c, sys/sys/thread.h, and the part of `lwkt_switch` (lwkt_thread.c) that
is about tokens.
A thread's refs form a stack, released in strict LIFO order.  A thread that blocks releases all its
tokens, and runs again only once it has taken all of them, all or nothing.  So tokens cannot deadlock
against each other, and values read under one are stale after a blocking point.
Word: `t_count` = EXCLUSIVE, EXCLREQ (an exclusive requester waits) and holders in units of
TOK_INCR; `t_ref` points at the ref of the exclusive owner.  A release wakes nobody: waiters poll.
Deviations:
  * the sorted retry orders by creation instead of by address, so no run depends on an address.
  * a contested try spins once more, not 19 times, and polling switches to the sorted order after two
    failures, not after eleven.
  * the time window in which a shared try ignores EXCLREQ is drawn (one try in two is inside), and
    only where it makes a difference.
  * at the atomic depth a try fails only if the token is held or asked for.  In the kernel, and at the exact
    depth, it may also fail because of the count of a reader that is backing off after the owner's release.

| module | contents |
|---|---|
| lock | what both depths offer |
| stack | the refs of a thread: push, swap, lose all, take all again |
| pool | tokens found by a hash |
| switch | `lwkt_switch` |
| exact | the kernel's algorithm on `t_count` and `t_ref` |
| atomic | the same contract in one step |
"""

from __future__ import annotations

from vmsmp.sync.thread import LWKT_MAXTOKENS, TOK_EXCLREQ, TOK_EXCLUSIVE, TOK_INCR, TokRef
from vmsmp.sync.token.atomic import AtomicToken
from vmsmp.sync.token.exact import (
    ExactToken,
    lwkt_getalltokens,
    lwkt_gettoken,
    lwkt_gettoken_shared,
    lwkt_reltoken,
    lwkt_trytoken,
)
from vmsmp.sync.token.lock import Token
from vmsmp.sync.token.pool import lwkt_getpooltoken, lwkt_relpooltoken, lwkt_token_pool_lookup
from vmsmp.sync.token.stack import (
    leave_tokens,
    lwkt_cnttoken,
    lwkt_relalltokens,
    lwkt_token_swap,
    regain_tokens,
)
from vmsmp.sync.token.switch import lwkt_switch

__all__ = [
    "LWKT_MAXTOKENS",
    "TOK_EXCLREQ",
    "TOK_EXCLUSIVE",
    "TOK_INCR",
    "AtomicToken",
    "ExactToken",
    "TokRef",
    "Token",
    "leave_tokens",
    "lwkt_cnttoken",
    "lwkt_getalltokens",
    "lwkt_getpooltoken",
    "lwkt_gettoken",
    "lwkt_gettoken_shared",
    "lwkt_relalltokens",
    "lwkt_relpooltoken",
    "lwkt_reltoken",
    "lwkt_switch",
    "lwkt_token_pool_lookup",
    "lwkt_token_swap",
    "lwkt_trytoken",
    "regain_tokens",
]
