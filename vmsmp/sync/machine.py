"""A machine with the kernel's primitives: it makes every lock, count and sleep queue of a program.

So their depth, "atomic" or "exact", is chosen in one place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vmsmp.sync.allocation import Allocation
from vmsmp.sync.barrier import AtomicBarrier, Barrier, ExactBarrier
from vmsmp.sync.callout import AtomicCallout, Callout, ExactCallout, Softclock
from vmsmp.sync.condvar import AtomicCondvar, Condvar, ExactCondvar
from vmsmp.sync.errno import EINTR, ERESTART, PDOMAIN_MASK, PWAKEUP_MYCPU, PWAKEUP_ONE
from vmsmp.sync.futex import ALL, AtomicFutexes, ExactFutexes, Futexes, futex_word
from vmsmp.sync.ipiq import lwkt_send_ipiq, lwkt_send_ipiq_mask, lwkt_synchronize_ipiqs, lwkt_wait_ipiq
from vmsmp.sync.lock import Lock
from vmsmp.sync.lockmgr import AtomicLockmgr, ExactLockmgr, LockmgrLock
from vmsmp.sync.mutex import AtomicMutex, ExactMutex, Mutex
from vmsmp.sync.refcount import AtomicRefcount, ExactRefcount
from vmsmp.sync.rwlock import AtomicRwLock, ExactRwLock, RwLock
from vmsmp.sync.semaphore import AtomicSemaphore, ExactSemaphore, Semaphore
from vmsmp.sync.services import Services
from vmsmp.sync.sleepq import (
    AtomicSleepQueues,
    ExactSleepQueues,
    SleepQueues,
    lksleep,
    mtxsleep,
    ssleep,
    zsleep,
)
from vmsmp.sync.spinlock import AtomicSpinlock, ExactSpinlock, Spinlock
from vmsmp.sync.thread import thread_of
from vmsmp.sync.token import AtomicToken, ExactToken, Token, lwkt_getpooltoken, lwkt_token_swap

if TYPE_CHECKING:
    from vmsmp.engine.cpu import Cpu
    from vmsmp.engine.hooks import Hooks
    from vmsmp.engine.options import Options
    from vmsmp.engine.protocol import Engine
    from vmsmp.sync.atomic import Atomic

#: How a report shows this module's frames (`engine.source`).
FRAMES = "machinery"


class SyncMachine(Services):
    """One execution of one program, with shared memory, locks, tokens and sleep queues."""

    def __init__(
        self,
        engine: Engine[Cpu],
        *,
        seed: int = 0,
        options: Options | None = None,
        hooks: Hooks | None = None,
    ) -> None:
        super().__init__(engine, seed=seed, options=options, hooks=hooks)
        self._sleepq: SleepQueues | None = None
        self._futexes: Futexes | None = None
        self._softclock: Softclock | None = None
        #: All memory that the program allocated, by CPU and in order, for the check for leaks.
        self.allocations: dict[int, list[Allocation]] = {}
        self._pool_tokens: dict[int, Token] = {}

    # -- locks ----------------------------------------------------------------------------------

    def spinlock(self, name: str | None = None, *, ident: int | None = None) -> Spinlock:
        """A spinlock, exclusive and shared.  If an `ident` is reserved, so is the next one, for its word."""
        return (ExactSpinlock if self.exact else AtomicSpinlock)(self, name, ident)

    def token(self, name: str | None = None) -> Token:
        """An LWKT token: lost at every blocking point, taken again with all others."""
        return ExactToken(self, name) if self.exact else AtomicToken(self, name)

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
        """Exchange the two tokens taken last, so that the older one can be released first."""
        lwkt_token_swap(self)

    def lockmgr(self, name: str | None = None, timo: int = 0, flags: int = 0) -> LockmgrLock:
        """A lockmgr lock; `timo` in ticks bounds requests with LK_TIMELOCK, `flags` go with each of them."""
        return (ExactLockmgr if self.exact else AtomicLockmgr)(self, name, timo, flags)

    def mutex(self, name: str | None = None) -> Mutex:
        """The kernel's mtx: `.lock() .lock_shared() .try_lock() .unlock()`."""
        return ExactMutex(self, name) if self.exact else AtomicMutex(self, name)

    def refcount(self, value: int = 0, name: str | None = None) -> ExactRefcount | AtomicRefcount:
        """A reference count that can be waited for."""
        return (ExactRefcount if self.exact else AtomicRefcount)(self, value, name)

    # -- for protocols of users -----------------------------------------------------------------

    def condvar(self, name: str | None = None) -> Condvar:
        """A condition variable: `.wait(lock, timo=0) .signal() .broadcast()`."""
        return ExactCondvar(self, name) if self.exact else AtomicCondvar(self, name)

    def semaphore(self, n: int, name: str | None = None) -> Semaphore:
        """A semaphore of `n` units: `.acquire(timo=0) .try_acquire() .release()`."""
        if self.exact:
            return ExactSemaphore(self, n, name, self.futexes)
        return AtomicSemaphore(self, n, name)

    def barrier(self, n: int, name: str | None = None) -> Barrier:
        """A barrier that opens when `n` CPUs have arrived: `.wait()`."""
        return ExactBarrier(self, n, name, self.futexes) if self.exact else AtomicBarrier(self, n, name)

    def rwlock(self, name: str | None = None) -> RwLock:
        """A reader-writer lock that prefers writers."""
        return ExactRwLock(self, name, self.futexes) if self.exact else AtomicRwLock(self, name)

    def allocate(self, name: str | None = None, /, **fields: Any) -> Allocation:
        """A record of cells with these values, until its `free`."""
        thing = Allocation(self, name, fields)
        self.allocations.setdefault(self.engine.current.index, []).append(thing)
        return thing

    @property
    def futexes(self) -> Futexes:
        """The queues of all words that CPUs wait on."""
        if self._futexes is None:
            with self.making:
                if self._futexes is None:
                    self._futexes = ExactFutexes(self) if self.exact else AtomicFutexes(self)
        return self._futexes

    def futex_wait(self, atomic: Atomic, expected: Any, timo: int = 0) -> int:
        """Sleep if `atomic` is `expected`, until a wake; 0, EAGAIN, EWOULDBLOCK or EINTR."""
        return self.futexes.wait(futex_word(atomic), expected, timo)

    def futex_wake(self, atomic: Atomic, n: int = 1) -> int:
        """Wake up to `n` CPUs that wait on `atomic`; return how many."""
        return self.futexes.wake(futex_word(atomic), n)

    def futex_requeue(
        self, atomic: Atomic, target: Atomic, wake: int = 1, requeue: int = ALL, expected: Any = None
    ) -> int:
        """Wake some CPUs that wait on `atomic`, and move others to `target` (see `Futexes.requeue`)."""
        return self.futexes.requeue(futex_word(atomic), futex_word(target), wake, requeue, expected)

    @property
    def softclock(self) -> Softclock:
        """What calls the machine's callouts."""
        if self._softclock is None:
            with self.making:
                self._softclock = self._softclock or Softclock(self)
        return self._softclock

    def callout(self, name: str | None = None, lock: LockmgrLock | None = None) -> Callout:
        """A function that is called later: `.reset(ticks, func, *args) .stop() .cancel() .terminate()`.

        With a `lock` it is called with that held (callout_init_lk).
        """
        return (ExactCallout if self.exact else AtomicCallout)(self, self.softclock, name, lock)

    # -- functions on other CPUs ----------------------------------------------------------------

    def send_ipiq(self, cpu: Cpu, func: Callable[..., object], *args: Any) -> int:
        """Make `cpu` call `func(*args)` sooner or later; return a number for `wait_ipiq`."""
        return lwkt_send_ipiq(self, thread_of(self, cpu), func, *args)

    def send_ipiq_mask(self, mask: int, func: Callable[..., object], *args: Any) -> int:
        """Make every CPU of the mask, this one first, call `func(*args)`; return how many these are."""
        return lwkt_send_ipiq_mask(self, mask, func, *args)

    def wait_ipiq(self, cpu: Cpu, seq: int) -> None:
        """Spin until `cpu` has done what was sent to it up to that number."""
        lwkt_wait_ipiq(self, thread_of(self, cpu), seq)

    def synchronize_ipiqs(self, wmesg: str = "synci") -> None:
        """Sleep until every other CPU has done what was sent to it before."""
        lwkt_synchronize_ipiqs(self, wmesg)

    def splz(self) -> None:
        """Take the IPIs that have come for this CPU, as the kernel's CPU does at any instruction."""
        self.take_interrupts(self.engine.current)

    # -- sleeping -------------------------------------------------------------------------------

    @property
    def sleepq(self) -> SleepQueues:
        """The machine's sleep queues."""
        if self._sleepq is None:
            with self.making:
                if self._sleepq is None:
                    self._sleepq = ExactSleepQueues(self) if self.exact else AtomicSleepQueues(self)
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
        """Sleep on `ident` until a wakeup; 0, EWOULDBLOCK or EINTR (see `Services.tsleep`)."""
        return self.sleepq.tsleep(ident, flags, wmesg, timo, overdue)

    def ssleep(self, ident: Any, spin: Spinlock, flags: int = 0, wmesg: str = "", timo: int = 0) -> int:
        """As `tsleep`, with the spinlock released meanwhile; it is held exclusively on return."""
        return ssleep(self, ident, spin, flags, wmesg, timo)

    def lksleep(self, ident: Any, lkp: LockmgrLock, flags: int = 0, wmesg: str = "", timo: int = 0) -> int:
        """As `tsleep`, with the lockmgr lock released meanwhile; it is requested exclusively again."""
        return lksleep(self, ident, lkp, flags, wmesg, timo)

    def mtxsleep(self, ident: Any, mtx: Mutex, flags: int = 0, wmesg: str = "", timo: int = 0) -> int:
        """As `tsleep`, with the mutex released meanwhile; it is held exclusively on return."""
        return mtxsleep(self, ident, mtx, flags, wmesg, timo)

    def zsleep(self, ident: Any, slz: Lock, flags: int = 0, wmesg: str = "", timo: int = 0) -> int:
        """As `tsleep`, with the lock `slz`, which stands for a serializer, released meanwhile."""
        return zsleep(self, ident, slz, flags, wmesg, timo)

    def wakeup(self, ident: Any, domain: int = 0) -> None:
        """Wake every CPU that sleeps on `ident` in that domain (bits of PDOMAIN_MASK)."""
        self.sleepq.wakeup(ident, domain & PDOMAIN_MASK)

    def wakeup_one(self, ident: Any, domain: int = 0) -> None:
        """Wake one thread of every CPU that sleeps on `ident`."""
        self.sleepq.wakeup(ident, domain & PDOMAIN_MASK | PWAKEUP_ONE)

    def wakeup_domain(self, ident: Any, domain: int) -> None:
        """As `wakeup`, of those that sleep in `domain`."""
        self.wakeup(ident, domain)

    def wakeup_domain_one(self, ident: Any, domain: int) -> None:
        """As `wakeup_one`, of those that sleep in `domain`."""
        self.wakeup_one(ident, domain)

    def wakeup_mycpu(self, ident: Any) -> None:
        """Wake the threads of the running CPU only."""
        self.sleepq.wakeup(ident, PWAKEUP_MYCPU)

    def wakeup_mycpu_one(self, ident: Any) -> None:
        """Wake one thread of the running CPU only."""
        self.sleepq.wakeup(ident, PWAKEUP_MYCPU | PWAKEUP_ONE)

    def wakeup_oncpu(self, cpu: Cpu, ident: Any) -> None:
        """Wake the threads of `cpu` that sleep on `ident`; masks and hints are ignored."""
        self.sleepq.wakeup_oncpu(thread_of(self, cpu), ident, PWAKEUP_MYCPU)

    def wakeup_oncpu_one(self, cpu: Cpu, ident: Any) -> None:
        """As `wakeup_oncpu`, of one thread."""
        self.sleepq.wakeup_oncpu(thread_of(self, cpu), ident, PWAKEUP_MYCPU | PWAKEUP_ONE)

    def signal(self, cpu: Cpu, restart: bool = False) -> None:
        """Interrupt the PCATCH sleep of `cpu`, this one or its next.

        The sleep ends with EINTR, or with ERESTART if the call that it is part of is to be restarted.
        """
        self.sleepq.signal(thread_of(self, cpu), ERESTART if restart else EINTR)
