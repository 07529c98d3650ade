"""Mutants of freeing and caching a page."""

from __future__ import annotations

from vmsmp.patches.patch import Mutant

_MODULE = "vmsmp.vm.vm_page"

MUTANTS = (
    Mutant(
        "AL-18",
        f"{_MODULE}:vm_page_cache",
        'if m.hint("dirty") or m.flags.bits(PG_NEED_COMMIT):',
        "if False:",
        "INV-Q7",
        "what a process wrote just before it was unmapped is cached as clean, and lost",
        "free_against_map",
    ),
    Mutant(
        "AL-19",
        f"{_MODULE}:vm_page_try_to_free",
        """
        vm_page_protect(m, VM_PROT_NONE)
        if m.hint("dirty") or m.flags.bits(PG_NEED_COMMIT):
            vm_page_wakeup(m)
            return False
        """,
        "vm_page_protect(m, VM_PROT_NONE)",
        "INV-D2",
        "what a process wrote just before it was unmapped is thrown away",
        "free_against_map",
    ),
    Mutant(
        "AL-20",
        f"{_MODULE}:vm_page_try_to_free",
        "or m.queue_base() in (vm.page.PQ_FREE, vm.page.PQ_HOLD)",
        "or False",
        "INV-AL1",
        "a page that was freed meanwhile is freed again",
        "kernel_pages",
    ),
)
