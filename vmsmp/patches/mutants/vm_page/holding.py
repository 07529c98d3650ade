"""Mutants of holding and wiring a page."""

from __future__ import annotations

from vmsmp.patches.patch import Mutant

_MODULE = "vmsmp.vm.vm_page"

MUTANTS = (
    Mutant(
        "HW-02",
        f"{_MODULE}:vm_page_unhold",
        "if m.hold_count.load() == 0 and m.queue - m.pc == m.vm.page.PQ_HOLD:",
        "if True:",
        "INV-AL1",
        "the sweeper has sent the page on and a CPU has allocated it, and it goes to the free queue again",
        "hold_against_free",
    ),
    Mutant(
        "HW-03",
        f"{_MODULE}:vm_page_unhold",
        "last = m.hold_count.fetchadd(-1) == 1",
        """
        held = m.hold_count.load() - 1
        m.hold_count.store(held)
        last = held == 0
        """,
        "INV-HW1",
        "two holders leave and one of their decrements is lost",
        "holds_and_frees",
    ),
    Mutant(
        "HW-07",
        f"{_MODULE}:vm_page_wire",
        "if first:",
        "if True:",
        "INV-V2",
        "every wiring counts, not only the first of a page",
        "wire_against_free",
    ),
    Mutant(
        "HW-08",
        f"{_MODULE}:vm_page_unwire_quick",
        """
        if wire_count == 1:
            return True
        """,
        "pass",
        "INV-HW2",
        "two quick unwirings go to zero without the busy, and the page is on no queue",
        "wire_against_free",
    ),
    Mutant(
        "HW-31",
        f"{_MODULE}:vm_page_unwire",
        "elif activate or flags & PG_NEED_COMMIT:",
        "elif activate:",
        "INV-D2",
        "a page that waits for its commit is treated as one that is not needed",
        "pages_of_owners",
    ),
)
