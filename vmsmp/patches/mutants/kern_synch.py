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
            return False  # we slept on something else meanwhile
        """,
        "",
        "INV-SL3",
        "the wakeup came after the interlock, and the sleeper falls asleep anyway",
        "busy_bit_handoff",
    ),
)
