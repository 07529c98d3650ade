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
    Mutant(
        "PC-09c",
        f"{_MODULE}.swap_io:_read",
        """
        m.busy_count.clearbits(PBUSY_SWAPINPROG)
        if m is bio.awaited:
            vm_page_flash(m)
        else:
            vm_page_deactivate(m)
            vm_page_wakeup(m)
        """,
        """
        if m is bio.awaited:
            vm_page_flash(m)
            m.busy_count.clearbits(PBUSY_SWAPINPROG)
        else:
            m.busy_count.clearbits(PBUSY_SWAPINPROG)
            vm_page_deactivate(m)
            vm_page_wakeup(m)
        """,
        "INV-SL3",
        "the reader is woken while its page is still being read, waits again, and nobody wakes it any more",
        "read_in_against_termination",
    ),
    Mutant(
        "PC-09d",
        f"{_MODULE}.swap_io:swap_pager_getpage",
        "if m.busy_count.cmpset(busy_count, busy_count | PBUSY_SWAPINPROG | PBUSY_WANTED):",
        "if m.busy_count.cmpset(busy_count, busy_count | PBUSY_SWAPINPROG):",
        "INV-SL3",
        "the reader sleeps, and the page does not say so to whoever has read it",
        "read_in_against_termination",
    ),
    Mutant(
        "SW-01",
        f"{_MODULE}.swap_meta:swap_pager_page_inserted",
        "if m.pindex in obj.swblock_root:",
        "if False:",
        "INV-SW2",
        "a page that is read ahead does not say that it has swap, which is kept when it is written to",
        "pages_read_ahead",
    ),
)
