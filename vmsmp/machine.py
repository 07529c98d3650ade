"""The machine a program sees: CPUs from the engine, and the kernel's primitives on top.

Everything a program shares is made here, so that one place decides about its depth ("atomic" or
"exact") and about the engine's flavour of a word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from vmsmp.engine.cpu import Cpu
from vmsmp.engine.hooks import Hooks
from vmsmp.engine.machine import Machine as BareMachine
from vmsmp.engine.protocol import Engine
from vmsmp.engine.schedule import Options
from vmsmp.errors import UsageError
from vmsmp.findings import check_repairs
from vmsmp.sync.atomic import Atomic, FreeAtomic
from vmsmp.sync.cell import Cell
from vmsmp.sync.errno import PDOMAIN_MASK, PWAKEUP_ONE
from vmsmp.sync.lockmgr import ExactLockmgr
from vmsmp.sync.lockmgr_atomic import AtomicLockmgr
from vmsmp.sync.lockmgr_lock import LockmgrLock
from vmsmp.sync.refcount import AtomicRefcount, ExactRefcount
from vmsmp.sync.sleepq import AtomicSleepQueues, ExactSleepQueues, SleepQueues
from vmsmp.sync.spinlock import AtomicSpinlock, ExactSpinlock, Spinlock
from vmsmp.sync.thread import curthread
from vmsmp.sync.token import (
    AtomicToken,
    ExactToken,
    Token,
    lwkt_getpooltoken,
    lwkt_relalltokens,
    lwkt_token_swap,
)

if TYPE_CHECKING:
    from vmsmp.vm.vm_init import VmSystem

#: What a report makes of this module's frames (`engine.source`).
FRAMES = "machinery"
T = TypeVar("T")


class Machine(BareMachine):
    """One execution of one program, with shared memory, locks, tokens and sleep queues.

    `locks` ("atomic" or "exact") and `repairs` come on top of `options`.
    """

    def __init__(
        self,
        engine: Engine[Cpu],
        *,
        seed: int = 0,
        options: Options | None = None,
        hooks: Hooks | None = None,
        locks: str | None = None,
        repairs: Iterable[str] = (),
    ) -> None:
        options = options or Options()
        if locks is not None or repairs:
            options = replace(
                options, locks=locks or options.locks, repairs=options.repairs | check_repairs(repairs)
            )
        super().__init__(engine, seed=seed, options=options, hooks=hooks)
        self._exact = self.options.locks == "exact"
        self._atomic = FreeAtomic if engine.parallel else Atomic
        self._sleepq: SleepQueues | None = None
        #: Held while something is made by whoever needs it first.
        self.making = engine.host_lock()
        self._token_gate: Any = None
        self._pool_tokens: dict[int, Token] = {}
        #: The VM subsystem, once booted.
        self.vm: VmSystem | None = None

    # -- shared memory --------------------------------------------------------------------------

    def cell(self, value: T, name: str | None = None) -> Cell[T]:
        """Plain shared memory; two unordered accesses, one a store, are a data race."""
        return Cell(self, value, name)

    def atomic(
        self,
        value: Any,
        name: str | None = None,
        format: Callable[[Any], str] = repr,
        *,
        ident: int | None = None,
    ) -> Atomic:
        """A word with atomic operations; `format` puts its value into words for a report.

        `ident` is an identity reserved for it, here as for the locks below.
        """
        return self._atomic(self, value, name, format, ident)

    # -- locks ----------------------------------------------------------------------------------

    def spinlock(self, name: str | None = None, *, ident: int | None = None) -> Spinlock:
        """A spinlock, exclusive and shared.  A reserved `ident` is followed by one for its word."""
        return (ExactSpinlock if self._exact else AtomicSpinlock)(self, name, ident)

    def token(self, name: str | None = None) -> Token:
        """An LWKT token: lost at every blocking point, taken again with all others."""
        return ExactToken(self, name) if self._exact else AtomicToken(self, name)

    def pool_token(self, ident: Any) -> Token:
        """Take the pool token that `ident` hashes to, and return it."""
        return lwkt_getpooltoken(self, ident)

    def pool_token_of(self, slot: int) -> Token:
        """The pool token in that slot of the hash, made when first asked for."""
        with self.making:
            if slot not in self._pool_tokens:
                self._pool_tokens[slot] = self.token(f"pool[{slot}]")
            return self._pool_tokens[slot]

    def token_swap(self) -> None:
        """Exchange the two tokens taken last, so that the older can be released first."""
        lwkt_token_swap(self)

    def lockmgr(self, name: str | None = None, timo: int = 0) -> LockmgrLock:
        """A lockmgr lock; `timo` in ticks bounds requests with LK_TIMELOCK."""
        return ExactLockmgr(self, name, timo) if self._exact else AtomicLockmgr(self, name, timo)

    def refcount(self, value: int = 0, name: str | None = None) -> ExactRefcount | AtomicRefcount:
        """A reference count that can be waited for."""
        return (ExactRefcount if self._exact else AtomicRefcount)(self, value, name)

    @property
    def token_gate(self) -> Any:
        """Where CPUs wait for tokens of the atomic depth."""
        if self._token_gate is None:
            with self.making:
                self._token_gate = self._token_gate or self.engine.gate()
        return self._token_gate

    def leave_tokens(self, what: str) -> None:
        """A blocking point begins: all tokens of the running CPU go."""
        td = curthread(self)
        for hook in self.hooks.blocking:
            hook(td.cpu, what)
        lwkt_relalltokens(td)

    def regain_tokens(self) -> None:
        """The blocking point is over: all tokens come back, or the CPU waits for that."""
        td = curthread(self)
        if td.td_toks_array:
            td.td_toks_array[0].tr_tok._get_all(td)

    # -- memory ---------------------------------------------------------------------------------

    def boot(self, pages: int = 64, l2_size: int = 4, **sizes: Any) -> VmSystem:
        """Boot the machine's memory: `pages` of 4096 bytes, queues of `l2_size` colours.

        Further sizes, scaled down or as in the kernel: `set_assoc_mask` (colours searched before
        widening, less one), `topology` (sockets, cores, threads; CPUs from 1 on are numbered through
        them), `adj_limit` (pages that a CPU may count on its own), `hash_size` and `hash_set` (elements
        and ways of the page hash), `scan_yield` (pages between two yields of a scan).
        Raises: UsageError for sizes that cannot be, or for a second boot.
        """
        from vmsmp.vm.vm_init import VmSystem

        if self.vm is not None:
            raise UsageError("this machine has booted already")
        self.vm = VmSystem(self, pages=pages, l2_size=l2_size, **sizes)
        return self.vm

    # -- sleeping -------------------------------------------------------------------------------

    @property
    def sleepq(self) -> SleepQueues:
        """The machine's sleep queues."""
        if self._sleepq is None:
            with self.making:
                if self._sleepq is None:
                    self._sleepq = ExactSleepQueues(self) if self._exact else AtomicSleepQueues(self)
        return self._sleepq

    def tsleep_interlock(self, ident: Any, flags: int = 0) -> None:
        """Announce that this CPU may sleep on `ident`: a wakeup from now on is not lost."""
        self.sleepq.interlock(ident, flags)

    def tsleep(
        self,
        ident: Any,
        flags: int = 0,
        wmesg: str = "",
        timo: int = 0,
        *,
        overdue: Callable[[], str | None] | None = None,
    ) -> int:
        """Sleep on `ident` until a wakeup; 0, EWOULDBLOCK or EINTR.

        A blocking point: all tokens are lost and taken again.  `timo` in ticks, 0 for none.  Returns
        0 at once if PINTERLOCKED and a wakeup came since the interlock, and may return 0 for no
        reason.  `overdue` tells a checker why the sleep should be over, if it should.
        """
        return self.sleepq.tsleep(ident, flags, wmesg, timo, overdue)

    def wakeup(self, ident: Any, domain: int = 0) -> None:
        """Wake every CPU that sleeps on `ident` in that domain (bits of PDOMAIN_MASK)."""
        self.sleepq.wakeup(ident, domain & PDOMAIN_MASK)

    def wakeup_one(self, ident: Any, domain: int = 0) -> None:
        """Wake at least one CPU that sleeps on `ident`, if there is one."""
        self.sleepq.wakeup(ident, domain & PDOMAIN_MASK | PWAKEUP_ONE)

    def signal(self, cpu: Cpu) -> None:
        """Interrupt a sleep of `cpu` with PCATCH, now or when it comes to one."""
        if cpu.td is not None:
            self.sleepq.signal(cpu.td)
