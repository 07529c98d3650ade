"""The token functions of lwkt_token.c, on `t_count` and `t_ref`."""

from __future__ import annotations

from typing import Final

from vmsmp.engine.wait import Wait, WaitMode
from vmsmp.sync.lock import EXCLUSIVE, SHARED
from vmsmp.sync.services import Services
from vmsmp.sync.thread import TOK_EXCLREQ, TOK_EXCLUSIVE, TOK_INCR, Thread, TokRef, curthread
from vmsmp.sync.token.lock import Token
from vmsmp.sync.token.stack import push_ref, top_ref
from vmsmp.sync.token.switch import lwkt_switch

#: How often a contested get tries again before it gives up the CPU.
TOKEN_SPINS: Final = 2
#: After how many failures polling takes the tokens in a fixed order.
SORT_AFTER: Final = 2


def _format(word: int) -> str:
    """The count as a report shows it: `EXCL|REQ|2`."""
    parts = ["EXCL"] if word & TOK_EXCLUSIVE else []
    if word & TOK_EXCLREQ:
        parts.append("REQ")
    return "|".join([*parts, str(word // TOK_INCR)])


def _lwkt_trytokref(ref: TokRef, td: Thread, mode: int) -> bool:
    """Try once to own `ref` in `mode`."""
    if mode & TOK_EXCLUSIVE:
        return _lwkt_trytokref_exclusive(ref, td, mode)
    return _lwkt_trytokref_shared(ref, td, mode)


def _lwkt_trytokref_exclusive(ref: TokRef, td: Thread, mode: int) -> bool:
    tok = ref.tr_tok
    count = tok.t_count.load()
    while True:
        if count & ~TOK_EXCLREQ == 0:
            taken, count = tok.t_count.fcmpset(count, count & ~TOK_EXCLREQ | TOK_EXCLUSIVE)
            if taken:
                tok.note_acquired(td.cpu, EXCLUSIVE)
                if tok.t_ref.peek() is not None:
                    tok.machine.panic(f"{tok} was taken while its t_ref was set")
                tok.t_ref.store(ref)
                return True
            continue
        owner = tok.t_ref.load() if count & TOK_EXCLUSIVE else None
        if owner is not None and owner.tr_owner is td:
            # We own it already: this ref only counts, so that the outermost release frees the token.
            tok.t_count.fetchadd(TOK_INCR)
            ref.tr_count &= ~TOK_EXCLUSIVE
            tok.note_acquired(td.cpu, SHARED)
            return True
        if not mode & TOK_EXCLREQ or count & TOK_EXCLREQ:
            return False
        asked, count = tok.t_count.fcmpset(count, count | TOK_EXCLREQ)
        if asked:
            return False


def _lwkt_trytokref_shared(ref: TokRef, td: Thread, mode: int) -> bool:
    tok = ref.tr_tok
    while True:
        count = tok.t_count.load()
        if not count & TOK_EXCLUSIVE and (
            # Only a thread with no other token waits for an exclusive requester: one that takes
            # several again could deadlock.
            not count & TOK_EXCLREQ or not mode & TOK_EXCLREQ or len(td.td_toks_array) != 1
        ):
            if not tok.t_count.fetchadd(TOK_INCR) & TOK_EXCLUSIVE:
                tok.note_acquired(td.cpu, SHARED)
                return True
            tok.t_count.fetchadd(-TOK_INCR)
            continue
        owner = tok.t_ref.load() if count & TOK_EXCLUSIVE else None
        if owner is not None and owner.tr_owner is td:
            tok.t_count.fetchadd(TOK_INCR)
            tok.note_acquired(td.cpu, SHARED)
            return True
        return False


def _lwkt_reltokref(ref: TokRef, td: Thread) -> None:
    tok = ref.tr_tok
    if tok.t_ref.load() is ref:
        tok.t_ref.store(None)
        tok.note_released(td.cpu, EXCLUSIVE)
        tok.t_count.clearbits(TOK_EXCLUSIVE)
    else:
        tok.note_released(td.cpu, SHARED)
        if tok.t_count.fetchadd(-TOK_INCR) // TOK_INCR == 0:
            tok.machine.panic(f"{tok} released below zero")


def _lwkt_gettoken(tok: ExactToken, mode: int) -> None:
    td = curthread(tok.machine)
    ref = push_ref(td, tok, mode)
    for spin in range(TOKEN_SPINS):
        if _lwkt_trytokref(ref, td, mode):
            return
        if spin == 0:
            tok.t_collisions += 1
            tok.contested += 1
        tok.machine.yield_()  # not a pause: the loop is bounded
    td.td_toks_have = len(td.td_toks_array) - 1
    td.cpu.wants = Wait(tok, ref.mode)
    lwkt_switch(td)
    td.cpu.wants = None
    if mode & TOK_EXCLUSIVE and ref.tr_count & TOK_EXCLUSIVE and tok.t_ref.peek() is not ref:
        tok.machine.panic(f"{tok} came back without its t_ref")


def lwkt_gettoken(tok: ExactToken) -> None:
    """Take `tok` exclusively, or once more.

    Sleeps: while contested; every token held so far is then lost and taken again.
    """
    tok.note_wanted(tok.engine.current, EXCLUSIVE)
    _lwkt_gettoken(tok, TOK_EXCLUSIVE | TOK_EXCLREQ)


def lwkt_gettoken_shared(tok: ExactToken) -> None:
    """Take `tok` shared.  Sleeps: as `lwkt_gettoken`."""
    tok.note_wanted(tok.engine.current, SHARED)
    _lwkt_gettoken(tok, TOK_EXCLREQ)


def lwkt_trytoken(tok: ExactToken) -> bool:
    """Take `tok` exclusively if that needs no waiting; publishes no request."""
    td = curthread(tok.machine)
    ref = push_ref(td, tok, TOK_EXCLUSIVE | TOK_EXCLREQ)
    if _lwkt_trytokref(ref, td, TOK_EXCLUSIVE):
        return True
    td.td_toks_array.pop()
    return False


def lwkt_reltoken(tok: ExactToken) -> None:
    """Let go of `tok`, which must be the one taken last."""
    td = curthread(tok.machine)
    ref = top_ref(td, tok)
    _lwkt_reltokref(ref, td)
    td.td_toks_array.pop()


def lwkt_getalltokens(td: Thread, failures: int) -> bool:
    """Take every token of the stack again, or none.

    Takes them in stack order at first, and after some failures in a fixed order, so that two
    threads cannot take each other's first token for ever.  The sort is stable: of the refs to one
    token the deepest comes first, because only that one may become `t_ref`.
    """
    refs = list(td.td_toks_array)
    if failures >= SORT_AFTER:
        refs.sort(key=lambda ref: ref.tr_tok.ident)
    for n, ref in enumerate(refs):
        if not _lwkt_trytokref(ref, td, ref.tr_count):
            for taken in reversed(refs[:n]):
                _lwkt_reltokref(taken, td)
            return False
    return True


class ExactToken(Token):
    """struct lwkt_token: `t_count`, `t_ref`, `t_collisions`, under the functions of this module."""

    def __init__(self, machine: Services, name: str | None = None) -> None:
        super().__init__(machine, name)
        self.t_count = machine.atomic(0, f"{self.name}.t_count", format=_format)
        self.t_ref = machine.atomic(None, f"{self.name}.t_ref")
        self.t_collisions = 0
        machine.words[self.t_count.ident] = machine.words[self.t_ref.ident] = self

    acquire = lwkt_gettoken
    acquire_shared = lwkt_gettoken_shared
    try_acquire = lwkt_trytoken
    release = lwkt_reltoken

    def drop_ref(self, ref: TokRef, td: Thread) -> None:
        _lwkt_reltokref(ref, td)

    def regain_all(self, td: Thread) -> None:
        failures = 0
        while not lwkt_getalltokens(td, failures):
            failures += 1
            if td.cpu.wants is None:
                td.cpu.wants = Wait(td.td_toks_array[-1].tr_tok, WaitMode.ALL_TOKENS)
            self.machine.pause()
        if td.cpu.wants is not None and td.cpu.wants.mode is WaitMode.ALL_TOKENS:
            td.cpu.wants = None

    def ref_moved(self, old: TokRef, new: TokRef) -> None:
        if self.t_ref.load() is old:
            self.t_ref.store(new)

    def check_word(self) -> str | None:
        """INV-TK1 (half), INV-TK2, INV-TK3 (a swap exchanges refs before it moves t_ref)."""
        word = self.t_count.peek()
        owners = {c.index for c in self.machine.cpus if c.holds(self, EXCLUSIVE)}
        users = {c.index for c in self.machine.cpus for h in c.held if h.lock is self}
        if len(owners) > 1 or (owners and users != owners):
            return f"owned exclusively by cpu{min(owners)} while {len(users)} CPUs use it"
        ref = self.t_ref.peek()
        if ref is not None and not word & TOK_EXCLUSIVE:
            return "t_ref is set and EXCLUSIVE is not"
        if ref is not None and ref not in ref.tr_owner.td_toks_array:
            return "t_ref points at a ref that is no longer on its thread's stack"
        return None

    def check_rest(self) -> str | None:
        """INV-TK6."""
        word = self.t_count.peek()
        if word & ~TOK_EXCLREQ or self.t_ref.peek() is not None:
            return f"nobody uses it but t_count is {_format(word)}"
        return None

    def state(self) -> str:
        return f"{_format(self.t_count.peek())} ({super().state()})"
