"""Mutants of the pagers (sys/vm/swap_pager.c)."""

from __future__ import annotations

from vmsmp.patches.patch import Mutant

_MODULE = "vmsmp.vm.vm_pager"

MUTANTS = (
    Mutant(
        "PC-09b",
        f"{_MODULE}.swap_io:_written",
        'vm_page_busy_wait(m, False, "swadpg")',
        "pass",
        "INV-SL3",
        "the device's CPU ends its soft busy without the hard busy, and takes that of another CPU with it",
        "flush_among_readers",
    ),
)
