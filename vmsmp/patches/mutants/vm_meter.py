"""Mutants of the page counters (sys/vm/vm_meter.c)."""

from __future__ import annotations

from vmsmp.patches.patch import Mutant

_MODULE = "vmsmp.vm.vm_meter"

MUTANTS = (
    Mutant(
        "VS-02",
        f"{_MODULE}:vmstats_rollup_cpu",
        "copy = delta.swap(0)",
        """
        copy = delta.load()
        delta.store(0)
        """,
        "INV-V1",
        "what the other CPU counts between the load and the store is lost",
        "stats_rollup",
    ),
    Mutant(
        "VS-03",
        f"{_MODULE}:vmstats_rem",
        "if adj.load() < -vm.meter.adj_limit and vm_paging_start(vm, -vm.meter.adj_limit * vm.ncpus):",
        "if False:",
        "INV-V4",
        "a CPU does not report how many pages it took, and the pagedaemon sleeps on",
        "alloc_storm_many_colours",
    ),
)
