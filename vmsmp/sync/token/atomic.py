"""The token contract without its algorithm: each get or release is one step, granted by the engine."""

from __future__ import annotations

from vmsmp.engine import ops
from vmsmp.engine.cpu import Cpu
from vmsmp.engine.wait import Wait, WaitMode
from vmsmp.sync.lock import EXCLUSIVE, SHARED
from vmsmp.sync.services import Services
from vmsmp.sync.thread import TOK_EXCLREQ, TOK_EXCLUSIVE, Thread, TokRef, curthread
from vmsmp.sync.token.lock import Token
from vmsmp.sync.token.stack import push_ref, top_ref
from vmsmp.sync.token.switch import lwkt_switch


class AtomicToken(Token):
    """The same contract in one step each.

    All tokens of a machine share one gate: taking several again is one step, possible when all of
    them are free.
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
        ref = push_ref(td, self, mode)
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
            # A contested get is a blocking point: the tokens held so far are lost, and taken again with it.
            td.td_toks_have = len(td.td_toks_array) - 1
            cpu.wants = Wait(self, name)
            lwkt_switch(td)

    def check_word(self) -> str | None:
        """INV-TK1, INV-TK2 and INV-TK4, on the fields that stand for the word."""
        if not self.holders and self._owner is None and not self._users:
            return None  # the usual case
        owners, counts = self.holds_of(EXCLUSIVE), self.holds_of(SHARED)
        if owners != ({} if self._owner is None else {self._owner.index: 1}):
            return f"{self._owner} is its owner, but it is held exclusively by {sorted(owners)}"
        uses = {n: owners.get(n, 0) + counts.get(n, 0) for n in {*owners, *counts}}
        if uses != self._users or (owners and len(uses) > 1):
            return f"it is used {self._users}, by CPU, but held {uses}"
        asleep = [cpu for cpu, _ in self.holders if cpu.td.idle]
        return f"{asleep[0]} sleeps and owns it" if asleep else None

    def check_rest(self) -> str | None:
        """INV-TK6."""
        return "nobody uses it but it is not free" if self._owner or self._users else None

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
            self._take_ref(push_ref(td, self, TOK_EXCLUSIVE | TOK_EXCLREQ, tried=True), cpu, tried=True)
            return True

        return bool(self._gate.alter(self._code | ops.TRY_ACQUIRE, attempt))

    def held_any(self) -> bool:
        self.machine.point(self._code | ops.ATOMIC_LOAD)
        return self._owner is self.engine.current or (self._owner is None and bool(self._users))

    def held_excl(self) -> bool:
        self.machine.point(self._code | ops.ATOMIC_LOAD)
        return self._owner is self.engine.current

    def release(self) -> None:
        td = curthread(self.machine)
        ref = top_ref(td, self)

        def drop(cpu: Cpu) -> None:
            self._give_ref(ref, cpu)
            td.td_toks_array.pop()

        self._gate.alter(self._release_code(ref), drop)

    def drop_ref(self, ref: TokRef, td: Thread) -> None:
        self._gate.alter(self._release_code(ref), lambda cpu: self._give_ref(ref, cpu))

    def _release_code(self, ref: TokRef) -> int:
        return self._code | (ops.RELEASE if ref.tr_count & TOK_EXCLUSIVE else ops.RELEASE_SHARED)

    def regain_all(self, td: Thread) -> None:
        refs = td.td_toks_array

        def all_free(cpu: Cpu) -> bool:
            return all(ref.tr_tok._grantable(cpu, bool(ref.tr_count & TOK_EXCLUSIVE)) for ref in refs)

        def take_all(cpu: Cpu) -> None:
            for ref in refs:
                ref.tr_tok._take_ref(ref, cpu)

        self._gate.enter(
            self._code | ops.REACQUIRE, all_free, take_all, Wait(refs[-1].tr_tok, WaitMode.ALL_TOKENS)
        )
