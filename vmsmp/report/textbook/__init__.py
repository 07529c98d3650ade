"""The textbook's chapters: what each shows is computed by models in `vmsmp.mmu` when it is shown."""

from __future__ import annotations

from typing import Final

from vmsmp.report.textbook import (
    buddy,
    caches,
    clock,
    demand,
    entries,
    levels,
    mappings,
    paging,
    reclaim,
    replacement,
    segmentation,
    shootdown,
    thrashing,
    tlb,
    working_set,
)

#: In the order in which a student may read them.
CHAPTERS: Final = (
    segmentation.CHAPTER,
    paging.CHAPTER,
    levels.CHAPTER,
    entries.CHAPTER,
    tlb.CHAPTER,
    shootdown.CHAPTER,
    caches.CHAPTER,
    demand.CHAPTER,
    replacement.CHAPTER,
    clock.CHAPTER,
    working_set.CHAPTER,
    thrashing.CHAPTER,
    reclaim.CHAPTER,
    mappings.CHAPTER,
    buddy.CHAPTER,
)
