"""Mutants of holding, wiring, inserting, removing and renaming a page."""

from __future__ import annotations

from vmsmp.patches.patch import Mutant

_MODULE = "vmsmp.vm.vm_page"

MUTANTS = (
    Mutant(
        "HW-02",
        f"{_MODULE}:vm_page_unhold",
        "if m.hold_count.load() == 0 and m.queue - m.pc == m.vm.PQ_HOLD:",
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
        "AL-10",
        f"{_MODULE}:vm_page_insert",
        """
        m.object = None
        m.pindex = 0
        """,
        "pass",
        "INV-O1",
        "a page that lost the race for an index still says it is the object's",
        "grab_the_same_page",
    ),
    Mutant(
        "AL-25",
        f"{_MODULE}:vm_page_rename",
        "        vm_page_deactivate(m)\n",
        "        pass\n",
        "INV-Q7",
        "a cached page becomes dirty",
        "lookup_against_rename",
    ),
    Mutant(
        "AL-27",
        f"{_MODULE}:vm_page_remove",
        "vm_object_hold(obj)",
        """
        from vmsmp.vm.vm_object import vm_object_hold_shared

        vm_object_hold_shared(obj)
        """,
        "INV-O2",
        "two CPUs that hold the object shared count its pages down at once",
        "object_comes_and_goes",
    ),
)
