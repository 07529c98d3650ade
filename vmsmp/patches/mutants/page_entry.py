"""Mutants of a page's mappings (sys/platform/pc64/x86_64/pmap.c)."""

from __future__ import annotations

from vmsmp.patches.patch import Mutant

_MODULE = "vmsmp.vm.page_entry"

MUTANTS = (
    Mutant(
        "PMP-05",
        f"{_MODULE}:pmap_remove",
        """
        if pte & PTE_M:
            vm_page_dirty(m)
        if pte & PTE_V:
            pmap_removed_pte(m)
        """,
        """
        if pte & PTE_V:
            pmap_removed_pte(m)
        if pte & PTE_M:
            vm_page_dirty(m)
        """,
        "INV-D2",
        "the flags say that nobody maps the page before it is known what was written to it",
        "free_against_map",
    ),
    Mutant(
        "PMP-02",
        "vmsmp.vm.pmap.interlock:interlock_wait",
        "while icount & INTERLOCK_COUNT:",
        "while False:",
        "INV-D2",
        "a page is protected while another CPU has taken its entry away and not yet told what was written",
        "free_against_map",
    ),
)
