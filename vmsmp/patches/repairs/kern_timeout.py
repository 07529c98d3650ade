"""Repairs of the callouts (sys/kern/kern_timeout.c)."""

from __future__ import annotations

from vmsmp.patches.patch import Repair

REPAIRS = (
    Repair(
        "rearmed-call-in-progress",
        "vmsmp.sync.callout.callout:Callout.update",
        """
        if self.called_here():
            softclock.running = None  # the function acts on its own callout
            self.flags.clearbits(CALLOUT_SET | CALLOUT_INPROG)
        """,
        "",
        "what a function asks of its own callout is carried out when it ends; till then it is in progress",
    ),
    Repair(
        "cancel-of-another-call",
        "vmsmp.sync.callout.softclock:Softclock._call",
        """
        elif callout.lk.lock(LK_EXCLUSIVE | LK_CANCELABLE) == 0:
            func(*args)
            callout.lk.lock(LK_RELEASE)
        else:
            callout.step(callout.gave_up)
        """,
        """
        else:
            from vmsmp.sync.callout.callout import CALLOUT_CANCEL, CALLOUT_STOP

            while callout.lk.lock(LK_EXCLUSIVE | LK_CANCELABLE) != 0:
                if callout.flags.load() & (CALLOUT_STOP | CALLOUT_CANCEL):
                    callout.step(callout.gave_up)
                    return
                self.machine.pause()
            func(*args)
            callout.lk.lock(LK_RELEASE)
        """,
        "a call whose request for the lock is cancelled for another callout's sake asks again",
    ),
)
