"""Mutants of the pageout daemon's scans (sys/vm/vm_pageout.c)."""

from __future__ import annotations

from vmsmp.patches.patch import Edit, Mutant

_MODULE = "vmsmp.vm.vm_pageout"

MUTANTS = (
    Mutant(
        "PC-08a",
        f"{_MODULE}:vm_pageout_flush",
        "vm_page_io_start(m)",
        "pass",
        "INV-PB2",
        "a page is freed or taken between the hard busy's end and the soft one's beginning",
        "flush_against_those_who_free",
        also=(
            Edit(
                f"{_MODULE}:vm_pageout_flush",
                """
                vm_page_protect(m, VM_PROT_NONE if flags & OBJPC_TRY_TO_CACHE else VM_PROT_READ)
                vm_page_wakeup(m)
                """,
                """
                vm_page_protect(m, VM_PROT_NONE if flags & OBJPC_TRY_TO_CACHE else VM_PROT_READ)
                vm_page_wakeup(m)
                vm_page_io_start(m)
                """,
            ),
        ),
    ),
    Mutant(
        "PC-08b",
        f"{_MODULE}:vm_pageout_flush",
        """
        vm_page_protect(m, VM_PROT_NONE if flags & OBJPC_TRY_TO_CACHE else VM_PROT_READ)
        vm_page_wakeup(m)
        """,
        "vm_page_wakeup(m)",
        "INV-D2",
        "a process stores to a page while it is written, and what it stored is taken for written",
        "flush_against_stores",
        mended_by=("pageout-cleans-before-transfer",),
    ),
    Mutant(
        "PC-09",
        f"{_MODULE}:_written",
        'vm_page_busy_wait(m, False, "pgouw")',
        "pass",
        "INV-SL3",
        "a soft busy ends without the hard one, and takes that of another CPU with it",
        "sync_against_writers",
    ),
    Mutant(
        "PC-10",
        f"{_MODULE}:vm_pageout_flush",
        "vm_object_pip_add(obj, len(mc))",
        "pass",
        "INV-O7",
        "an object is terminated while pages of it are written, for their activity is counted too late",
        "flush_against_termination",
        also=(
            Edit(
                f"{_MODULE}:vm_pageout_flush",
                "done = 0",
                """
                vm_object_pip_add(obj, len(mc))
                done = 0
                """,
            ),
        ),
    ),
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
    Mutant(
        "PGO-31",
        f"{_MODULE}:vm_pageout_page",
        "if m.valid == 0 and not committing:",
        """
        if m.object is None:
            return leave(m, m.vm.page.PQ_INACTIVE)
        if m.valid == 0 and not committing:
        """,
        "INV-Q9",
        "a page that an allocator put out of its way is passed by every sweep, and is free no more",
        "pages_put_aside",
    ),
)
