"""The contract of a mutex without its algorithm: each request is one step, or two if it has to wait.

Keeps what callers may rely on: the owner's recursion, writers first and in order of arrival, a release that
hands the mutex over, so that no newcomer overtakes a waiter.
Callbacks are called right after the step that grants or aborts their request.
Deviation: the kernel's `mtx_upgrade_try` fails while a CPU changes the lists; here whether one does is drawn,
while others wait or have just been granted the mutex.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vmsmp.engine import ops
from vmsmp.engine.cpu import Cpu
from vmsmp.engine.wait import Wait, WaitEnd, WaitMode
from vmsmp.sync.arguments import ticks
from vmsmp.sync.errno import EINPROGRESS, ENOLCK, EWOULDBLOCK
from vmsmp.sync.lock import EXCLUSIVE, SHARED
from vmsmp.sync.mutex.lock import Mutex
from vmsmp.sync.services import Services
from vmsmp.sync.thread import curthread
from vmsmp.sync.token import leave_tokens, regain_tokens


class AtomicLink:
    """One request: its CPU while it waits, and how it ended."""

    __slots__ = ("aborted", "args", "callback", "owner")

    def __init__(self, callback: Callable[..., object] | None = None, args: tuple[Any, ...] = ()) -> None:
        self.callback = callback
        self.args = args
        self.owner: Cpu | None = None
        #: Whether it was aborted before its request was made.
        self.aborted = False


#: The links to be called back after a step, each with the error to pass.
Calls = list[tuple[AtomicLink, int]]


class AtomicMutex(Mutex):
    """A mutex granted by the engine."""

    def __init__(self, machine: Services, name: str | None = None) -> None:
        super().__init__(machine, name)
        self._gate = machine.engine.gate()
        self._code = self.ident << ops.KIND_BITS
        # invariant: a waiter has no hold; with an owner, `_count` is the owner's
        self._owner: Cpu | None = None
        self._count = 0
        self._writers: list[AtomicLink] = []
        self._readers: list[AtomicLink] = []
        #: Whether the present readers were let in by a release.
        self._handed = False

    # -- requests -------------------------------------------------------------------------------

    def acquire(self) -> None:
        self._ask(EXCLUSIVE, AtomicLink())

    def lock_timed(self, timo: int) -> int:
        return self._ask(EXCLUSIVE, AtomicLink(), timo)

    def acquire_shared(self) -> None:
        self._ask(SHARED, AtomicLink())

    def try_acquire(self) -> bool:
        return bool(self._gate.alter(self._code | ops.REQUEST, lambda cpu: self._own(cpu, tried=True)))

    def try_acquire_shared(self) -> bool:
        return bool(self._gate.alter(self._code | ops.REQUEST, lambda cpu: self._share(cpu, tried=True)))

    def link(self, callback: Callable[..., object] | None = None, *args: Any) -> AtomicLink:
        return AtomicLink(callback, args)

    def lock_ex_link(self, link: AtomicLink, timo: int = 0) -> int:
        return self._ask(EXCLUSIVE, link, timo)

    def lock_sh_link(self, link: AtomicLink, timo: int = 0) -> int:
        return self._ask(SHARED, link, timo)

    def spin(self) -> None:
        if not self.try_acquire():
            self.contested += 1
            code, wait = self._code | ops.SLEEP, Wait(self, EXCLUSIVE)
            self._gate.enter(code, lambda _cpu: not self._count, self._own, wait)

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

    def _ask(self, mode: WaitMode, link: AtomicLink, timo: int = 0) -> int:
        """Take the mutex, or queue behind those who wait; return 0 or an error number."""
        ticks(timo)
        take, line = (self._own, self._writers) if mode == EXCLUSIVE else (self._share, self._readers)

        def first(cpu: Cpu) -> int | None:
            if take(cpu):
                return 0
            if link.aborted:
                link.aborted = False
                return ENOLCK
            link.owner = cpu
            line.append(link)
            return None if link.callback is None else EINPROGRESS

        self.note_request(mode, link)
        error = self._gate.alter(self._code | ops.REQUEST, first)
        return self._wait_in(line, mode, link, timo) if error is None else int(error)

    def _wait_in(self, line: list[AtomicLink], mode: WaitMode, link: AtomicLink, timo: int) -> int:
        machine = self.machine
        self.note_contest(curthread(machine))
        leave_tokens(machine, f"contested {self}")
        error = self._wait(mode, line, link, timo)
        regain_tokens(machine)
        return error

    def _wait(self, mode: WaitMode, line: list[AtomicLink], link: AtomicLink, timo: int) -> int:
        """Wait in the queue until a release or an abort takes the link out of it, or the time is up."""

        def leave(cpu: Cpu) -> int:
            link.owner = None
            if link in line:
                line.remove(link)
                return EWOULDBLOCK
            if link.aborted:
                link.aborted = False
                return ENOLCK
            self.note_acquired(cpu, mode)
            return 0

        code, wait = self._code | ops.SLEEP, Wait(self, mode)
        while True:
            error = self._gate.enter(code, lambda _cpu: link not in line, leave, wait, timo or None)
            if error is None and self.engine.current.wait_end is WaitEnd.TIMEOUT:
                error = self._gate.alter(code, leave)
            if error is not None:
                return int(error)

    def abort_link(self, link: AtomicLink) -> None:
        def abort(_cpu: Cpu) -> Calls:
            for line in (self._writers, self._readers):
                if link in line:
                    line.remove(link)
                    link.aborted = link.callback is None
                    return [(link, ENOLCK)]
            if link.owner is None:
                link.aborted = True
            return []

        self._call_back(self._gate.alter(self._code | ops.CANCEL, abort))

    @staticmethod
    def _call_back(calls: Calls) -> None:
        for link, error in calls:
            if link.callback is not None:
                link.callback(error, *link.args)

    def check_word(self) -> str | None:
        """INV-MX1 and INV-MX2; a grant counts before the CPU that was granted the mutex holds it."""
        owners, readers = self.holds_of(EXCLUSIVE), self.holds_of(SHARED)
        if set(owners) - (set() if self._owner is None else {self._owner.index}):
            return f"{self._owner} is its owner, but it is held exclusively by {sorted(owners)}"
        if (self._owner is not None and readers) or sum((*owners.values(), *readers.values())) > self._count:
            return f"it counts {self._count} holds, but is held {owners} and shared {readers}, by CPU"
        return None

    def check_rest(self) -> str | None:
        """INV-MX4."""
        used = self._owner or self._count or self._writers or self._readers
        return "nobody uses it but it is not free" if used else None

    # -- releases -------------------------------------------------------------------------------

    def release(self) -> None:
        self._call_back(self._gate.alter(self._code | ops.RELEASE, self._drop))

    def _drop(self, cpu: Cpu) -> Calls:
        if not self._count:
            self.machine.panic(f"mtx_unlock: {self} is not held")
        if self._count == 1 and self._owner not in (cpu, None):
            self.machine.panic(f"mtx_unlock: {self} is owned by another thread")
        self.note_leaving(cpu)
        self._count -= 1
        if self._count:
            return []
        self._owner = None
        if not self._writers:
            return self._let_readers_in()
        link = self._writers.pop(0)
        self._owner = link.owner
        self._count = 1
        return self._grant([link], EXCLUSIVE)

    def _let_readers_in(self) -> Calls:
        links = self._readers.copy()
        self._handed = bool(links)
        self._count += len(links)
        self._readers.clear()
        return self._grant(links, SHARED)

    def _grant(self, links: list[AtomicLink], mode: str) -> Calls:
        """Grant the requests: those with a callback hold the mutex at once, the others when they run."""
        for link in links:
            if link.callback is not None and link.owner is not None:
                self.note_acquired(link.owner, mode)
        return [(link, 0) for link in links]

    def downgrade(self) -> None:
        self._call_back(self._gate.alter(self._code | ops.DOWNGRADE, self._weaken))

    def _weaken(self, cpu: Cpu) -> Calls:
        if not self._count:
            self.machine.panic(f"mtx_downgrade: {self} is not held")
        if self._owner is None:
            return []
        if self._owner is not cpu:
            self.machine.panic(f"mtx_downgrade: {self} is owned by another thread")
        self._owner = None
        for _ in range(self._count):
            self.note_leaving(cpu, EXCLUSIVE)
            self.note_acquired(cpu, SHARED)
        return self._let_readers_in()

    def try_upgrade(self) -> bool:
        busy = bool(self.machine.choose(2))
        return bool(self._gate.alter(self._code | ops.UPGRADE, lambda cpu: self._upgrade(cpu, busy)))

    def _upgrade(self, cpu: Cpu, busy: bool) -> bool:
        """Return whether the mutex is owned exclusively now; `busy` if the lists may be changing."""
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
