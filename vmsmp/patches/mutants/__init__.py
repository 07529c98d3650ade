"""Mutants: each removes one of the kernel's guards, and a checker must notice.

One file (or, where a kernel file is large, one package) per kernel file.  An id names the mechanism and the
race site: SP spinlocks, TK tokens, LK lockmgr, SL sleep queues, RC reference counts, MX mutexes, BZ busy
pages, HW holds and wirings, QU queues, AL allocation, HL hash and lookup, OB objects, VS counters.  A letter
distinguishes the mutants of one site.  Each entry says which invariant breaks and which scenario shows it; no
scenario was written for a mutant.
"""

from __future__ import annotations

from vmsmp.patches.mutants import (
    kern_lock,
    kern_mutex,
    kern_refcount,
    kern_spinlock,
    kern_synch,
    lwkt_token,
    vm_meter,
    vm_object,
    vm_page,
    vm_pageout,
)

SYNC_MUTANTS = (
    *kern_spinlock.MUTANTS,
    *lwkt_token.MUTANTS,
    *kern_lock.MUTANTS,
    *kern_synch.MUTANTS,
    *kern_refcount.MUTANTS,
    *kern_mutex.MUTANTS,
)
VM_MUTANTS = (*vm_page.MUTANTS, *vm_pageout.MUTANTS, *vm_meter.MUTANTS, *vm_object.MUTANTS)
MUTANTS = (*SYNC_MUTANTS, *VM_MUTANTS)
