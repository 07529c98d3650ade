"""Mutexes: exclusive with recursion, and shared; the releaser hands the mutex to those who wait.

Models: sys/kern/kern_mutex.c, sys/sys/mutex.h, sys/sys/mutex2.h.
A request that has to wait puts a link into one of two lists, whose spin bit is in the state word, and
sleeps on the link.  The last release gives its own count to the first writer, or to all readers if no
writer waits.  New readers wait behind writers.
Locks: no spinlock may be held.  A contested request is a blocking point: tokens are lost.
A request with a link can be aborted by others; one whose link has a callback is not waited for.  As a
spinlock (`spinlock`, `spinunlock`) a mutex spins, in a critical section, and nobody may sleep with it.

| module | contents |
|---|---|
| lock | what both depths offer |
| mtx | struct mtx, struct mtx_link and the invariants of their words |
| link | how a request waits, gives up or is aborted |
| request | exclusive, shared, and the tries |
| release | unlock, the grants that it makes, upgrade and downgrade |
| exact | the exact mutex |
| atomic | the same contract in one step |
"""

from __future__ import annotations

from vmsmp.sync.mutex.atomic import AtomicMutex
from vmsmp.sync.mutex.exact import ExactMutex
from vmsmp.sync.mutex.link import mtx_abort_link
from vmsmp.sync.mutex.lock import Mutex
from vmsmp.sync.mutex.mtx import MtxLink, StructMtx
from vmsmp.sync.mutex.request import mtx_lock_ex, mtx_lock_sh

__all__ = [
    "AtomicMutex",
    "ExactMutex",
    "MtxLink",
    "Mutex",
    "StructMtx",
    "mtx_abort_link",
    "mtx_lock_ex",
    "mtx_lock_sh",
]
