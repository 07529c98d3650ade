"""The lockmgr contract without its algorithm: each request is one step, or two if it has to wait.

Keeps what callers may rely on: exclusion, recursion, an EXCLUPGRADE or downgrade with nobody in
between, one upgrader at a time, new readers that let waiting writers go first while readers hold
the lock, and the error numbers.
A request that waits is woken as the kernel's is: by grants, by the broadcasts that concern others, and,
if it asks for the lock exclusively with LK_SLEEPFAIL, by any change of the word before it sleeps.
Deviations:
  * waiters are granted in any order, so every behaviour of the exact lock is one of this lock.
  * a timeout starts afresh after a spurious wakeup.
  * a lock that is granted to a request which gives up is free at once; in the kernel it is held by no
    thread for a while.
  * a cancellation ends with every last exclusive release.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from vmsmp.engine import ops
from vmsmp.engine.cpu import Cpu
from vmsmp.engine.wait import Wait, WaitEnd, WaitMode
from vmsmp.sync.errno import (
    EBUSY,
    ENOLCK,
    EWOULDBLOCK,
    LK_CANCEL_BEG,
    LK_CANCEL_END,
    LK_CANCELABLE,
    LK_CANRECURSE,
    LK_DOWNGRADE,
    LK_EXCLUPGRADE,
    LK_EXCLUSIVE,
    LK_NOWAIT,
    LK_PCATCH,
    LK_RELEASE,
    LK_SHARED,
    LK_SLEEPFAIL,
    LK_TIMELOCK,
    LK_TYPE_MASK,
    LK_UPGRADE,
)
from vmsmp.sync.lock import EXCLUSIVE, SHARED, UPGRADE
from vmsmp.sync.lockmgr.lock import LockmgrLock
from vmsmp.sync.lockmgr.word import LKC_EXREQ, LKC_EXREQ2, LKC_SCOUNT, LKC_SHARED, LKC_UPREQ
from vmsmp.sync.services import Services
from vmsmp.sync.thread import TDF_DEADLKTREAT, Thread, cursig, curthread
from vmsmp.sync.token import leave_tokens, regain_tokens

#: Instead of an error: the request waits, counted or not counted yet; or it is the owner's recursion.
COUNTED: Final = -2
UNCOUNTED: Final = -3
RECURSION: Final = -4


class AtomicLockmgr(LockmgrLock):
    """A lockmgr lock granted by the engine."""

    def __init__(self, machine: Services, name: str | None = None, timo: int = 0, flags: int = 0) -> None:
        super().__init__(machine, name, timo, flags)
        self._gate = machine.engine.gate()
        self._code = self.ident << ops.KIND_BITS
        # invariant: owner set => no readers; readers counts holds by CPU index
        self._owner: Cpu | None = None
        self._depth = 0
        self._readers: dict[int, int] = {}
        self._writers_waiting = 0
        self._upgrader: Cpu | None = None
        self._canceled = False
        # Readers that waited when an exclusive owner left: its release granted them the lock.
        self._readers_waiting: set[int] = set()
        self._admitted: set[int] = set()
        #: How often the word changed, and how often all that sleep on the lock were woken.
        self._changes = 0
        self._wakeups = 0
        #: What both were when a CPU's request was registered, by its index.
        self._seen: dict[int, tuple[int, int]] = {}

    def lock(self, flags: int) -> int:
        request = flags & LK_TYPE_MASK
        if request in (LK_SHARED, LK_EXCLUSIVE):
            return self._request(flags | self.lk_flags, request == LK_EXCLUSIVE)
        if request in (LK_UPGRADE, LK_EXCLUPGRADE):
            return self._upgrade(flags | self.lk_flags)
        change = {
            LK_RELEASE: (ops.RELEASE, self._drop),
            LK_DOWNGRADE: (ops.DOWNGRADE, self._weaken),
            LK_CANCEL_BEG: (ops.CANCEL, self._cancel_beg),
            LK_CANCEL_END: (ops.CANCEL, self._cancel_end),
        }.get(request)
        if change is None:
            self.machine.panic(f"lockmgr: unknown locktype request {request:#x}")
        self._gate.alter(self._code | change[0], change[1])
        return 0

    def read_count(self) -> int:
        """The word that the exact lock would have here."""
        return int(self._gate.alter(self._code | ops.ATOMIC_LOAD, self._count))

    def read_holder(self) -> Any:
        return None if self._owner is None else self._owner.td

    def _count(self, _cpu: Cpu) -> int:
        count = (sum(self._readers.values()) + len(self._readers_waiting)) * LKC_SCOUNT
        if self._owner is not None:
            return count | self._depth | (LKC_EXREQ2 if self._writers_waiting else 0)
        count |= LKC_SHARED | (LKC_UPREQ if self._upgrader is not None else 0)
        return count | (LKC_EXREQ if self._writers_waiting else 0)

    def check_word(self) -> str | None:
        """INV-LK1, INV-LK2 and INV-LK5, of what stands for the word."""
        owners, readers = self.holds_of(EXCLUSIVE), self.holds_of(SHARED)
        if owners != ({} if self._owner is None else {self._owner.index: self._depth}):
            return (
                f"{self._owner} is its owner {self._depth} times, but it is held exclusively {owners}, by CPU"
            )
        if readers != self._readers or (owners and readers):
            return f"it is read {self._readers}, by CPU, but held shared {readers}"
        return None

    def check_rest(self) -> str | None:
        """INV-LK3, and INV-LK4: no request is left."""
        if self._owner or self._readers or self._canceled:
            return "nobody uses it but it is not free"
        if self._writers_waiting or self._upgrader or self._readers_waiting or self._admitted:
            return "nobody uses it but it counts requests"
        return None

    # -- conditions -----------------------------------------------------------------------------

    def _impolite(self, cpu: Cpu) -> bool:
        return cpu.index in self._admitted or bool(cpu.td is not None and cpu.td.td_flags & TDF_DEADLKTREAT)

    def _yields(self, cpu: Cpu) -> bool:
        """Whether a new reader lets writers go first that wait for other readers."""
        writers = self._upgrader is not None or self._writers_waiting
        return bool(writers and self._readers and not self._impolite(cpu))

    def _can_shared(self, cpu: Cpu) -> bool:
        if self._owner is not None:
            return False
        writers = self._upgrader is not None or (self._writers_waiting and self._readers)
        return bool(self._impolite(cpu) or not writers)

    def _can_exclusive(self, _cpu: Cpu) -> bool:
        return self._owner is None and not self._readers and self._upgrader is None

    def _can_upgrade(self, _cpu: Cpu) -> bool:
        return self._owner is None and not self._readers

    # -- requests -------------------------------------------------------------------------------

    def _take(self, cpu: Cpu, mode: str, tried: bool = False) -> None:
        self._changes += 1
        if mode == EXCLUSIVE:
            self._owner = cpu
            self._depth = 1
        else:
            self._readers[cpu.index] = self._readers.get(cpu.index, 0) + 1
            self._admitted.discard(cpu.index)
        self.note_acquired(cpu, mode, tried)

    def _request(self, flags: int, exclusive: bool) -> int:
        mode = EXCLUSIVE if exclusive else SHARED
        can = self._can_exclusive if exclusive else self._can_shared

        def first(cpu: Cpu) -> int:
            if self._owner is cpu:
                if not flags & LK_CANRECURSE:
                    return EBUSY if flags & LK_NOWAIT else RECURSION
                self._changes += 1
                self._depth += 1
                self.note_acquired(cpu, EXCLUSIVE)
                return 0
            if can(cpu):
                self._take(cpu, mode, bool(flags & LK_NOWAIT))
                return 0
            if self._canceled and flags & LK_CANCELABLE:
                return ENOLCK
            if flags & LK_NOWAIT:
                return EBUSY
            if not exclusive and self._yields(cpu):
                return UNCOUNTED
            return self._register(cpu, exclusive)

        self.note_request(flags, mode)
        error = int(self._gate.alter(self._code | ops.REQUEST, first))
        if error == RECURSION:
            self.machine.panic(f"lockmgr: locking against myself: {self}")
        if error not in (COUNTED, UNCOUNTED):
            return error
        return self._wait(flags, mode, can, error)

    def _register(self, cpu: Cpu, exclusive: bool) -> int:
        """Register the request: other CPUs see it from now on."""
        self._changes += 1
        if exclusive:
            self._writers_waiting += 1
        else:
            self._readers_waiting.add(cpu.index)
        self._seen[cpu.index] = self._changes, self._wakeups
        return COUNTED

    def _withdraw(self, cpu: Cpu, mode: str) -> None:
        """Withdraw the request, which has been granted or gives up."""
        self._changes += 1
        if self._upgrader is cpu:
            self._upgrader = None
        elif mode == EXCLUSIVE:
            self._writers_waiting -= 1
        else:
            self._readers_waiting.discard(cpu.index)
            self._admitted.discard(cpu.index)

    def _wait(self, flags: int, mode: WaitMode, can: Callable[[Cpu], bool], how: int) -> int:
        """The second step of a request that has to wait, which has been registered unless UNCOUNTED."""
        machine = self.machine
        td = curthread(machine)
        self.note_contest(td)
        leave_tokens(machine, f"contested {self}")
        td.td_gate = self._gate
        error = self._wait_uncounted(flags, td) if how == UNCOUNTED else COUNTED
        if error == COUNTED:
            error = self._wait_counted(flags, td, mode, can)
        td.td_gate = None
        regain_tokens(machine)
        return error

    def _enter(
        self,
        flags: int,
        mode: WaitMode,
        ready: Callable[[Cpu], bool],
        finish: Callable[[Cpu], int],
        late: Callable[[Cpu], int],
    ) -> int:
        """Wait at the gate until `ready`, then `finish`; or until the timeout, then `late`."""
        timeout = self.lk_timo if flags & LK_TIMELOCK and self.lk_timo else None
        code = self._code | ops.SLEEP
        while True:
            result = self._gate.enter(code, ready, finish, Wait(self, mode), timeout)
            if result is not None:
                return int(result)
            if self.engine.current.wait_end is WaitEnd.TIMEOUT:
                return int(self._gate.alter(code, late))

    def _wait_uncounted(self, flags: int, td: Thread) -> int:
        """Let the writers go first; then a reader is granted the lock, or COUNTED, or fails."""

        def ready(cpu: Cpu) -> bool:
            return not self._yields(cpu) or _signalled(td, flags) or self._cancels(flags)

        def finish(cpu: Cpu) -> int:
            if _signalled(td, flags):
                return cursig(td)
            if not self._yields(cpu) and self._can_shared(cpu):
                self._take(cpu, SHARED)
                return 0
            return ENOLCK if self._cancels(flags) else self._register(cpu, exclusive=False)

        return self._enter(flags, SHARED, ready, finish, lambda _cpu: EWOULDBLOCK)

    def _wait_counted(self, flags: int, td: Thread, mode: WaitMode, can: Callable[[Cpu], bool]) -> int:
        """Wait until a registered request is granted or fails."""
        shared = mode == SHARED
        upgrade = self._upgrader is td.cpu
        changes, wakeups = self._seen[td.cpu.index]

        def ready(cpu: Cpu) -> bool:
            if can(cpu) or _signalled(td, flags) or self._cancels(flags):
                return True
            if not flags & LK_SLEEPFAIL:
                return False
            # As in the kernel, a writer fails as well if the word changed before it slept.
            any_change = mode == EXCLUSIVE and not upgrade
            return self._changes != changes if any_change else self._wakeups != wakeups

        def finish(cpu: Cpu) -> int:
            granted = can(cpu)
            self._withdraw(cpu, mode)
            error = cursig(td) if _signalled(td, flags) else 0
            if flags & LK_SLEEPFAIL:
                return error if error and not shared else ENOLCK
            if error and (shared or not granted):
                return error
            if not granted:
                return ENOLCK
            self._take(cpu, mode)
            return 0

        def late(cpu: Cpu) -> int:
            self._withdraw(cpu, mode)
            if not shared and self._readers:
                self._wakeups += 1
            return ENOLCK if shared and flags & LK_SLEEPFAIL else EWOULDBLOCK

        return self._enter(flags, mode, ready, finish, late)

    def _cancels(self, flags: int) -> bool:
        return bool(self._canceled and flags & LK_CANCELABLE)

    def _upgrade(self, flags: int) -> int:
        exclusive_only = flags & LK_TYPE_MASK == LK_EXCLUPGRADE

        def first(cpu: Cpu) -> int | None:
            if self._owner is cpu:
                return 0
            if self._owner is not None or not (self._readers or self._readers_waiting):
                self.machine.panic(f"lockmgr: upgrade unowned lock: {self}")
            self._unshare(cpu)
            if self._upgrader is not None:
                return EBUSY if exclusive_only or flags & LK_NOWAIT else RECURSION
            if not self._readers:
                self._take(cpu, EXCLUSIVE, bool(flags & LK_NOWAIT))
                return 0
            if flags & LK_NOWAIT:
                return EBUSY
            self._upgrader = cpu
            self._seen[cpu.index] = self._changes, self._wakeups
            return None

        self.note_request(flags, UPGRADE)
        error = self._gate.alter(self._code | ops.UPGRADE, first)
        if error == RECURSION:
            return self._request(flags & ~LK_TYPE_MASK | LK_EXCLUSIVE, True)
        if error is not None:
            return int(error)
        return self._wait(flags, EXCLUSIVE, self._can_upgrade, COUNTED)

    # -- release, downgrade, cancel -------------------------------------------------------------

    def _unshare(self, cpu: Cpu) -> None:
        self._changes += 1
        self.note_released(cpu, SHARED)
        left = self._readers.get(cpu.index, 0) - 1
        if left > 0:
            self._readers[cpu.index] = left
        else:
            self._readers.pop(cpu.index, None)

    def _drop(self, cpu: Cpu) -> None:
        if self._owner is None:
            self._drop_shared(cpu)
            return
        if self._owner is not cpu:
            self.machine.panic(f"lockmgr: not exclusive lock holder: {self}")
        self._changes += 1
        self.note_released(cpu, EXCLUSIVE)
        self._depth -= 1
        if not self._depth:
            self._owner = None
            self._canceled = False
            self._admit()

    def _drop_shared(self, cpu: Cpu) -> None:
        if not self._readers and not self._readers_waiting:
            self.machine.panic(f"lockmgr: LK_RELEASE: no lock held: {self}")
        self._unshare(cpu)
        if not self._readers:
            self._canceled = False
            self._wakeups += 1

    def _admit(self) -> None:
        """The exclusive owner leaves: wake all waiters, and make the readers that wait owners."""
        self._wakeups += 1
        self._admitted |= self._readers_waiting

    def _weaken(self, cpu: Cpu) -> None:
        if self._owner is not cpu or self._depth != 1:
            self.machine.panic(f"lockmgr: not holding exclusive lock: {self}")
        self.note_released(cpu, EXCLUSIVE)
        self._owner = None
        self._admit()
        self._take(cpu, SHARED)

    def _cancel_beg(self, _cpu: Cpu) -> None:
        if self._canceled:
            self.machine.panic(f"lockmgr: {self} is being canceled already")
        if self._owner is None and not self._readers and not self._readers_waiting:
            self.machine.panic(f"lockmgr: {self} is canceled and nobody holds it")
        self._changes += 1
        self._wakeups += 1
        self._canceled = True

    def _cancel_end(self, _cpu: Cpu) -> None:
        self._changes += 1
        self._canceled = False


def _signalled(td: Thread, flags: int) -> bool:
    return bool(flags & LK_PCATCH and td.td_sigpending)
