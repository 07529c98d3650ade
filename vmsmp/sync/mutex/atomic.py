"""The contract of a mutex without its algorithm: each request is one step, or two if it has to wait.

Keeps what callers may rely on: the owner's recursion, writers first in the order in which they came, a
release that hands the mutex over, so that nobody overtakes those who wait.
Deviation: where the kernel's `mtx_upgrade_try` meets a CPU that changes the lists, it fails; here that is
drawn while others wait or have just been granted the mutex.
"""

from __future__ import annotations

from vmsmp.engine import ops
from vmsmp.engine.cpu import Cpu
from vmsmp.engine.wait import Wait, WaitEnd, WaitMode
from vmsmp.sync.errno import EWOULDBLOCK
from vmsmp.sync.lock import EXCLUSIVE, SHARED
from vmsmp.sync.mutex.lock import Mutex
from vmsmp.sync.services import Services
from vmsmp.sync.thread import curthread
from vmsmp.sync.token import leave_tokens, regain_tokens


class AtomicMutex(Mutex):
    """A mutex granted by the engine."""

    def __init__(self, machine: Services, name: str | None = None) -> None:
        super().__init__(machine, name)
        self._gate = machine.engine.gate()
        self._code = self.ident << ops.KIND_BITS
        # invariant: who waits has no hold; with an owner, `_count` is the owner's
        self._owner: Cpu | None = None
        self._count = 0
        self._writers: list[Cpu] = []
        self._readers: list[Cpu] = []
        #: Whether the readers inside were let in by a release.
        self._handed = False

    # -- requests -------------------------------------------------------------------------------

    def acquire(self) -> None:
        self._ask(EXCLUSIVE)

    def lock_timed(self, timo: int) -> int:
        return self._ask(EXCLUSIVE, timo)

    def acquire_shared(self) -> None:
        self._ask(SHARED)

    def try_acquire(self) -> bool:
        return bool(self._gate.alter(self._code | ops.REQUEST, lambda cpu: self._own(cpu, tried=True)))

    def try_acquire_shared(self) -> bool:
        return bool(self._gate.alter(self._code | ops.REQUEST, lambda cpu: self._share(cpu, tried=True)))

    def _own(self, cpu: Cpu, tried: bool = False) -> bool:
        if self._count and self._owner is not cpu:
            return False
        self._owner = cpu
        self._count += 1
        self.note_acquired(cpu, EXCLUSIVE, tried)
        return True

    def _share(self, cpu: Cpu, tried: bool = False) -> bool:
        if self._owner is not None or (self._writers and not tried):
            return False
        self._count += 1
        self.note_acquired(cpu, SHARED, tried)
        return True

    def _ask(self, mode: WaitMode, timo: int = 0) -> int:
        """Take it, or come last among those who wait; 0 or EWOULDBLOCK."""
        take, line = (self._own, self._writers) if mode == EXCLUSIVE else (self._share, self._readers)

        def first(cpu: Cpu) -> bool:
            if take(cpu):
                return True
            line.append(cpu)
            return False

        self.note_request(mode)
        if self._gate.alter(self._code | ops.REQUEST, first):
            return 0
        machine = self.machine
        self.note_contest(curthread(machine))
        leave_tokens(machine, f"contested {self}")
        error = self._wait(mode, line, timo)
        regain_tokens(machine)
        return error

    def _wait(self, mode: WaitMode, line: list[Cpu], timo: int) -> int:
        """Stand in the line until a release has taken us out of it, or the time is up."""

        def leave(cpu: Cpu) -> int:
            if cpu in line:
                line.remove(cpu)
                return EWOULDBLOCK
            self.note_acquired(cpu, mode)
            return 0

        code, wait = self._code | ops.SLEEP, Wait(self, mode)
        while True:
            error = self._gate.enter(code, lambda cpu: cpu not in line, leave, wait, timo or None)
            if error is None and self.engine.current.wait_end is WaitEnd.TIMEOUT:
                error = self._gate.alter(code, leave)
            if error is not None:
                return int(error)

    # -- releases -------------------------------------------------------------------------------

    def release(self) -> None:
        self._gate.alter(self._code | ops.RELEASE, self._drop)

    def _drop(self, cpu: Cpu) -> None:
        if not self._count:
            self.machine.panic(f"mtx_unlock: {self} is not held")
        if self._owner not in (cpu, None):
            self.machine.panic(f"mtx_unlock: {self} is owned by another thread")
        self.note_leaving(cpu)
        self._count -= 1
        if self._count:
            return
        self._owner = None
        if self._writers:
            self._owner = self._writers.pop(0)
            self._count = 1
        else:
            self._let_readers_in()

    def _let_readers_in(self) -> None:
        self._handed = bool(self._readers)
        self._count += len(self._readers)
        self._readers.clear()

    def downgrade(self) -> None:
        self._gate.alter(self._code | ops.DOWNGRADE, self._weaken)

    def _weaken(self, cpu: Cpu) -> None:
        if not self._count:
            self.machine.panic(f"mtx_downgrade: {self} is not held")
        if self._owner is None:
            return
        if self._owner is not cpu:
            self.machine.panic(f"mtx_downgrade: {self} is owned by another thread")
        self._owner = None
        for _ in range(self._count):
            self.note_leaving(cpu, EXCLUSIVE)
            self.note_acquired(cpu, SHARED)
        self._let_readers_in()

    def try_upgrade(self) -> bool:
        busy = bool(self.machine.choose(2))
        return bool(self._gate.alter(self._code | ops.UPGRADE, lambda cpu: self._upgrade(cpu, busy)))

    def _upgrade(self, cpu: Cpu, busy: bool) -> bool:
        """Whether it is our own now; `busy` if the lists may be changing just then."""
        if self._owner is not None:
            if self._owner is not cpu:
                self.machine.panic(f"mtx_upgrade_try: {self} is owned by another thread")
            return True
        if self._count != 1 or self._readers or (busy and (self._writers or self._handed)):
            return False
        self._owner = cpu
        self.note_leaving(cpu, SHARED)
        self.note_acquired(cpu, EXCLUSIVE, tried=True)
        return True
