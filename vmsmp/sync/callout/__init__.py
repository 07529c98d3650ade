"""Callouts: functions that are called later, once, unless they are stopped before.

Models: sys/kern/kern_timeout.c, sys/sys/callout.h.
`callout_reset` sets the time and the function, and never blocks.  The softclock thread takes a callout off
the wheel, marks it INPROG, and then tests whether a stop, reset or cancel is requested; a request after that
test is too late to prevent the call.  A stop or cancel leaves its bit in the flags of a callout that is
INPROG, for the softclock thread to see.  A synchronous one sleeps on the callout until the bit is gone; its
result is 1 if it prevented the call.  `callout_stop` of a callout without a lock never waits.  With a lockmgr
lock (`callout_init_lk`) the softclock thread calls the function with the lock held, and a stop by the lock's
holder makes it give up its request for the lock.
Locks: `c.spin` before the wheel's spinlock.  The wheel's spinlock protects the wheel, and setting INPROG.
Deviations:
  * one wheel and one softclock thread for the machine, on a CPU of its own; the thread ends when nothing is
    queued, and runs again when something is.
  * a wheel is a list in order of time; ticks are the machine's, so they are not counted one by one.
  * the sleeps of `sleepq` have their own timeouts, not callouts.
  * *atomic*: each call is one step, and so is each action of the softclock thread besides the function.

| module | contents |
|---|---|
| callout | the callout, its flags, and how requests are carried out |
| softclock | the wheel and the thread that calls |
| exact | callouts with their spinlocks |
| atomic | each call in one step |
"""

from __future__ import annotations

from vmsmp.sync.callout.atomic import AtomicCallout
from vmsmp.sync.callout.callout import Callout
from vmsmp.sync.callout.exact import ExactCallout
from vmsmp.sync.callout.softclock import Softclock

__all__ = ["AtomicCallout", "Callout", "ExactCallout", "Softclock"]
