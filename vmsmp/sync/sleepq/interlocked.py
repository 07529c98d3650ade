"""Sleeps that release a lock: no wakeup that comes after the release is missed.

All four announce the sleep, release the lock, sleep, and take the lock again, exclusively even if it was
shared before.  They return what `tsleep` returns, and test no condition: the caller loops.
Locks: the lock that is named, by the caller.  Sleeps: yes; tokens are lost.
Deviation: there is no serializer; `zsleep` takes any lock that stands for one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from vmsmp.sync.errno import LK_EXCLUSIVE, LK_RELEASE, PINTERLOCKED
from vmsmp.sync.lock import Lock
from vmsmp.sync.services import Services


def ssleep(machine: Services, ident: Any, spin: Lock, flags: int, wmesg: str, timo: int) -> int:
    """Sleep on `ident` without `spin`, a spinlock."""
    return _sleep_without(machine, ident, spin.release, spin.acquire, flags, wmesg, timo)


def lksleep(machine: Services, ident: Any, lkp: Any, flags: int, wmesg: str, timo: int) -> int:
    """Sleep on `ident` without `lkp`, a lockmgr lock.

    As in the kernel, the result of the second request is ignored: if the lock's own flags make requests
    fail, it may not be held on return.
    """
    release, acquire = partial(lkp.lock, LK_RELEASE), partial(lkp.lock, LK_EXCLUSIVE)
    return _sleep_without(machine, ident, release, acquire, flags, wmesg, timo)


def mtxsleep(machine: Services, ident: Any, mtx: Lock, flags: int, wmesg: str, timo: int) -> int:
    """Sleep on `ident` without `mtx`, a mutex."""
    return _sleep_without(machine, ident, mtx.release, mtx.acquire, flags, wmesg, timo)


def zsleep(machine: Services, ident: Any, slz: Lock, flags: int, wmesg: str, timo: int) -> int:
    """Sleep on `ident` without `slz`, which stands for a serializer."""
    return _sleep_without(machine, ident, slz.release, slz.acquire, flags, wmesg, timo)


def _sleep_without(
    machine: Services,
    ident: Any,
    release: Callable[[], object],
    acquire: Callable[[], object],
    flags: int,
    wmesg: str,
    timo: int,
) -> int:
    machine.tsleep_interlock(ident, flags)
    release()
    error = machine.tsleep(ident, flags | PINTERLOCKED, wmesg, timo)
    acquire()
    return error
