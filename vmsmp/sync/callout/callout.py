"""The callout at either depth: its flags, and how requests on it are carried out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from vmsmp.sync.errno import LK_CANCEL_BEG, LK_CANCEL_END
from vmsmp.sync.lockmgr import LockmgrLock
from vmsmp.sync.services import Services

if TYPE_CHECKING:
    from vmsmp.sync.callout.softclock import Softclock

CALLOUT_DID_INIT: Final = 0x1
CALLOUT_CANCEL_RES: Final = 0x8
CALLOUT_STOP_RES: Final = 0x10
CALLOUT_RESET: Final = 0x20
CALLOUT_STOP: Final = 0x40
CALLOUT_INPROG: Final = 0x80
CALLOUT_SET: Final = 0x100
CALLOUT_AUTOLOCK: Final = 0x200
CALLOUT_CANCEL: Final = 0x800
CALLOUT_ACTIVE: Final = 0x1000

_RESULTS: Final = CALLOUT_CANCEL_RES | CALLOUT_STOP_RES
_NAMES: Final = (
    ("INIT", CALLOUT_DID_INIT),
    ("CANCEL_RES", CALLOUT_CANCEL_RES),
    ("STOP_RES", CALLOUT_STOP_RES),
    ("RESET", CALLOUT_RESET),
    ("STOP", CALLOUT_STOP),
    ("INPROG", CALLOUT_INPROG),
    ("SET", CALLOUT_SET),
    ("AUTOLOCK", CALLOUT_AUTOLOCK),
    ("CANCEL", CALLOUT_CANCEL),
    ("ACTIVE", CALLOUT_ACTIVE),
)

Request = tuple[int, Callable[..., object], tuple[Any, ...]]


def flags_text(flags: int) -> str:
    """The flags as a report shows them: `INIT|SET|ACTIVE`."""
    return "|".join(name for name, bit in _NAMES if flags & bit) or "0"


class Callout:
    """struct callout: calls its function, with the arguments it was set with, when its time has come."""

    def __init__(self, machine: Services, softclock: Softclock, name: str | None, lock: Any) -> None:
        if lock is not None and not isinstance(lock, LockmgrLock):
            raise TypeError(f"callout with {lock!r}: only a lockmgr lock will do")
        self.machine = machine
        self.softclock = softclock
        self.ident = ident = machine.enroll(self)
        self.name = name or f"callout {ident & 63}.{ident >> 6}"
        self.lk: LockmgrLock | None = lock
        #: The time and the function: as queued on the wheel, and as requested last.
        self.queued: Request | None = None
        self.asked: Request | None = None
        #: How many CPUs wait for it to stop.
        self.waiters = 0
        self.flags = self.make_flags(CALLOUT_DID_INIT | (CALLOUT_AUTOLOCK if lock is not None else 0))

    # -- what a program calls -------------------------------------------------------------------

    def reset(self, ticks: int, func: Callable[..., object], *args: Any) -> None:
        """callout_reset: call `func(*args)` in `ticks` ticks, at least one; replaces what was set before."""
        raise NotImplementedError

    def stop(self) -> bool:
        """callout_stop: cancel what is set; return whether that prevented a call.

        With a lock, wait until a call that has begun has ended, or has given up its request for the lock.
        """
        return self.withdraw(CALLOUT_STOP, wait=self.lk is not None)

    def stop_async(self) -> bool:
        """callout_stop_async: as `stop`, but never wait."""
        return self.withdraw(CALLOUT_STOP, wait=False)

    def cancel(self) -> bool:
        """callout_cancel: as `stop`, also for a reset requested before, and wait until a call has ended."""
        return self.withdraw(CALLOUT_CANCEL, wait=True)

    def drain(self) -> bool:
        """callout_drain: the same as `cancel`."""
        return self.cancel()

    def terminate(self) -> None:
        """callout_terminate: cancel it; it may not be used any more."""
        self.cancel()
        self.flags.clearbits(CALLOUT_DID_INIT)

    def deactivate(self) -> None:
        """callout_deactivate: mark it as not active, and stop it without waiting."""
        self.stop_async()

    def active(self) -> bool:
        """callout_active: whether it was set, and since then neither stopped nor deactivated."""
        return bool(self.flags.load() & CALLOUT_ACTIVE)

    def pending(self) -> bool:
        """callout_pending: whether it is on the wheel and its time has not come."""
        return bool(self.flags.load() & (CALLOUT_SET | CALLOUT_INPROG) == CALLOUT_SET)

    # -- what the depths do differently ---------------------------------------------------------

    def make_flags(self, value: int) -> Any:
        """The word with the flags."""
        raise NotImplementedError

    def step(self, change: Callable[[], Any]) -> Any:
        """Do `change`, at the atomic depth as one step."""
        raise NotImplementedError

    def alone(self, change: Callable[[], Any]) -> Any:
        """Do `change` under `c.spin`, at the atomic depth as one step."""
        raise NotImplementedError

    def withdraw(self, request: int, wait: bool) -> bool:
        """Request a stop or a cancel, and `wait` until it is done; return whether it prevented a call."""
        raise NotImplementedError

    def wake(self) -> None:
        """Wake those who wait for it to stop."""
        raise NotImplementedError

    # -- how requests are carried out -----------------------------------------------------------

    def ask_reset(self, request: Request) -> None:
        """Request that it be queued.  Locks: `c.spin`."""
        self.flags.setbits(CALLOUT_RESET)
        self.asked = request
        self.update()

    def ask_withdrawal(self, request: int) -> None:
        """Request that it be stopped or canceled.  Locks: `c.spin`."""
        self.flags.clearbits(_RESULTS | (CALLOUT_RESET if request == CALLOUT_STOP else 0))
        self.flags.setbits(request)
        self.update()

    def update(self) -> None:
        """Carry out the requests, unless the softclock thread has to.  Locks: `c.spin`."""
        softclock = self.softclock
        if self.called_here():
            softclock.running = None  # the function acts on its own callout
            self.flags.clearbits(CALLOUT_SET | CALLOUT_INPROG)
        if not self.flags.load() & CALLOUT_SET:
            self._update_unset(self.flags.load())
            return
        with softclock.wheel:
            flags = self.flags.load()
            if not flags & CALLOUT_INPROG:
                self._update_set(flags)

    def called_here(self) -> bool:
        """Whether the running code is the function of this callout."""
        return self.softclock.running is self and self.softclock.is_current()

    def _update_set(self, flags: int) -> None:
        """Carry out the requests for a callout on the wheel.  Locks: `c.spin` and the wheel's."""
        if flags & CALLOUT_CANCEL:
            self.softclock.remove(self)
            self.flags.clearbits(CALLOUT_SET | CALLOUT_STOP | CALLOUT_CANCEL | CALLOUT_RESET)
            self._prevented(_RESULTS)
        elif flags & CALLOUT_RESET:
            self.softclock.remove(self)
            self.flags.clearbits(CALLOUT_RESET)
            self.softclock.insert(self)
        elif flags & CALLOUT_STOP:
            self.softclock.remove(self)
            self.flags.clearbits(CALLOUT_SET | CALLOUT_STOP)
            self._prevented(CALLOUT_STOP_RES)

    def _update_unset(self, flags: int) -> None:
        """Carry out the requests for one neither on the wheel nor in progress.  Locks: `c.spin`."""
        if flags & CALLOUT_CANCEL:
            self.flags.clearbits(CALLOUT_STOP | CALLOUT_CANCEL | CALLOUT_RESET)
            self.wake()
        elif flags & CALLOUT_RESET:
            with self.softclock.wheel:
                self.softclock.insert(self)
                self.flags.clearbits(CALLOUT_RESET)
                self.flags.setbits(CALLOUT_SET)
        elif flags & CALLOUT_STOP:
            self.flags.clearbits(CALLOUT_STOP)
            self.wake()

    def _prevented(self, results: int) -> None:
        self.flags.setbits(results)
        self.wake()

    # -- the softclock thread -------------------------------------------------------------------

    def begin(self) -> bool:
        """Test once for a stop, reset or cancel; return whether the function is to be called."""
        flags = self.flags.load()
        if flags & (CALLOUT_STOP | CALLOUT_CANCEL):
            self.flags.setbits(_RESULTS if flags & CALLOUT_CANCEL else CALLOUT_STOP_RES)
            return False
        return not flags & CALLOUT_RESET

    def gave_up(self) -> None:
        """Note that the lock was not granted, since requests for it are canceled."""
        flags = self.flags.load()
        if flags & (CALLOUT_STOP | CALLOUT_CANCEL):
            self.flags.setbits(_RESULTS if flags & CALLOUT_CANCEL else CALLOUT_STOP_RES)

    def finish(self) -> None:
        """After the call, carry out what was requested meanwhile.  Locks: `c.spin`."""
        flags = self.flags.load()
        done = CALLOUT_INPROG | CALLOUT_STOP
        if flags & CALLOUT_CANCEL:
            if flags & CALLOUT_RESET:
                self.flags.setbits(_RESULTS)
            self.flags.clearbits(done | CALLOUT_SET | CALLOUT_CANCEL | CALLOUT_RESET)
        elif flags & CALLOUT_RESET:
            with self.softclock.wheel:
                self.softclock.insert(self)
                self.flags.clearbits(done | CALLOUT_RESET)
        else:
            self.flags.clearbits(done | CALLOUT_SET)
        self.wake()

    def result(self) -> bool:
        """Whether the last stop or cancel prevented a call."""
        return bool(self.flags.load() & _RESULTS)

    def check_use(self) -> None:
        """Panic if it is terminated."""
        if not self.flags.peek() & CALLOUT_DID_INIT:
            self.machine.panic(f"{self} is used after callout_terminate")

    def cancel_lock(self) -> None:
        """Have the softclock thread give up its request for the lock."""
        if self.lk is not None:
            self.lk.lock(LK_CANCEL_BEG)

    def uncancel_lock(self) -> None:
        if self.lk is not None:
            self.lk.lock(LK_CANCEL_END)

    def state(self) -> str:
        return flags_text(self.flags.peek())

    def __repr__(self) -> str:
        return f"callout {self.name!r}" if not self.name.startswith("callout") else self.name
