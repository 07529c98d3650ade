"""The lockmgr contract without its algorithm: each request is one step, or two if it has to wait.

Keeps what callers may rely on: exclusion, recursion, an EXCLUPGRADE or downgrade with nobody in
between, one upgrader at a time, new readers that let waiting writers go first while readers hold
the lock, and the error numbers.
Deviations:
  * waiters are granted in any order, so this lock can do everything that the exact one can.
  * a timeout starts afresh after a spurious wakeup.
  * a wait that is cut short is never granted in the same moment.
  * LK_SHARED with LK_SLEEPFAIL fails after any wait, where the exact lock may grant.
"""

from __future__ import annotations

from collections.abc import Callable

from vmsmp.engine import ops
from vmsmp.engine.cpu import Cpu
from vmsmp.engine.wait import Wait, WaitEnd, WaitMode
from vmsmp.sync.errno import (
    EBUSY,
    EINTR,
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
from vmsmp.sync.services import Services
from vmsmp.sync.thread import TDF_DEADLKTREAT, curthread
from vmsmp.sync.token import leave_tokens, regain_tokens


class AtomicLockmgr(LockmgrLock):
    """A lockmgr lock granted by the engine."""

    def __init__(self, machine: Services, name: str | None = None, timo: int = 0) -> None:
        super().__init__(machine, name, timo)
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

    def lock(self, flags: int) -> int:
        request = flags & LK_TYPE_MASK
        if request in (LK_SHARED, LK_EXCLUSIVE):
            return self._request(flags, request == LK_EXCLUSIVE)
        if request in (LK_UPGRADE, LK_EXCLUPGRADE):
            return self._upgrade(flags)
        change = {
            LK_RELEASE: (ops.RELEASE, self._drop),
            LK_DOWNGRADE: (ops.DOWNGRADE, self._weaken),
            LK_CANCEL_BEG: (ops.CANCEL, lambda _cpu: self._cancel(True)),
            LK_CANCEL_END: (ops.CANCEL, lambda _cpu: self._cancel(False)),
        }.get(request)
        if change is None:
            raise ValueError(f"lockmgr: unknown request {request:#x} in flags {flags:#x}")
        self._gate.alter(self._code | change[0], change[1])
        return 0

    # -- conditions -----------------------------------------------------------------------------

    def _can_shared(self, cpu: Cpu) -> bool:
        if self._owner is not None:
            return False
        impolite = cpu.index in self._admitted or (cpu.td is not None and cpu.td.td_flags & TDF_DEADLKTREAT)
        writers = self._upgrader is not None or (self._writers_waiting and self._readers)
        return bool(impolite or not writers)

    def _can_exclusive(self, _cpu: Cpu) -> bool:
        return self._owner is None and not self._readers and self._upgrader is None

    def _can_upgrade(self, _cpu: Cpu) -> bool:
        return self._owner is None and not self._readers

    # -- requests -------------------------------------------------------------------------------

    def _take(self, cpu: Cpu, mode: str, tried: bool = False) -> None:
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

        def first(cpu: Cpu) -> int | None:
            if self._owner is cpu:
                if not flags & LK_CANRECURSE:
                    return EBUSY if flags & LK_NOWAIT else -1
                self._depth += 1
                self.note_acquired(cpu, EXCLUSIVE)
                return 0
            if can(cpu):
                self._take(cpu, mode, bool(flags & LK_NOWAIT))
                return 0
            if exclusive and flags & LK_NOWAIT:
                return EBUSY
            if self._canceled and flags & LK_CANCELABLE:
                return ENOLCK
            if flags & LK_NOWAIT:
                return EBUSY
            if exclusive:
                self._writers_waiting += 1
            else:
                self._readers_waiting.add(cpu.index)
            return None

        self.note_request(flags, mode)
        error = self._gate.alter(self._code | ops.REQUEST, first)
        if error == -1:
            self.machine.panic(f"lockmgr: locking against myself: {self}")
        if error is not None:
            return int(error)

        def left(cpu: Cpu) -> None:
            if exclusive:
                self._writers_waiting -= 1
            else:
                self._readers_waiting.discard(cpu.index)
                self._admitted.discard(cpu.index)

        return self._wait(flags, mode, can, left)

    def _wait(
        self, flags: int, mode: WaitMode, can: Callable[[Cpu], bool], left: Callable[[Cpu], None]
    ) -> int:
        """The second step of a request that has to wait; `left` undoes its registration."""
        machine = self.machine
        td = curthread(machine)
        self.note_contest(td)
        leave_tokens(machine, f"contested {self}")

        def signalled() -> bool:
            return bool(flags & LK_PCATCH and td.td_sigpending)

        def ready(cpu: Cpu) -> bool:
            return can(cpu) or signalled() or bool(self._canceled and flags & LK_CANCELABLE)

        def finish(cpu: Cpu) -> int:
            granted = can(cpu)
            left(cpu)
            if signalled() and not granted:
                td.td_sigpending = 0
                return EINTR
            if flags & LK_SLEEPFAIL or (self._canceled and flags & LK_CANCELABLE):
                return ENOLCK
            self._take(cpu, mode)
            return 0

        timeout = self.lk_timo if flags & LK_TIMELOCK and self.lk_timo else None
        code = self._code | ops.SLEEP
        td.td_gate = self._gate
        result = None
        while result is None:
            result = self._gate.enter(code, ready, finish, Wait(self, mode), timeout)
            if result is None and td.cpu.wait_end is WaitEnd.TIMEOUT:
                self._gate.alter(code, left)
                result = EWOULDBLOCK
        td.td_gate = None
        regain_tokens(machine)
        return int(result)

    def _upgrade(self, flags: int) -> int:
        exclusive_only = flags & LK_TYPE_MASK == LK_EXCLUPGRADE

        def first(cpu: Cpu) -> int | None:
            if self._owner is cpu:
                return 0
            self._unshare(cpu)
            if self._upgrader is not None:
                return EBUSY if exclusive_only or flags & LK_NOWAIT else -1
            if not self._readers:
                self._take(cpu, EXCLUSIVE, bool(flags & LK_NOWAIT))
                return 0
            if flags & LK_NOWAIT:
                return EBUSY
            self._upgrader = cpu
            return None

        self.note_request(flags, UPGRADE)
        error = self._gate.alter(self._code | ops.UPGRADE, first)
        if error == -1:
            return self._request(flags & ~LK_TYPE_MASK | LK_EXCLUSIVE, True)
        if error is not None:
            return int(error)

        def left(_cpu: Cpu) -> None:
            self._upgrader = None

        return self._wait(flags, EXCLUSIVE, self._can_upgrade, left)

    # -- release, downgrade, cancel -------------------------------------------------------------

    def _unshare(self, cpu: Cpu) -> None:
        self.note_released(cpu, SHARED)
        left = self._readers.get(cpu.index, 0) - 1
        if left > 0:
            self._readers[cpu.index] = left
        else:
            self._readers.pop(cpu.index, None)

    def _drop(self, cpu: Cpu) -> None:
        if self._owner is not None:
            if self._owner is not cpu:
                self.machine.fail("lock-misuse", f"{self} released by a CPU that does not hold it")
            self.note_released(cpu, EXCLUSIVE)
            self._depth -= 1
            if not self._depth:
                self._owner = None
                self._canceled = False
                self._admitted |= self._readers_waiting
        else:
            self._unshare(cpu)
            if not self._readers:
                self._canceled = False

    def _weaken(self, cpu: Cpu) -> None:
        if self._owner is not cpu or self._depth != 1:
            self.machine.panic(f"lockmgr: downgrade of {self}, which is not held exclusively once")
        self.note_released(cpu, EXCLUSIVE)
        self._owner = None
        self._admitted |= self._readers_waiting
        self._take(cpu, SHARED)

    def _cancel(self, on: bool) -> None:
        self._canceled = on
