"""Mutants of the sleep queues (sys/kern/kern_synch.c)."""

from __future__ import annotations

from vmsmp.patches.patch import Mutant

_PACKAGE = "vmsmp.sync.sleepq"

MUTANTS = (
    Mutant(
        "SL-03",
        f"{_PACKAGE}.queues:SleepQueues.deschedule",
        """
        if not td.td_flags & TDF_TSLEEPQ:
            return False
        if td.td_wchan != ident or td.td_wdomain != flags & PDOMAIN_MASK:
            return False  # the thread slept on something else meanwhile
        """,
        "",
        "INV-SL3",
        "the wakeup came after the interlock, and the sleeper falls asleep anyway",
        "busy_bit_handoff",
    ),
    Mutant(
        "SL-13",
        f"{_PACKAGE}.interlocked:_sleep_without",
        """
        machine.tsleep_interlock(ident, flags)
        release()
        """,
        """
        release()
        machine.tsleep_interlock(ident, flags)
        """,
        "INV-SL3",
        "the state changes and the wakeup comes between the release of the lock and the interlock",
        "sleeps_that_let_go_of_a_lock",
    ),
)
