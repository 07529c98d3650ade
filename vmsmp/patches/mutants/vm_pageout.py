"""Mutants of the pageout daemon's scans (sys/vm/vm_pageout.c)."""

from __future__ import annotations

from vmsmp.patches.patch import Mutant

_MODULE = "vmsmp.vm.vm_pageout"

MUTANTS = (
    Mutant(
        "HW-05",
        f"{_MODULE}:vm_pageout_free_hold",
        "if m.hold_count.load() == 0 and vm_page_spin_trylock(m):",
        "if False:",
        "INV-Q6",
        "a page that a free under way left on a hold queue stays there for ever",
        "holds_and_frees",
    ),
    Mutant(
        "QU-11",
        f"{_MODULE}:_scan",
        "if m is not marker.tqe_next:",
        "if False:",
        "INV-Q1",
        "the page has gone to another queue, and the marker is spliced into that queue's list",
        "queues_against_sweeper",
    ),
    Mutant(
        "QU-12",
        f"{_MODULE}:_scan",
        "if m.flags.load() & PG_MARKER or vm_page_busy_try(m, True):",
        "if vm_page_busy_try(m, True):",
        "INV-Q3",
        "a scan takes the marker of another for a page",
        "two_sweepers",
    ),
)
