"""What a lockmgr lock offers at either depth: `lock(flags)`, and a method for each common request."""

from __future__ import annotations

from typing import Any

from vmsmp.engine.cpu import Cpu
from vmsmp.engine.wait import Hold
from vmsmp.sync.arguments import ticks
from vmsmp.sync.errno import (
    LK_CANCEL_BEG,
    LK_CANCEL_END,
    LK_DOWNGRADE,
    LK_EXCLUSIVE,
    LK_EXTFLG_MASK,
    LK_NOWAIT,
    LK_RELEASE,
    LK_SHARED,
    LK_UPGRADE,
)
from vmsmp.sync.lock import EXCLUSIVE, SHARED, Lock
from vmsmp.sync.services import Services
from vmsmp.sync.thread import Thread, curthread, forbid_hard_section


class LockmgrLock(Lock):
    """A lockmgr lock at either depth.

    `lk_flags` (LK_EXTFLG_MASK) go with every request.  `lk_timo` is in ticks and bounds requests with
    LK_TIMELOCK (0: no bound).  `epoch` counts exclusive grants, so that a test can tell whether another
    CPU had the lock in between.
    """

    kind = "lockmgr"
    sleepable = True

    def __init__(self, machine: Services, name: str | None = None, timo: int = 0, flags: int = 0) -> None:
        super().__init__(machine, name)
        self.lk_flags = flags & LK_EXTFLG_MASK
        self.lk_timo = ticks(timo)
        self.lk_wmesg = self.name
        self.epoch = 0
        #: CPUs whose release was reported to observers, but lost its compare-and-set.
        self._retrying: set[Cpu] = set()

    def lock(self, flags: int) -> int:
        """Do the request in `flags`; 0 or an error number."""
        raise NotImplementedError

    def read_count(self) -> int:
        """The state word, in one step."""
        raise NotImplementedError

    def read_holder(self) -> Any:
        """The exclusive holder; valid only while the word says that there is one."""
        raise NotImplementedError

    def acquire(self) -> None:
        self._must(self.lock(LK_EXCLUSIVE), "acquire")

    def acquire_shared(self) -> None:
        """Take it shared."""
        self._must(self.lock(LK_SHARED), "acquire_shared")

    def upgrade(self) -> None:
        """Turn a shared hold into an exclusive one; other CPUs may have held the lock in between."""
        self._must(self.lock(LK_UPGRADE), "upgrade")

    def downgrade(self) -> None:
        """Turn an exclusive hold into a shared one in one step."""
        self.lock(LK_DOWNGRADE)

    def release(self) -> None:
        self.lock(LK_RELEASE)

    def cancel_beg(self) -> None:
        """Make cancelable requests fail until `cancel_end`; the caller holds the lock."""
        self.lock(LK_CANCEL_BEG)

    def cancel_end(self) -> None:
        """Let cancelable requests wait again."""
        self.lock(LK_CANCEL_END)

    def _must(self, error: int, what: str) -> None:
        if error:
            self.machine.panic(f"{self}: {what} without a way to fail returned {error}")

    # -- the ghost ------------------------------------------------------------------------------

    def note_request(self, flags: int, mode: str) -> None:
        """Note a request of the running CPU; one that may wait (no try, no recursion) counts as wanted."""
        if not flags & LK_NOWAIT:
            td = curthread(self.machine)
            forbid_hard_section(td, f"{self} called from interrupt, ipi, or hard code section")
        if self.hooks.wants and not flags & LK_NOWAIT:
            cpu = self.engine.current
            if not cpu.holds(self, EXCLUSIVE):
                self.note_wanted(cpu, mode)

    def note_contest(self, td: Thread) -> None:
        """Note that the thread has to wait: a blocking point."""
        self.contested += 1
        for hook in self.hooks.blocking:
            hook(td.cpu, f"contested {self}")

    def note_acquired(self, cpu: Cpu, mode: str, tried: bool = False) -> None:
        if mode == EXCLUSIVE:
            self.epoch += 1
        super().note_acquired(cpu, mode, tried)

    def note_kept(self, cpu: Cpu, mode: str) -> None:
        """Note that a release lost its compare-and-set: `cpu` still owns the lock, and tries again."""
        cpu.held.append(Hold(self, mode))
        self.holders.append((cpu, mode))
        self._retrying.add(cpu)

    def note_released(self, cpu: Cpu, mode: str) -> None:
        if cpu not in self._retrying:
            super().note_released(cpu, mode)
            return
        self._retrying.discard(cpu)
        if cpu.let_go(self, mode):
            self.holders.remove((cpu, mode))

    def note_upgraded(self, cpu: Cpu) -> None:
        """The shared hold of `cpu` is an exclusive one from this step on."""
        self.note_released(cpu, SHARED)
        self.note_acquired(cpu, EXCLUSIVE)
