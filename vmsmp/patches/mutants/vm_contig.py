"""Mutants of contiguous memory from anywhere (sys/vm/vm_contig.c).

CG-08 has none: a page is busied under both spinlocks while it is on the queue, so that it is still there and
its object's when it is asked again, and `vm_page_cache` asks for wirings and holds itself.  CG-09 has none:
a page that stays busied while its file is written out stops the one CPU that does both.
"""

from __future__ import annotations

from vmsmp.patches.patch import Mutant

_MODULE = "vmsmp.vm.vm_contig"

MUTANTS = (
    Mutant(
        "CG-05a",
        f"{_MODULE}:_take_page",
        "if base != page.PQ_FREE or m.hold_count.load():",
        "if False:",
        "INV-AL1",
        "a page that was allocated since the search saw it free is taken into a run",
        "contig_against_kernel_pages",
    ),
    Mutant(
        "CG-05b",
        f"{_MODULE}:_take_page",
        "if vm_page_busy_try(m, True):",
        "if vm_page_busy_try(m, False):",
        "INV-PB2",
        "a page that the search saw idle is soft-busied by then, and is taken into a run",
        "contig_of_cached_pages",
    ),
    Mutant(
        "CG-07",
        f"{_MODULE}:_take_page",
        """
        _free_cached(m)
        continue
        """,
        """
        _free_cached(m)
        from vmsmp.vm.vm_page.busy import vm_page_busy_wait

        vm_page_busy_wait(m, True)
        _wire_free(m)
        return True
        """,
        "INV-AL1",
        "a cached page was freed to take it, and another CPU has allocated it first",
        "contig_of_cached_pages",
    ),
    Mutant(
        "QU-11b",
        f"{_MODULE}:vm_contig_pg_clean",
        "if m is not marker.tqe_next:",
        "if False:",
        "INV-Q1",
        "the page has gone to another queue, and the marker is spliced into that queue's list",
        "contig_cleans_queues",
    ),
)
