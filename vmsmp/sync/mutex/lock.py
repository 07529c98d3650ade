"""What a mutex offers at either depth."""

from __future__ import annotations

from vmsmp.engine.cpu import Cpu
from vmsmp.sync.lock import EXCLUSIVE, SHARED, Lock
from vmsmp.sync.thread import Thread


class Mutex(Lock):
    """The kernel's mtx at either depth.

    The owner may take it again, exclusively.  `acquire` and its kin are the names that all locks have.
    """

    kind = "mutex"
    sleepable = True

    def lock(self) -> None:
        """mtx_lock: take it exclusively; wait as long as it takes."""
        self.acquire()

    def lock_timed(self, timo: int) -> int:
        """mtx_lock_ex: take it exclusively within `timo` ticks (0: no bound); 0 or EWOULDBLOCK."""
        raise NotImplementedError

    def lock_shared(self) -> None:
        """mtx_lock_sh_quick: take it shared; waiting writers go first."""
        self.acquire_shared()

    def try_lock(self) -> bool:
        """mtx_lock_ex_try: take it exclusively if that needs no waiting; whether it did."""
        return self.try_acquire()

    def try_lock_shared(self) -> bool:
        """mtx_lock_sh_try: take it shared if there is no owner, waiting writers or not."""
        return self.try_acquire_shared()

    def unlock(self) -> None:
        """mtx_unlock: release one hold, of whatever mode."""
        self.release()

    def acquire_shared(self) -> None:
        """As `lock_shared`."""
        raise NotImplementedError

    def try_acquire(self) -> bool:
        """As `try_lock`."""
        raise NotImplementedError

    def try_acquire_shared(self) -> bool:
        """As `try_lock_shared`."""
        raise NotImplementedError

    def try_upgrade(self) -> bool:
        """mtx_upgrade_try: turn the only shared hold into an exclusive one; whether it did."""
        raise NotImplementedError

    def downgrade(self) -> None:
        """mtx_downgrade: turn the exclusive hold into a shared one with nobody in between."""
        raise NotImplementedError

    # -- the ghost ------------------------------------------------------------------------------

    def note_request(self, mode: str) -> None:
        """The running CPU makes a request that may wait; the owner's own request does not."""
        cpu = self.engine.current
        if mode == SHARED or not cpu.holds(self, EXCLUSIVE):
            self.note_wanted(cpu, mode)

    def note_contest(self, td: Thread) -> None:
        """The thread has to wait: a blocking point."""
        self.contested += 1
        for hook in self.hooks.blocking:
            hook(td.cpu, f"contested {self}")

    def note_leaving(self, cpu: Cpu, mode: str | None = None) -> None:
        """`cpu` stops owning one hold with its next operation: of that mode, or the one it took last."""
        self.note_released(cpu, mode or self.mode_of(cpu) or EXCLUSIVE)
