"""Repairs: each fixes a known finding in the kernel, so that a search can continue past it.

One file per kernel file.  `stress/known.toml` lists the findings and names the repair of each.
"""

from __future__ import annotations

from vmsmp.patches.repairs import (
    kern_lock,
    kern_mutex,
    kern_plimit,
    kern_proc,
    kern_spinlock,
    kern_timeout,
    pmap,
    pmap_inval,
    vm_contig,
    vm_fault,
    vm_glue,
    vm_kern,
    vm_map,
    vm_map_books,
    vm_map_rights,
    vm_map_stack,
    vm_mmap,
    vm_object,
    vm_page,
    vm_pageout,
    vm_pager,
    vm_swap,
    vm_swapcache,
    vm_unix,
)

REPAIRS = (
    *kern_spinlock.REPAIRS,
    *kern_lock.REPAIRS,
    *kern_mutex.REPAIRS,
    *kern_plimit.REPAIRS,
    *kern_proc.REPAIRS,
    *kern_timeout.REPAIRS,
    *vm_object.REPAIRS,
    *vm_page.REPAIRS,
    *vm_pageout.REPAIRS,
    *vm_pager.REPAIRS,
    *vm_swap.REPAIRS,
    *vm_swapcache.REPAIRS,
    *vm_contig.REPAIRS,
    *vm_glue.REPAIRS,
    *vm_kern.REPAIRS,
    *vm_map.REPAIRS,
    *vm_map_books.REPAIRS,
    *vm_map_stack.REPAIRS,
    *vm_map_rights.REPAIRS,
    *vm_mmap.REPAIRS,
    *vm_unix.REPAIRS,
    *vm_fault.REPAIRS,
    *pmap.REPAIRS,
    *pmap_inval.REPAIRS,
)
