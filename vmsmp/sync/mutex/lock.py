"""What a mutex offers at either depth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vmsmp.engine.cpu import Cpu
from vmsmp.sync.lock import EXCLUSIVE, SHARED, Lock
from vmsmp.sync.thread import Thread, crit_enter, crit_exit, curthread


class Mutex(Lock):
    """The kernel's mtx at either depth.

    The owner may take it again, exclusively.  `acquire` and the like are the names that all locks have.
    """

    kind = "mutex"
    sleepable = True

    def lock(self) -> None:
        """mtx_lock: take it exclusively, with no limit to the wait."""
        self.acquire()

    def lock_timed(self, timo: int) -> int:
        """mtx_lock_ex: take it exclusively within `timo` ticks (0: no bound); 0 or EWOULDBLOCK."""
        raise NotImplementedError

    def lock_shared(self) -> None:
        """mtx_lock_sh_quick: take it shared; waiting writers go first."""
        self.acquire_shared()

    def try_lock(self) -> bool:
        """mtx_lock_ex_try: take it exclusively if that needs no waiting; return whether it did."""
        return self.try_acquire()

    def try_lock_shared(self) -> bool:
        """mtx_lock_sh_try: take it shared if there is no owner, even if writers wait."""
        return self.try_acquire_shared()

    def unlock(self) -> None:
        """mtx_unlock: release one hold of either mode."""
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
        """mtx_upgrade_try: turn the only shared hold into an exclusive one; return whether it did."""
        raise NotImplementedError

    def downgrade(self) -> None:
        """mtx_downgrade: turn the exclusive hold into a shared one in one step."""
        raise NotImplementedError

    # -- links: requests that can be aborted, or that call back instead of waiting ----------------

    def link(self, callback: Callable[..., object] | None = None, *args: Any) -> Any:
        """mtx_link_init, mtx_link_init_async: a request to be made with the functions below.

        With a `callback` the request does not wait: if the mutex is not free it returns EINPROGRESS, and
        `callback(error, *args)` is called later: with 0 by the CPU that hands the mutex over, which is the
        requester's from then on, or with ENOLCK by the CPU that aborts the request.  It may not block.
        """
        raise NotImplementedError

    def lock_ex_link(self, link: Any, timo: int = 0) -> int:
        """mtx_lock_ex_link: take it exclusively; 0, EWOULDBLOCK, ENOLCK if aborted, or EINPROGRESS."""
        raise NotImplementedError

    def lock_sh_link(self, link: Any, timo: int = 0) -> int:
        """mtx_lock_sh_link: the same, shared."""
        raise NotImplementedError

    def abort_link(self, link: Any) -> None:
        """mtx_abort_link: make the link's request fail, now or when it is made, unless it has the mutex.

        A request that needs no waiting does not fail.
        """
        raise NotImplementedError

    # -- as a spinlock --------------------------------------------------------------------------

    def spinlock(self) -> None:
        """mtx_spinlock: take it exclusively (again) by spinning; holding it so is a critical section."""
        td = curthread(self.machine)
        crit_enter(td)
        td.gd_spinlocks += 1
        self.spin()

    def try_spinlock(self) -> bool:
        """mtx_spinlock_try: as `spinlock`, if that needs no spinning; return whether it did."""
        td = curthread(self.machine)
        crit_enter(td)
        td.gd_spinlocks += 1
        if self.try_acquire():
            return True
        td.gd_spinlocks -= 1
        crit_exit(td)
        return False

    def spinunlock(self) -> None:
        """mtx_spinunlock: release a hold taken by `spinlock` or `try_spinlock`."""
        td = curthread(self.machine)
        if not td.gd_spinlocks:
            self.machine.panic(f"mtx_spinunlock: {self} was not taken as a spinlock")
        self.release()
        td.gd_spinlocks -= 1
        crit_exit(td)

    def spin(self) -> None:
        """Take it exclusively by spinning."""
        raise NotImplementedError

    # -- the ghost ------------------------------------------------------------------------------

    def note_request(self, mode: str, link: Any = None) -> None:
        """Note a request that may wait: not the owner's recursion, and not one with a callback."""
        cpu = self.engine.current
        if link is not None and link.callback is not None:
            return
        if mode == SHARED or not cpu.holds(self, EXCLUSIVE):
            self.note_wanted(cpu, mode)

    def note_contest(self, td: Thread) -> None:
        """Note that the thread has to wait: a blocking point."""
        self.contested += 1
        for hook in self.hooks.blocking:
            hook(td.cpu, f"contested {self}")

    def note_leaving(self, cpu: Cpu, mode: str | None = None) -> None:
        """`cpu` gives up one hold with its next operation: of that mode, or the one it took last."""
        self.note_released(cpu, mode or self.mode_of(cpu) or EXCLUSIVE)
