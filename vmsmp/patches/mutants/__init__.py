"""Mutants: each removes one of the kernel's guards, and a checker must notice.

One file (or, where a kernel file is large, one package) per kernel file. An id names the mechanism and the
race site: SP spinlocks, TK tokens, LK lockmgr, SL sleep queues, RC reference counts, MX mutexes, IP IPIs, CO
callouts, BZ busy pages, HW holds and wirings, QU queues, AL allocation, HL hash and lookup, OB objects, VS
counters, PGO the pageout, PMP mappings, TLB invalidations and switches of address spaces, CG contiguous
memory, MAP TRN INS COW VMS address spaces, FLT faults, TB walks and the textbook's TLB shootdown; of the
textbook's mechanisms BD the buddy allocator, CK CLOCK. A letter distinguishes the mutants of one site. Each
entry says which invariant breaks and which scenario shows it; no scenario was written for a mutant.
"""

from __future__ import annotations

from vmsmp.patches.mutants import (
    kern_lock,
    kern_mutex,
    kern_refcount,
    kern_spinlock,
    kern_synch,
    kern_timeout,
    lwkt_ipiq,
    lwkt_token,
    mmu,
    pmap,
    pmap_inval,
    swtch,
    textbook,
    vm_contig,
    vm_fault,
    vm_map,
    vm_meter,
    vm_object,
    vm_page,
    vm_pageout,
    vm_pager,
)

SYNC_MUTANTS = (
    *kern_spinlock.MUTANTS,
    *lwkt_token.MUTANTS,
    *kern_lock.MUTANTS,
    *kern_synch.MUTANTS,
    *kern_refcount.MUTANTS,
    *kern_mutex.MUTANTS,
    *lwkt_ipiq.MUTANTS,
    *kern_timeout.MUTANTS,
)
VM_MUTANTS = (
    *vm_page.MUTANTS,
    *vm_pageout.MUTANTS,
    *vm_meter.MUTANTS,
    *vm_object.MUTANTS,
    *vm_contig.MUTANTS,
    *vm_pager.MUTANTS,
    *vm_map.MUTANTS,
    *vm_fault.MUTANTS,
    *pmap.MUTANTS,
    *pmap_inval.MUTANTS,
    *swtch.MUTANTS,
)
MMU_MUTANTS = mmu.MUTANTS
TEXTBOOK_MUTANTS = textbook.MUTANTS
MUTANTS = (*SYNC_MUTANTS, *MMU_MUTANTS, *VM_MUTANTS, *TEXTBOOK_MUTANTS)
