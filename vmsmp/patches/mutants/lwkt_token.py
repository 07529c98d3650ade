"""Mutants of the LWKT tokens (sys/kern/lwkt_token.c)."""

from __future__ import annotations

from vmsmp.patches.patch import Mutant

_PACKAGE = "vmsmp.sync.token"

MUTANTS = (
    Mutant(
        "TK-06",
        f"{_PACKAGE}.exact:lwkt_getalltokens",
        "refs.sort(key=lambda ref: ref.tr_tok.ident)",
        "refs = sorted(reversed(refs), key=lambda ref: ref.tr_tok.ident)",
        "INV-TK2",
        "of two refs to one token the upper comes first, and its release frees the lower's",
        "token_storm",
    ),
    Mutant(
        "TK-08",
        f"{_PACKAGE}.exact:_lwkt_trytokref_exclusive",
        "taken, count = tok.t_count.fcmpset(count, count & ~TOK_EXCLREQ | TOK_EXCLUSIVE)",
        "taken = tok.t_count.setbits(TOK_EXCLUSIVE) is not None",
        "INV-TK2",
        "two CPUs see the token free and both set EXCLUSIVE",
        "token_readers_and_writer",
    ),
    Mutant(
        "TK-10",
        f"{_PACKAGE}.exact:_lwkt_trytokref_exclusive",
        "taken, count = tok.t_count.fcmpset(count, count & ~TOK_EXCLREQ | TOK_EXCLUSIVE)",
        "taken, count = tok.t_count.fcmpset(count, count | TOK_EXCLUSIVE)",
        "INV-TK6",
        "EXCLREQ stays for ever, and a reader with no other token waits for it for ever",
        "token_readers_and_writer",
    ),
    Mutant(
        "TK-11",
        f"{_PACKAGE}.exact:lwkt_getalltokens",
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
        f"{_PACKAGE}.switch:lwkt_switch",
        "lwkt_relalltokens(td)",
        "td.td_toks_have = None",
        "INV-TK4",
        "the sleeper keeps the token that its waker needs",
        "token_lost_across_sleep",
    ),
    Mutant(
        "TK-16",
        f"{_PACKAGE}.stack:lwkt_token_swap",
        "if tok1 is not tok2:",
        "if tok1:",
        "INV-TK2",
        "after a swap of two refs to one token the first release lets others in",
        "token_chain_walk",
    ),
)
