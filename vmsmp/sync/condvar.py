"""Condition variables: release a lock and wait for a signal, atomically.

Models: sys/kern/kern_condvar.c, with the contract of POSIX (`pthread_cond_wait` and its kin).
`wait` releases the lock and sleeps atomically: no signal that comes after the release is missed.  It takes
the lock again before it returns.  A return does not mean that the condition holds: another CPU may have been
faster, `signal` may wake more than one, and with the machine's option `spurious` a wait may end for no
reason.  So a waiter tests its condition in a loop.  A signal without a waiter is lost, as in POSIX.
`m.signal` does not end a wait.
Both depths sleep on the machine's sleep queues.  The atomic one needs nothing else.  The exact one counts its
waiters under a spinlock, as the kernel does, and sends a wakeup only if there are any.
Locks: the caller of `wait` holds its lock exclusively, once.
Deviations:
  * one lock at a time: waiting with a second lock while CPUs wait with another is misuse.
"""

from __future__ import annotations

from vmsmp.sync.errno import PINTERLOCKED
from vmsmp.sync.lock import EXCLUSIVE, Lock
from vmsmp.sync.services import Services


class Condvar:
    """A condition variable at either depth."""

    def __init__(self, machine: Services, name: str | None = None) -> None:
        self.machine = machine
        self.ident = ident = machine.enroll(self)
        self.name = name or f"condvar {ident & 63}.{ident >> 6}"
        # ghost: the lock of the CPUs that wait, and their number
        self._lock: Lock | None = None
        self._inside = 0

    def wait(self, lock: Lock, timo: int = 0) -> int:
        """Release `lock`, sleep until a signal, take `lock` again; 0, or EWOULDBLOCK after `timo` ticks.

        Locks: the caller holds `lock` exclusively, once.  Sleeps: yes; tokens are lost.
        """
        self._enter(lock)
        self._announce()
        lock.release()
        error = self.machine.tsleep(self, PINTERLOCKED, self.name, timo)
        with self.machine.making:
            self._inside -= 1
        lock.acquire()
        return error

    def signal(self) -> None:
        """Wake at least one CPU that waits, if there is one."""
        raise NotImplementedError

    def broadcast(self) -> None:
        """Wake every CPU that waits."""
        raise NotImplementedError

    def _announce(self) -> None:
        """Announce the wait: from here on no signal is missed."""
        raise NotImplementedError

    def _enter(self, lock: Lock) -> None:
        if not isinstance(lock, Lock):
            raise TypeError(f"{self}: wait() needs a lock, not {lock!r}")
        cpu = self.machine.curcpu
        mine = [hold.mode for hold in cpu.held if hold.lock is lock]
        if mine != [EXCLUSIVE]:
            held = " and ".join(mine) or "not at all"
            self.machine.fail("lock-misuse", f"{self} waited for with {lock}, which is held {held}")
        with self.machine.making:
            if self._inside and self._lock is not lock:
                facts = [f"{cpu} waits with {lock}", f"others wait with {self._lock}"]
                self.machine.fail("lock-misuse", f"{self} waited for with two locks", facts)
            self._lock = lock
            self._inside += 1

    def state(self) -> str:
        return f"{self._inside} waiting"

    def __repr__(self) -> str:
        return f"condvar {self.name!r}" if not self.name.startswith("condvar") else self.name


class AtomicCondvar(Condvar):
    """A condition variable that is only an ident of the sleep queues."""

    def _announce(self) -> None:
        self.machine.tsleep_interlock(self)

    def signal(self) -> None:
        self.machine.wakeup_one(self)

    def broadcast(self) -> None:
        self.machine.wakeup(self)


class ExactCondvar(Condvar):
    """struct cv: a spinlock `cv_lock` and the count `cv_waiters` under it."""

    def __init__(self, machine: Services, name: str | None = None) -> None:
        super().__init__(machine, name)
        self.cv_lock = machine.spinlock(f"{self.name}.cv_lock")
        # A waiter that timed out stays counted until the next signal, as in the kernel.
        self.cv_waiters = machine.cell(0, f"{self.name}.cv_waiters")
        machine.words[self.cv_waiters.ident] = self

    def _announce(self) -> None:
        """The first half of _cv_timedwait: no wakeup is missed from the interlock on."""
        self.machine.tsleep_interlock(self)
        self.cv_lock.acquire()
        self.cv_waiters.store(self.cv_waiters.load() + 1)
        self.cv_lock.release()

    def signal(self) -> None:
        """_cv_signal: the wakeup is sent under the spinlock."""
        self.cv_lock.acquire()
        waiters = self.cv_waiters.load()
        if waiters:
            self.cv_waiters.store(waiters - 1)
            self.machine.wakeup_one(self)
        else:
            self._reached_nobody()
        self.cv_lock.release()

    def broadcast(self) -> None:
        self.cv_lock.acquire()
        if self.cv_waiters.load():
            self.cv_waiters.store(0)
            self.machine.wakeup(self)
        else:
            self._reached_nobody()
        self.cv_lock.release()

    def _reached_nobody(self) -> None:
        """Report a wakeup that was not sent to observers: it is the one that a waiter misses."""
        for hook in self.machine.hooks.wakeup:
            hook(self.machine.curcpu, self, 0, 0)

    def check_word(self) -> str | None:
        """Return None: a waiter that timed out stays counted, so any count is right."""
        return None

    check_rest = check_word

    def state(self) -> str:
        return f"{self.cv_waiters.peek()} counted, {super().state()}"
