"""LWKT tokens: serialising locks that a thread loses whenever it blocks.

Models: sys/kern/lwkt_token.c, and of lwkt_thread.c the part of `lwkt_switch` that is about tokens.
A thread's refs form a stack, released in strict LIFO order.  When the thread blocks all its tokens
are released; it runs again only once it has every one of them, taken all or nothing, so tokens
cannot deadlock against each other and no value read under one survives a blocking point.
Word: `t_count` = EXCLUSIVE, EXCLREQ (an exclusive requester waits) and holders in units of
TOK_INCR; `t_ref` points at the ref of the exclusive owner.  Nobody is woken: who waits polls.
Deviations:
  * the sorted retry orders by creation, which is an address nobody's run depends on.
  * a contested get spins twice, and polling turns to the sorted order after two failures.
  * pool tokens number 64, hashed by name or identity.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Final

from vmsmp.engine import ops
from vmsmp.engine.cpu import Cpu
from vmsmp.engine.wait import Wait, WaitEnd, WaitMode
from vmsmp.sync.lock import EXCLUSIVE, SHARED, Lock
from vmsmp.sync.thread import TDF_TSLEEP_DESCHEDULED, Thread, curthread, lwkt_process_ipiq

if TYPE_CHECKING:
    from vmsmp.sync.services import Services

TOK_EXCLUSIVE: Final = 1
TOK_EXCLREQ: Final = 2
TOK_INCR: Final = 4
LWKT_MAXTOKENS: Final = 32
LWKT_NUM_POOL_TOKENS: Final = 64
TOKEN_SPINS: Final = 2
SORT_AFTER: Final = 2


def _format(word: int) -> str:
    """The count as a report shows it: `EXCL|REQ|2`."""
    parts = ["EXCL"] if word & TOK_EXCLUSIVE else []
    if word & TOK_EXCLREQ:
        parts.append("REQ")
    return "|".join([*parts, str(word // TOK_INCR)])


class TokRef:
    """One slot of a thread's token stack: which token, and in which mode to take it again."""

    __slots__ = ("tr_count", "tr_owner", "tr_tok")

    def __init__(self, tok: Token, td: Thread, count: int) -> None:
        self.tr_tok: Any = tok  # of the machine's one depth
        self.tr_owner = td
        self.tr_count = count

    @property
    def mode(self) -> WaitMode:
        return EXCLUSIVE if self.tr_count & TOK_EXCLUSIVE else SHARED

    def __repr__(self) -> str:
        return f"ref of cpu{self.tr_owner.cpu.index} to {self.tr_tok.name}"


def _push(td: Thread, tok: Token, count: int) -> TokRef:
    if len(td.td_toks_array) >= LWKT_MAXTOKENS:
        tok.machine.panic(f"more than {LWKT_MAXTOKENS} tokens held")
    ref = TokRef(tok, td, count)
    td.td_toks_array.append(ref)
    return ref


# -- the exact depth ------------------------------------------------------------------------------


def _lwkt_trytokref(ref: TokRef, td: Thread, mode: int) -> bool:
    """One attempt to own `ref`, in `mode`."""
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
            # Ours already: this ref only counts, so the outermost release is the one that frees it.
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
            # Only a thread with no other token may be made to wait for an exclusive requester,
            # else taking several again could deadlock.
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
    ref = _push(td, tok, mode)
    for spin in range(TOKEN_SPINS):
        if _lwkt_trytokref(ref, td, mode):
            return
        if spin == 0:
            tok.t_collisions += 1
            tok.contested += 1
        tok.machine.yield_()  # not a pause: this loop ends by itself
    td.td_toks_have = len(td.td_toks_array) - 1
    td.cpu.wants = Wait(tok, ref.mode)
    lwkt_switch(td)
    td.cpu.wants = None
    if mode & TOK_EXCLUSIVE and ref.tr_count & TOK_EXCLUSIVE and tok.t_ref.peek() is not ref:
        tok.machine.panic(f"{tok} came back without its t_ref")


def lwkt_gettoken(tok: ExactToken) -> None:
    """Take `tok` exclusively; recursion is fine.

    Sleeps: while contested, and then every token held so far is lost and taken again.
    """
    tok.note_wanted(tok.engine.current, EXCLUSIVE)
    _lwkt_gettoken(tok, TOK_EXCLUSIVE | TOK_EXCLREQ)


def lwkt_gettoken_shared(tok: ExactToken) -> None:
    """Take `tok` shared.  Sleeps: as `lwkt_gettoken`."""
    tok.note_wanted(tok.engine.current, SHARED)
    _lwkt_gettoken(tok, TOK_EXCLREQ)


def lwkt_trytoken(tok: ExactToken) -> bool:
    """Take `tok` exclusively if that needs no waiting; does not publish a request."""
    td = curthread(tok.machine)
    ref = _push(td, tok, TOK_EXCLUSIVE | TOK_EXCLREQ)
    if _lwkt_trytokref(ref, td, TOK_EXCLUSIVE):
        return True
    td.td_toks_array.pop()
    return False


def lwkt_reltoken(tok: ExactToken) -> None:
    """Let go of `tok`, which must be the one taken last."""
    td = curthread(tok.machine)
    ref = _top(tok, td)
    _lwkt_reltokref(ref, td)
    td.td_toks_array.pop()


def _top(tok: Token, td: Thread) -> TokRef:
    if not td.td_toks_array or td.td_toks_array[-1].tr_tok is not tok:
        top = repr(td.td_toks_array[-1].tr_tok) if td.td_toks_array else "none"
        tok.machine.fail("lock-misuse", f"{tok} released out of order", [f"{td.cpu} holds on top: {top}"])
    return td.td_toks_array[-1]


def lwkt_token_swap(machine: Services) -> None:
    """Exchange the two tokens on top of the stack, so that the lower one can be released first."""
    td = curthread(machine)
    if len(td.td_toks_array) < 2:
        machine.panic("lwkt_token_swap with fewer than two tokens")
    ref1, ref2 = td.td_toks_array[-1], td.td_toks_array[-2]
    tok1, tok2 = ref1.tr_tok, ref2.tr_tok
    if tok1 is tok2:
        return
    ref1.tr_tok, ref2.tr_tok = tok2, tok1
    ref1.tr_count, ref2.tr_count = ref2.tr_count, ref1.tr_count
    if not isinstance(tok1, ExactToken) or not isinstance(tok2, ExactToken):
        return
    if tok1.t_ref.load() is ref1:
        tok1.t_ref.store(ref2)
    if tok2.t_ref.load() is ref2:
        tok2.t_ref.store(ref1)


def lwkt_getpooltoken(machine: Services, ident: Any) -> Token:
    """Take the pool token that `ident` hashes to, and return it."""
    key = ident if isinstance(ident, int) else getattr(ident, "ident", None)
    if key is None:
        key = zlib.crc32(str(ident).encode())
    slot = key * 2654435761 % (1 << 32) % LWKT_NUM_POOL_TOKENS
    tok: Token = machine.pool_token_of(slot)
    tok.acquire()
    return tok


def lwkt_relalltokens(td: Thread) -> None:
    """Release what is owned, from the top, leaving the refs on the stack."""
    refs = td.td_toks_array
    have = len(refs) if td.td_toks_have is None else td.td_toks_have
    for ref in reversed(refs[:have]):
        ref.tr_tok._drop_ref(ref, td)
    td.td_toks_have = None


def lwkt_getalltokens(td: Thread, failures: int) -> bool:
    """Take every token of the stack again, or none.

    In stack order at first; after some failures in a fixed order, so that two threads cannot take
    each other's first one for ever.  The order is stable: of equal tokens the deepest ref comes
    first, because only that one may become `t_ref`.
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


def leave_tokens(machine: Services, what: str) -> None:
    """A blocking point begins: all tokens of the running CPU go."""
    td = curthread(machine)
    for hook in machine.hooks.blocking:
        hook(td.cpu, what)
    lwkt_relalltokens(td)


def regain_tokens(machine: Services) -> None:
    """The blocking point is over: all tokens come back, or the CPU waits for that."""
    td = curthread(machine)
    if td.td_toks_array:
        td.td_toks_array[0].tr_tok._get_all(td)


# -- switching ------------------------------------------------------------------------------------


def lwkt_switch(td: Thread, code: int = ops.RESUME, timeout: int | None = None) -> WaitEnd:
    """Give the CPU away: all tokens go, the thread sleeps if descheduled, all tokens come back.

    `timeout` in ticks bounds a descheduled sleep.  Returns how the sleep ended.
    Locks: no spinlock may be held.
    """
    machine = td.cpu.machine
    for hook in machine.hooks.blocking:
        hook(td.cpu, "lwkt_switch")
    if td.gd_spinlocks:
        machine.panic("lwkt_switch with a spinlock held")
    if td.td_toks_array:
        lwkt_relalltokens(td)
    else:
        td.td_toks_have = None
    how = _descheduled(td, code, timeout)
    if td.td_toks_array:
        td.td_toks_array[0].tr_tok._get_all(td)
    return how


def _descheduled(td: Thread, code: int, timeout: int | None) -> WaitEnd:
    """Idle until scheduled, taking IPIs meanwhile."""
    machine = td.cpu.machine
    engine = machine.engine
    deadline = None if timeout is None else engine.ticks + timeout
    while True:
        td.idle = True  # before anything is looked at: whoever acts after that wakes us
        if td.ipiq:
            td.idle = False
            lwkt_process_ipiq(td)
            continue
        if not td.td_flags & TDF_TSLEEP_DESCHEDULED:
            td.idle = False
            return WaitEnd.GRANTED
        how = engine.sleep(code, None if deadline is None else deadline - engine.ticks)
        td.idle = False
        if how:
            return how


class Token(Lock):
    """What both depths offer."""

    kind = "token"
    sleepable = True

    def try_acquire(self) -> bool:
        """Take it exclusively if that needs no waiting."""
        raise NotImplementedError

    def acquire_shared(self) -> None:
        """Take it shared."""
        raise NotImplementedError

    def held(self) -> bool:
        """Whether the running CPU owns it exclusively (LWKT_TOKEN_HELD_EXCL)."""
        return self.engine.current.holds(self, EXCLUSIVE)

    def held_shared(self) -> bool:
        """Whether the running CPU owns it in any mode."""
        return any(hold.lock is self for hold in self.engine.current.held)

    def _drop_ref(self, ref: TokRef, td: Thread) -> None:
        """Stop owning `ref`, which stays on the stack."""
        raise NotImplementedError

    def _get_all(self, td: Thread) -> None:
        """Own every ref of the stack again."""
        raise NotImplementedError


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

    def _drop_ref(self, ref: TokRef, td: Thread) -> None:
        _lwkt_reltokref(ref, td)

    def _get_all(self, td: Thread) -> None:
        failures = 0
        while not lwkt_getalltokens(td, failures):
            failures += 1
            if td.cpu.wants is None:
                td.cpu.wants = Wait(td.td_toks_array[-1].tr_tok, WaitMode.ALL_TOKENS)
            self.machine.pause()
        if td.cpu.wants is not None and td.cpu.wants.mode is WaitMode.ALL_TOKENS:
            td.cpu.wants = None

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


class AtomicToken(Token):
    """The same contract in one step each.

    All tokens of a machine share one gate: taking several again is one step that is enabled when
    all of them can be had.
    """

    def __init__(self, machine: Services, name: str | None = None) -> None:
        super().__init__(machine, name)
        self._gate = machine.token_gate
        self._code = self.ident << ops.KIND_BITS
        # invariant: owner is the one CPU with exclusive refs; users counts refs by CPU index
        self._owner: Cpu | None = None
        self._users: dict[int, int] = {}

    def _grantable(self, cpu: Cpu, exclusive: bool) -> bool:
        if self._owner is not None:
            return self._owner is cpu
        return not exclusive or not self._users

    def _can_exclusive(self, cpu: Cpu) -> bool:
        return self._grantable(cpu, True)

    def _can_shared(self, cpu: Cpu) -> bool:
        return self._grantable(cpu, False)

    def _take_ref(self, ref: TokRef, cpu: Cpu, tried: bool = False) -> None:
        if ref.tr_count & TOK_EXCLUSIVE and self._owner is cpu:
            ref.tr_count &= ~TOK_EXCLUSIVE  # recursion only counts
        if ref.tr_count & TOK_EXCLUSIVE:
            self._owner = cpu
        self._users[cpu.index] = self._users.get(cpu.index, 0) + 1
        self.note_acquired(cpu, ref.mode, tried)

    def _give_ref(self, ref: TokRef, cpu: Cpu) -> None:
        self.note_released(cpu, ref.mode)
        if ref.tr_count & TOK_EXCLUSIVE:
            self._owner = None
        left = self._users[cpu.index] - 1
        if left:
            self._users[cpu.index] = left
        else:
            del self._users[cpu.index]

    def _acquire(self, mode: int) -> None:
        td = curthread(self.machine)
        cpu = td.cpu
        exclusive = bool(mode & TOK_EXCLUSIVE)
        name = EXCLUSIVE if exclusive else SHARED
        can = self._can_exclusive if exclusive else self._can_shared
        self.note_wanted(cpu, name)
        if not can(cpu):
            self.contested += 1
        ref = _push(td, self, mode)
        if len(td.td_toks_array) == 1:  # nothing to lose meanwhile, so waiting is one step too
            code = self._code | (ops.ACQUIRE if exclusive else ops.ACQUIRE_SHARED)
            self._gate.enter(code, can, lambda cpu: self._take_ref(ref, cpu), Wait(self, name))
            return

        def attempt(cpu: Cpu) -> bool:
            if not can(cpu):
                self.engine.failed()
                return False
            self._take_ref(ref, cpu)
            return True

        code = self._code | (ops.TRY_ACQUIRE if exclusive else ops.TRY_ACQUIRE_SHARED)
        if not self._gate.alter(code, attempt):
            # A contested get is a blocking point: the tokens held so far go and come back with it.
            td.td_toks_have = len(td.td_toks_array) - 1
            cpu.wants = Wait(self, name)
            lwkt_switch(td)

    def acquire(self) -> None:
        self._acquire(TOK_EXCLUSIVE | TOK_EXCLREQ)

    def acquire_shared(self) -> None:
        self._acquire(TOK_EXCLREQ)

    def try_acquire(self) -> bool:
        td = curthread(self.machine)

        def attempt(cpu: Cpu) -> bool:
            if not self._grantable(cpu, True):
                self.engine.failed()
                return False
            self._take_ref(_push(td, self, TOK_EXCLUSIVE | TOK_EXCLREQ), cpu, tried=True)
            return True

        return bool(self._gate.alter(self._code | ops.TRY_ACQUIRE, attempt))

    def release(self) -> None:
        td = curthread(self.machine)
        ref = _top(self, td)

        def drop(cpu: Cpu) -> None:
            self._give_ref(ref, cpu)
            td.td_toks_array.pop()

        self._gate.alter(self._release_code(ref), drop)

    def _drop_ref(self, ref: TokRef, td: Thread) -> None:
        self._gate.alter(self._release_code(ref), lambda cpu: self._give_ref(ref, cpu))

    def _release_code(self, ref: TokRef) -> int:
        return self._code | (ops.RELEASE if ref.tr_count & TOK_EXCLUSIVE else ops.RELEASE_SHARED)

    def _get_all(self, td: Thread) -> None:
        refs = td.td_toks_array

        def all_free(cpu: Cpu) -> bool:
            return all(ref.tr_tok._grantable(cpu, bool(ref.tr_count & TOK_EXCLUSIVE)) for ref in refs)

        def take_all(cpu: Cpu) -> None:
            for ref in refs:
                ref.tr_tok._take_ref(ref, cpu)

        self._gate.enter(
            self._code | ops.REACQUIRE, all_free, take_all, Wait(refs[-1].tr_tok, WaitMode.ALL_TOKENS)
        )
