"""The token stack of a thread: pushing and releasing refs on top, losing and retaking all tokens."""

from __future__ import annotations

from vmsmp.engine.verdict import FailureKind
from vmsmp.sync.services import Services
from vmsmp.sync.thread import (
    LWKT_MAXTOKENS,
    Thread,
    TokRef,
    crit_enter,
    crit_exit,
    curthread,
    forbid_hard_section,
)
from vmsmp.sync.token.lock import Token


def push_ref(td: Thread, tok: Token, count: int, tried: bool = False) -> TokRef:
    """Put a ref to `tok` on top of the stack; unless `tried`, the thread may wait for it."""
    if not tried:
        forbid_hard_section(td, f"{tok} wanted from interrupt, ipi, or hard code section")
    if len(td.td_toks_array) >= LWKT_MAXTOKENS:
        tok.machine.panic(f"more than {LWKT_MAXTOKENS} tokens held")
    ref = TokRef(tok, td, count)
    td.td_toks_array.append(ref)
    return ref


def top_ref(td: Thread, tok: Token) -> TokRef:
    """The ref on top of the stack, which must be to `tok`: tokens go last in, first out."""
    if not td.td_toks_array or td.td_toks_array[-1].tr_tok is not tok:
        top = repr(td.td_toks_array[-1].tr_tok) if td.td_toks_array else "none"
        tok.machine.fail(
            FailureKind.CHECK,
            f"panic: lwkt_reltoken: illegal release of {tok}",
            [f"{td.cpu} holds on top: {top}"],
        )
    return td.td_toks_array[-1]


def lwkt_cnttoken(tok: Token, td: Thread) -> int:
    """How many refs to `tok` are on the stack of `td`, owned or not."""
    return sum(1 for ref in td.td_toks_array if ref.tr_tok is tok)


def lwkt_token_swap(machine: Services) -> None:
    """Exchange the two tokens on top of the stack, so that the lower one can be released first."""
    td = curthread(machine)
    crit_enter(td)
    if len(td.td_toks_array) < 2:
        machine.panic("lwkt_token_swap with fewer than two tokens")
    ref1, ref2 = td.td_toks_array[-1], td.td_toks_array[-2]
    tok1, tok2 = ref1.tr_tok, ref2.tr_tok
    if tok1 is not tok2:
        ref1.tr_tok, ref2.tr_tok = tok2, tok1
        ref1.tr_count, ref2.tr_count = ref2.tr_count, ref1.tr_count
        tok1.ref_moved(ref1, ref2)
        tok2.ref_moved(ref2, ref1)
    crit_exit(td)


def lwkt_relalltokens(td: Thread) -> None:
    """Release every owned token, from the top; the refs stay on the stack."""
    refs = td.td_toks_array
    have = len(refs) if td.td_toks_have is None else td.td_toks_have
    for ref in reversed(refs[:have]):
        ref.tr_tok.drop_ref(ref, td)
    td.td_toks_have = None


def leave_tokens(machine: Services, what: str) -> None:
    """Begin a blocking point: the running CPU loses all its tokens."""
    td = curthread(machine)
    for hook in machine.hooks.blocking:
        hook(td.cpu, what)
    forbid_hard_section(td, f"{what} from interrupt, ipi, or hard code section")
    lwkt_relalltokens(td)


def regain_tokens(machine: Services) -> None:
    """End a blocking point: the running CPU takes all its tokens again, or waits until it can."""
    td = curthread(machine)
    if td.td_toks_array:
        td.td_toks_array[0].tr_tok.regain_all(td)
