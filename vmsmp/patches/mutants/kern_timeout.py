"""Mutants of the callouts (sys/kern/kern_timeout.c)."""

from __future__ import annotations

from vmsmp.patches.patch import Mutant

_PACKAGE = "vmsmp.sync.callout"

MUTANTS = (
    Mutant(
        "CO-01",
        f"{_PACKAGE}.exact:ExactCallout._await",
        """
        self.machine.tsleep_interlock(self)
        if not self.flags.fetchadd(0) & request:
            break
        """,
        """
        if not self.flags.fetchadd(0) & request:
            break
        self.machine.tsleep_interlock(self)
        """,
        "INV-SL3",
        "the call ends, and its wakeup comes, between the look at the flags and the interlock",
        "callout_torn_down",
    ),
    Mutant(
        "CO-02",
        f"{_PACKAGE}.callout:Callout.update",
        "if not flags & CALLOUT_INPROG:",
        "if True:",
        "INV-CO1",
        "a callout that the softclock thread has just taken is taken off the wheel once more",
        "callout_torn_down",
    ),
    Mutant(
        "CO-03",
        f"{_PACKAGE}.exact:ExactCallout.withdraw",
        "if wait and not self.called_here() and self.flags.load() & request:",
        "if False:",
        "INV-CO1",
        "a cancel does not wait for a call that has begun",
        "callout_torn_down",
    ),
    Mutant(
        "CO-04",
        f"{_PACKAGE}.callout:Callout.finish",
        "self.wake()",
        "pass",
        "INV-SL3",
        "nobody wakes who waits for the end of the call",
        "callout_torn_down",
    ),
)
