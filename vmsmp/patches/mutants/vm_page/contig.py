"""Mutants of contiguous memory from low pages.

CG-02 with the lock taken again for the give-back has none: what it shows is a request that fails too soon.
CG-11 are assertions, which only look.
"""

from __future__ import annotations

from vmsmp.patches.patch import Mutant

_MODULE = "vmsmp.vm.vm_page"

MUTANTS = (
    Mutant(
        "CG-01a",
        f"{_MODULE}:vm_page_alloc_contig",
        "spin, bl = reserve.vm_contig_spin, reserve.vm_contig_alist",
        'spin, bl = vm.machine.spinlock("mine"), reserve.vm_contig_alist',
        "INV-CG1",
        "two drivers change the tree of free blocks at once",
        "low_memory_storm",
    ),
    Mutant(
        "CG-01b",
        f"{_MODULE}:vm_page_free_contig",
        """
        reserve.vm_contig_spin.acquire()
        _tell(vm, vm.hooks.freed, run)
        alist_free(reserve.vm_contig_alist, m.phys, pages)
        reserve.vm_contig_spin.release()
        """,
        """
        _tell(vm, vm.hooks.freed, run)
        alist_free(reserve.vm_contig_alist, m.phys, pages)
        """,
        "INV-CG1",
        "a driver frees blocks while another changes the tree",
        "low_memory_storm",
    ),
    Mutant(
        "CG-02",
        f"{_MODULE}:vm_page_alloc_contig",
        """
        alist_free(bl, blk, pages)
        spin.release()
        """,
        """
        spin.release()
        alist_free(bl, blk, pages)
        """,
        "INV-CG1",
        "a run that ends too high is given back without the lock",
        "low_memory_is_returned",
    ),
    Mutant(
        "CG-04",
        f"{_MODULE}:_give_back",
        """
        vm_page_flag_clear(m, PG_FICTITIOUS | PG_UNQUEUED)
        vm_page_busy_wait(m, False, "pgspn")
        vm_page_unwire(m, False)
        vm_page_free(m)
        """,
        """
        vm_page_busy_wait(m, False, "pgspn")
        vm_page_unwire(m, False)
        vm_page_free(m)
        vm_page_flag_clear(m, PG_FICTITIOUS | PG_UNQUEUED)
        """,
        "INV-CG3",
        "a low page is freed while it is still fictitious, which leaves it wired and on no queue",
        "low_memory_is_returned",
    ),
)
