"""The token functions of lwkt_token.c, on `t_count` and `t_ref`."""

from __future__ import annotations

from typing import Final

from vmsmp.engine.wait import Wait, WaitMode
from vmsmp.sync.lock import EXCLUSIVE, SHARED
from vmsmp.sync.services import Services
from vmsmp.sync.thread import (
    TOK_COUNTMASK,
    TOK_EXCLREQ,
    TOK_EXCLUSIVE,
    TOK_INCR,
    Thread,
    TokRef,
    curthread,
    take_latched,
)
from vmsmp.sync.token.lock import Token
from vmsmp.sync.token.stack import push_ref, top_ref
from vmsmp.sync.token.switch import lwkt_switch

#: How often an exclusive try that spins tries again; the kernel does so 19 times.
TOKEN_SPINS: Final = 1
#: The failures after which a thread's tokens are taken in a fixed order; 11 in the kernel.
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
                tok.asked = False
                tok.grants += 1
                tok.note_acquired(td.cpu, EXCLUSIVE, not mode & TOK_EXCLREQ)
                if tok.t_ref.peek() is not None:
                    tok.machine.panic(f"{tok} was taken while its t_ref was set")
                tok.t_ref.store(ref)
                return True
            continue
        owner = tok.t_ref.load() if count & TOK_EXCLUSIVE else None
        if owner is not None and owner.tr_owner is td:
            # The thread owns it already: this ref only counts, so that the outermost release frees the token.
            tok.t_count.fetchadd(TOK_INCR)
            ref.tr_count &= ~TOK_EXCLUSIVE
            tok.note_acquired(td.cpu, SHARED, not mode & TOK_EXCLREQ)
            return True
        if mode & TOK_EXCLREQ and not count & TOK_EXCLREQ:
            tok.t_count.setbits(TOK_EXCLREQ)  # even if the token has become free meanwhile
            tok.asked = bool(mode & TOK_EXCLREQ)
        return False


def _lwkt_trytokref_shared(ref: TokRef, td: Thread, mode: int, *, windowed: bool = False) -> bool:
    """Try once; `windowed` if it may ignore EXCLREQ, which is drawn where it makes a difference."""
    tok = ref.tr_tok
    count = tok.t_count.load()
    # Only a thread with no other token lets an exclusive requester go first: one with several could
    # deadlock.
    waits = mode & TOK_EXCLREQ if len(td.td_toks_array) == 1 else 0
    while True:
        if windowed and waits and count & (TOK_EXCLUSIVE | TOK_EXCLREQ) == TOK_EXCLREQ:
            windowed = False
            if tok.machine.choose(2) == 0:
                waits = 0
        if not count & (TOK_EXCLUSIVE | waits):
            if not tok.t_count.fetchadd(TOK_INCR) & TOK_EXCLUSIVE:
                tok.note_acquired(td.cpu, SHARED)
                return True
            tok.probing.add(td)
            count = tok.t_count.fetchadd(-TOK_INCR) - TOK_INCR
            tok.probing.discard(td)
            continue
        owner = tok.t_ref.load() if count & TOK_EXCLUSIVE else None
        if owner is not None and owner.tr_owner is td:
            tok.t_count.fetchadd(TOK_INCR)
            tok.note_acquired(td.cpu, SHARED)
            return True
        return False


def _lwkt_trytokref_spin(ref: TokRef, td: Thread, mode: int) -> bool:
    """Try to own `ref`, and again if that fails."""
    return _lwkt_trytokref(ref, td, mode) or _spin(ref, td, mode)


def _spin(ref: TokRef, td: Thread, mode: int) -> bool:
    """Try again after a failure; a shared try may be in the CPU's time window."""
    machine = ref.tr_tok.machine
    if not mode & TOK_EXCLUSIVE:
        machine.yield_()  # not a pause: what follows is bounded
        return _lwkt_trytokref_shared(ref, td, mode, windowed=True)
    for _ in range(TOKEN_SPINS):
        machine.yield_()
        if _lwkt_trytokref(ref, td, mode):
            return True
    return False


def _lwkt_reltokref(ref: TokRef, td: Thread) -> None:
    tok = ref.tr_tok
    if tok.t_ref.load() is ref:
        tok.t_ref.store(None)
        tok.note_released(td.cpu, EXCLUSIVE)
        tok.leaving.add(ref)
        tok.t_count.clearbits(TOK_EXCLUSIVE)
    else:
        tok.note_released(td.cpu, SHARED)
        tok.leaving.add(ref)
        if tok.t_count.fetchadd(-TOK_INCR) & TOK_COUNTMASK == 0:
            tok.machine.panic(f"{tok} released below zero")
    tok.leaving.discard(ref)


def _lwkt_gettoken(tok: ExactToken, mode: int) -> None:
    td = curthread(tok.machine)
    ref = push_ref(td, tok, mode)  # before any try, so that a switch takes it, too
    if _lwkt_trytokref(ref, td, mode):
        return
    tok.contested += 1
    grants = tok.grants
    if _spin(ref, td, mode):
        return
    if mode & TOK_EXCLUSIVE:
        tok.refused[td] = grants
    tok.t_collisions += 1
    td.td_toks_have = len(td.td_toks_array) - 1
    td.cpu.wants = Wait(tok, ref.mode)
    lwkt_switch(td)
    tok.refused.pop(td, None)
    td.cpu.wants = None
    if mode & TOK_EXCLUSIVE and ref.tr_count & TOK_EXCLUSIVE and tok.t_ref.peek() is not ref:
        tok.machine.panic(f"{tok} came back without its t_ref")


def lwkt_gettoken(tok: ExactToken) -> None:
    """Take `tok` exclusively; its owner may take it again.

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
    ref = push_ref(td, tok, TOK_EXCLUSIVE | TOK_EXCLREQ, tried=True)
    if _lwkt_trytokref(ref, td, TOK_EXCLUSIVE):
        return True
    td.td_toks_array.pop()
    tok.t_collisions += 1
    return False


def lwkt_reltoken(tok: ExactToken) -> None:
    """Release `tok`, which must be the one taken last."""
    td = curthread(tok.machine)
    ref = top_ref(td, tok)
    _lwkt_reltokref(ref, td)
    td.td_toks_array.pop()


def lwkt_getalltokens(td: Thread, spinning: bool) -> bool:
    """Take every token of the stack again, or none.

    Takes them in stack order at first and, if `spinning`, in a fixed order, so that two threads cannot
    take each other's first token for ever.  The sort is stable: of the refs to one token the deepest
    comes first, because only that one may become `t_ref`.  For the ref on top of the stack it spins,
    while it holds what it has taken before.
    """
    refs, top = list(td.td_toks_array), td.td_toks_array[-1]
    if spinning:
        refs.sort(key=lambda ref: ref.tr_tok.ident)
    for n, ref in enumerate(refs):
        attempt = _lwkt_trytokref_spin if ref is top else _lwkt_trytokref
        if not attempt(ref, td, ref.tr_count):
            ref.tr_tok.t_collisions += 1
            for taken in reversed(refs[:n]):
                _lwkt_reltokref(taken, td)
            return False
    return True


def _lwkt_token_held_any(tok: ExactToken, td: Thread) -> bool:
    """Whether `td` owns `tok`, or any thread holds it shared, as in the kernel."""
    count = tok.t_count.load()
    return _lwkt_token_held_excl(tok, td) or (not count & TOK_EXCLUSIVE and count & TOK_COUNTMASK != 0)


def _lwkt_token_held_excl(tok: ExactToken, td: Thread) -> bool:
    """Whether `t_ref` is on the stack of `td`: two loads, one for each end; stacks are in order of CPUs."""
    low = tok.t_ref.load()
    if low is None or low.tr_owner.cpu.index < td.cpu.index:
        return False
    high = tok.t_ref.load()
    return high is None or high.tr_owner.cpu.index <= td.cpu.index


class ExactToken(Token):
    """struct lwkt_token: `t_count`, `t_ref`, `t_collisions`, under the functions of this module."""

    def __init__(self, machine: Services, name: str | None = None) -> None:
        super().__init__(machine, name)
        self.t_count = machine.atomic(0, f"{self.name}.t_count", format=_format)
        self.t_ref = machine.atomic(None, f"{self.name}.t_ref")
        self.t_collisions = 0
        # ghost: threads whose shared request is counted although there is an owner; refs that the next step
        # of their thread releases; whether EXCLREQ was asked for since the last exclusive owner; the number
        # of exclusive grants, now and before the last try of each thread that waits for one
        self.probing: set[Thread] = set()
        self.leaving: set[TokRef] = set()
        self.asked = False
        self.grants = 0
        self.refused: dict[Thread, int] = {}
        machine.words[self.t_count.ident] = machine.words[self.t_ref.ident] = self

    acquire = lwkt_gettoken
    acquire_shared = lwkt_gettoken_shared
    try_acquire = lwkt_trytoken
    release = lwkt_reltoken

    def held_any(self) -> bool:
        return _lwkt_token_held_any(self, curthread(self.machine))

    def held_excl(self) -> bool:
        return _lwkt_token_held_excl(self, curthread(self.machine))

    def drop_ref(self, ref: TokRef, td: Thread) -> None:
        _lwkt_reltokref(ref, td)

    def regain_all(self, td: Thread) -> None:
        contended = 0
        while not self._regain(td, contended >= SORT_AFTER):
            contended += 1
            if td.cpu.wants is None:
                td.cpu.wants = Wait(td.td_toks_array[-1].tr_tok, WaitMode.ALL_TOKENS)
            if contended > SORT_AFTER:
                self.machine.pause()
            else:
                self.machine.yield_()  # the next pass may take the tokens in another order
        if td.cpu.wants is not None and td.cpu.wants.mode is WaitMode.ALL_TOKENS:
            td.cpu.wants = None
        take_latched(td)  # which no operation of a CPU that waits does

    @staticmethod
    def _regain(td: Thread, sort: bool) -> bool:
        """One pass of the scheduler, during which the CPU takes no IPIs."""
        td.td_critcount += 1
        done = lwkt_getalltokens(td, sort)
        td.td_critcount -= 1
        return done

    def ref_moved(self, old: TokRef, new: TokRef) -> None:
        if self.t_ref.load() is old:
            self.t_ref.store(new)

    def check_word(self) -> str | None:
        """INV-TK1, INV-TK2, INV-TK3 (a swap exchanges refs before it moves t_ref), INV-TK4, INV-TK6."""
        holds = list(self.holders)
        owners = [cpu for cpu, mode in holds if mode == EXCLUSIVE]
        if owners and any(cpu is not owners[0] for cpu, _ in holds):
            users = len({cpu.index for cpu, _ in holds})
            return f"owned exclusively by {owners[0]} while {users} CPUs use it"
        for cpu, _ in holds:
            if cpu.td.idle:
                return f"{cpu} sleeps and owns it"
        return self._check_count(len(owners), len(holds) - len(owners)) or self._check_ref()

    def _check_count(self, owners: int, others: int) -> str | None:
        """INV-TK1: EXCLUSIVE stands for one owner and the count for every other ref; INV-TK6's EXCLREQ."""
        word = self.t_count.peek()
        leaving = [ref.mode for ref in self.leaving]
        owners += leaving.count(EXCLUSIVE)
        others += leaving.count(SHARED) + len(self.probing)
        if owners != word & TOK_EXCLUSIVE:
            return f"{owners} own it exclusively but t_count is {_format(word)}"
        if others != word // TOK_INCR:
            return f"{others} count in it but t_count is {_format(word)}"
        if self.engine.parallel:
            return None
        if word & TOK_EXCLREQ and not self.asked:
            return "EXCLREQ is set and nobody has asked since the last exclusive owner"
        if not word & TOK_EXCLREQ and (self.asked or self.grants in self.refused.values()):
            return "EXCLREQ is clear and somebody has asked since the last exclusive owner"
        return None

    def _check_ref(self) -> str | None:
        ref = self.t_ref.peek()
        if ref is not None and not self.t_count.peek() & TOK_EXCLUSIVE:
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
