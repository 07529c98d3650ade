"""Repairs: each fixes a known finding in the kernel, so that a search can continue past it.

One file per kernel file.  `stress/known.toml` lists the findings and names the repair of each.
"""

from __future__ import annotations

from vmsmp.patches.repairs import kern_lock, kern_mutex, kern_spinlock, vm_object, vm_page

REPAIRS = (
    *kern_spinlock.REPAIRS,
    *kern_lock.REPAIRS,
    *kern_mutex.REPAIRS,
    *vm_object.REPAIRS,
    *vm_page.REPAIRS,
)
