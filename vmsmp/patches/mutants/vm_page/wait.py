"""Mutants of waiting for free pages."""

from __future__ import annotations

from vmsmp.patches.patch import Mutant

_MODULE = "vmsmp.vm.vm_page"

MUTANTS = (
    Mutant(
        "VS-07",
        f"{_MODULE}:vm_page_free_wakeup",
        """
        vm.pageout.vm_pages_waiting.store(0)
        vm.machine.wakeup(V_FREE_COUNT)
        """,
        """
        vm.machine.wakeup(V_FREE_COUNT)
        vm.pageout.vm_pages_waiting.store(0)
        """,
        "INV-PG1",
        "a CPU that starts to wait after the wakeup is not counted, and the next free wakes nobody",
        "wait_for_a_free",
    ),
)
