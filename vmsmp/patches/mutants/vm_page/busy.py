"""Mutants of a page's busy word."""

from __future__ import annotations

from vmsmp.patches.patch import Edit, Mutant

_MODULE = "vmsmp.vm.vm_page"

MUTANTS = (
    Mutant(
        "BZ-01",
        f"{_MODULE}:vm_page_busy_try",
        "if m.busy_count.cmpset(busy_count, busy_count | PBUSY_LOCKED):",
        "if m.busy_count.setbits(PBUSY_LOCKED) >= 0:",
        "INV-PB1",
        "two CPUs pass the test before either sets LOCKED",
        "busy_storm",
    ),
    Mutant(
        "BZ-02",
        f"{_MODULE}:vm_page_busy_try",
        "if m.busy_count.cmpset(busy_count, busy_count | PBUSY_LOCKED):",
        "if not m.busy_count.setbits(PBUSY_LOCKED) & PBUSY_LOCKED:",
        "INV-PB2",
        "a soft busy comes between the test and LOCKED, and the owner frees a page that somebody reads",
        "read_against_free",
    ),
    Mutant(
        "BZ-03",
        f"{_MODULE}:vm_page_busy_wait",
        "m.vm.machine.tsleep_interlock(m)",
        "pass",
        "INV-SL3",
        "the wakeup comes between WANTED and the sleep",
        "busy_handoff",
        also=(
            Edit(f"{_MODULE}:_sleep_on", "m.vm.machine.tsleep(m, PINTERLOCKED,", "m.vm.machine.tsleep(m, 0,"),
        ),
    ),
    Mutant(
        "BZ-05",
        f"{_MODULE}:vm_page_sbusy_try",
        "if m.busy_count.cmpset(busy_count, busy_count + 1):",
        """
        busy_count = m.busy_count.fetchadd(1)
        if busy_count & PBUSY_LOCKED:
            m.busy_count.fetchadd(-1)
        else:
        """,
        "INV-PB2",
        "an owner sees a soft busy that is being taken back",
        "busy_storm",
    ),
    Mutant(
        "BZ-06",
        f"{_MODULE}:vm_page_sbusy_drop",
        "if busy_count - 1 == PBUSY_WANTED:",
        "if False:",
        "INV-SL3",
        "the last reader leaves, and the only waiter sleeps on",
        "busy_soft_against_hard",
    ),
    Mutant(
        "BZ-07",
        f"{_MODULE}:vm_page_sbusy_drop",
        """
        m.busy_count.clearbits(PBUSY_WANTED)
        m.vm.machine.wakeup(m)
        """,
        """
        m.vm.machine.wakeup(m)
        m.busy_count.clearbits(PBUSY_WANTED)
        """,
        "INV-SL3",
        "a woken CPU sets WANTED again before it is cleared, and the next wakeup does not see it",
        "busy_soft_against_hard",
    ),
    Mutant(
        "BZ-14",
        f"{_MODULE}:vm_page_flag_set",
        "m.flags.setbits(bits)",
        "m.flags.store(m.flags.load() | bits)",
        "INV-PB7",
        "a flag set by another CPU between the load and the store is lost",
        "page_storm",
    ),
)
