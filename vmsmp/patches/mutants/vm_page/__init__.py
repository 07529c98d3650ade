"""Mutants of the page layer (sys/vm/vm_page.c), one file per module of the model."""

from __future__ import annotations

from vmsmp.patches.mutants.vm_page import alloc, busy, free, lookup, page, page_hash, queues, wait

MUTANTS = (
    *busy.MUTANTS,
    *page.MUTANTS,
    *queues.MUTANTS,
    *alloc.MUTANTS,
    *free.MUTANTS,
    *page_hash.MUTANTS,
    *lookup.MUTANTS,
    *wait.MUTANTS,
)
