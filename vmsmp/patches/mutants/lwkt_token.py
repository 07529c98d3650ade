"""Mutants of the LWKT tokens (sys/kern/lwkt_token.c)."""

from __future__ import annotations

from vmsmp.patches.patch import Mutant

_PACKAGE = "vmsmp.sync.token"

MUTANTS = (
    Mutant(
        "TK-01",
        f"{_PACKAGE}.exact:_lwkt_gettoken",
        """
        lwkt_switch(td)
        """,
        """
        td.td_toks_array.pop()
        lwkt_switch(td)
        td.td_toks_array.append(ref)
        """,
        "INV-TK2",
        "the ref is on the stack only after the switch, which therefore does not take its token",
        "tokens_in_any_order",
    ),
    Mutant(
        "TK-05",
        f"{_PACKAGE}.exact:_lwkt_trytokref_exclusive",
        "ref.tr_count &= ~TOK_EXCLUSIVE",
        "pass",
        "INV-TK2",
        "a second exclusive ref stays one that owns the token, and is taken again as one",
        "token_readers_and_writer",
    ),
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
    Mutant(
        "TK-21",
        f"{_PACKAGE}.exact:_lwkt_trytokref_shared",
        "waits = mode & TOK_EXCLREQ if len(td.td_toks_array) == 1 else 0",
        "waits = mode & TOK_EXCLREQ",
        "INV-TK7",
        "a reader that shares the token already waits for a writer, and loses it meanwhile",
        "token_readers_at_depth_two",
    ),
    Mutant(
        "TK-22",
        f"{_PACKAGE}.stack:lwkt_token_swap",
        "ref1.tr_count, ref2.tr_count = ref2.tr_count, ref1.tr_count",
        "pass",
        "INV-TK7",
        "after a swap and a sleep each token comes back in the mode of the other one",
        "token_swap_keeps_modes",
    ),
    Mutant(
        "TK-23",
        f"{_PACKAGE}.exact:_lwkt_trytokref_shared",
        "count = tok.t_count.fetchadd(-TOK_INCR) - TOK_INCR",
        "count = tok.t_count.load()",
        "INV-TK1",
        "a reader that found an owner leaves its increment behind, and no writer finds the token free",
        "token_readers_and_writer",
    ),
)
