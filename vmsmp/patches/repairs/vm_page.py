"""Repairs of the page layer (sys/vm/vm_page.c)."""

from __future__ import annotations

from vmsmp.patches.patch import Edit, Repair

_MODULE = "vmsmp.vm.vm_page"

REPAIRS = (
    Repair(
        "vm-wait-interlocks",
        f"{_MODULE}:_sleep_for_pages",
        "_count_up(vm.pageout.vm_pages_waiting)",
        """
        from vmsmp.sync.errno import PINTERLOCKED
        from vmsmp.vm.vm_meter.counts import vmstats_rollup

        machine.tsleep_interlock(V_FREE_COUNT)
        _count_up(vm.pageout.vm_pages_waiting)
        vmstats_rollup(vm)
        if not vm_paging_min_nice(vm, nice):
            return
        """,
        "a CPU announces its sleep for pages before it tests for them a last time",
        also=(
            Edit(
                f"{_MODULE}:_sleep_for_pages",
                "machine.tsleep(V_FREE_COUNT, 0, wmesg",
                "machine.tsleep(V_FREE_COUNT, PINTERLOCKED, wmesg",
            ),
        ),
    ),
    Repair(
        "free-contig-asks-the-page",
        f"{_MODULE}:vm_page_free_contig",
        "if reserve is None or VM_PAGE_TO_PHYS(m) >= low:",
        "if reserve is None or not m.flags.bits(PG_FICTITIOUS):",
        "whether a page is low is what its flag says, wherever the bound has moved meanwhile",
        also=(
            Edit(
                f"{_MODULE}:vm_page_free_contig",
                "if VM_PAGE_TO_PHYS(m) + size > reserve.vm_low_phys_reserved.load():",
                "if m.phys + pages > reserve.booted:",
            ),
        ),
    ),
    Repair(
        "free-waits-for-guesses",
        f"{_MODULE}:vm_page_freezwq",
        "vm_page_busy_wait(m, False)",
        "vm_page_busy_wait(m, True)",
        "a kernel page is freed only once no guess of the page hash has it soft-busied",
        also=(
            Edit(
                f"{_MODULE}:_free_each",
                'vm_page_busy_wait(m, False, "cpgfr")',
                'vm_page_busy_wait(m, True, "cpgfr")',
            ),
        ),
    ),
    Repair(
        "grab-gives-up",
        f"{_MODULE}:_grab",
        'vm.panic("vm_page_grab: page fault, m is NULL")',
        "return None",
        "who does not want to wait is told that there is no page, as after a sleep for memory",
    ),
    Repair(
        "grab-may-lose-a-race",
        f"{_MODULE}:_grab",
        "if retry:\n    request |= VM_ALLOC_NULL_OK",
        "request |= VM_ALLOC_NULL_OK",
        "the page that another CPU has inserted meanwhile is no reason to stop",
    ),
    Repair(
        "low-run-is-aligned",
        f"{_MODULE}:vm_page_alloc_contig",
        "blk = alist_alloc(bl, 0, pages)",
        """
        more = max(pages, alignment // PAGE_SIZE)
        blk = alist_alloc(bl, 0, more)
        if blk != ALIST_BLOCK_NONE and more > pages:
            alist_free(bl, blk + pages, more - pages)
        if blk != ALIST_BLOCK_NONE and blk * PAGE_SIZE < low:
            alist_free(bl, blk, pages)
            blk = ALIST_BLOCK_NONE
        """,
        "a run of low memory comes from one as long as the alignment, and none from below `low`",
        also=(Edit(f"{_MODULE}:vm_page_alloc_contig", "del low, alignment, boundary", "del boundary"),),
    ),
    Repair(
        "unhold-wakes",
        f"{_MODULE}:vm_page_unhold",
        "vm_page_spin_unlock(m)",
        """
        vm_page_spin_unlock(m)
        from vmsmp.vm.vm_page.wait import vm_page_free_wakeup

        vm_page_free_wakeup(m.vm)
        """,
        "the last hold of a page that was freed wakes who waits for pages, as a free does",
    ),
    Repair(
        "oldest-guess-goes",
        "vmsmp.vm.vm_page.hash:vm_page_hash_enter",
        """
        if delta < -1 or first < delta:
            best = mp
        """,
        """
        if delta < -1 or first < delta:
            best = mp
            first = delta if delta >= 0 else 1 << 31
        """,
        "the element that has not been used for the longest time is replaced",
    ),
    Repair(
        "free-queues-have-the-mean",
        "vmsmp.vm.vm_page.numa:vm_numa_organize_finalize",
        "queues[:scale_lim]",
        "queues[vm.page.PQ_FREE : vm.page.PQ_FREE + scale_lim]",
        "the mean is that of the queues that lend and are lent to",
    ),
    Repair(
        "low-pages-are-cached-again",
        "vmsmp.vm.vm_page.contig:vm_page_alloc_contig",
        "if memattr != VM_MEMATTR_DEFAULT:",
        "if True:",
        "a page has the attribute that was asked for, also if that is the default",
    ),
)
