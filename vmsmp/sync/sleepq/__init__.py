"""tsleep and wakeup: sleep queues by ident, and the interlock that keeps wakeups from being lost.

Models: sys/kern/kern_synch.c.
A sleeper announces itself with `tsleep_interlock`, publishes that it waits by an atomic operation that fails
if the state has changed, and only then sleeps.  A waker changes the state, and calls `wakeup` if a waiter is
published.  Whichever of the two atomic operations comes first, the sleeper is either seen or does not sleep.
An ident is a value: it is only compared.

*exact*: every CPU has its own queues; a global CPU mask for each bucket and four ident hints for
each queue tell a waker which CPUs to send an IPI; the IPI wakes the sleeper on its own CPU.
*atomic*: one list for the machine; announcing, waking and falling asleep are one step each.
Locks: queues and hints are changed on their own CPU only, in a critical section.
`interlocked` has the sleeps that release a lock meanwhile: ssleep, lksleep, mtxsleep, zsleep.
Deviations:
  * 8 buckets with a queue each, instead of up to 2,000,003 that share 1/16 as many queues; with one thread
    per CPU, a queue has one thread at most.
  * the IPIs of one wakeup go to the lowest CPU first, as in the recordings of the kernel's code that the
    tests follow; the kernel itself goes from the highest CPU down.
  * wakeups are sent at once: the per-CPU delay (`wakeup_start_delayed`) is not modelled.
  * `signal` marks the thread on its own CPU; there are no real signals and no lwp_token.  The sleep that a
    signal ends consumes it, as if the program returned to user mode there.
  * whether a timeout still fires after a wakeup is decided by the clock; with `timeouts="any"` a sleep ends
    by its timeout or by a wakeup, never by both.
  * *atomic*: a wakeup reaches all CPUs in one step; at the exact depth an IPI that is delivered late may
    also end the next sleep of its CPU.
"""

from __future__ import annotations

from vmsmp.sync.sleepq.atomic import AtomicSleepQueues
from vmsmp.sync.sleepq.exact import MATCH_ALL, ExactSleepQueues, bucket_of
from vmsmp.sync.sleepq.interlocked import lksleep, mtxsleep, ssleep, zsleep
from vmsmp.sync.sleepq.queues import SleepQueues

__all__ = [
    "MATCH_ALL",
    "AtomicSleepQueues",
    "ExactSleepQueues",
    "SleepQueues",
    "bucket_of",
    "lksleep",
    "mtxsleep",
    "ssleep",
    "zsleep",
]
