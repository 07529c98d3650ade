"""Mutants of the page layer (sys/vm/vm_page.c), one file per part of it."""

from __future__ import annotations

from vmsmp.patches.mutants.vm_page import (
    alloc,
    busy,
    contig,
    free,
    holding,
    lookup,
    page_hash,
    queues,
    residency,
    wait,
)

MUTANTS = (
    *busy.MUTANTS,
    *holding.MUTANTS,
    *residency.MUTANTS,
    *queues.MUTANTS,
    *alloc.MUTANTS,
    *free.MUTANTS,
    *page_hash.MUTANTS,
    *lookup.MUTANTS,
    *wait.MUTANTS,
    *contig.MUTANTS,
)
