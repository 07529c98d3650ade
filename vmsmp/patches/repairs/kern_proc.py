"""Repairs of what the kernel shares with a thread (sys/kern/kern_proc.c)."""

from __future__ import annotations

from vmsmp.patches.patch import Repair

REPAIRS = (
    Repair(
        "page-is-unmapped-where-it-is",
        "vmsmp.vm.kern_proc:lwp_userunmap",
        'map: VmMap = lp.lwp_proc.hint("p_vmspace").vm_map',
        "map: VmMap = ba.map",
        "the page of a thread is unmapped from each map that it is in",
    ),
)
