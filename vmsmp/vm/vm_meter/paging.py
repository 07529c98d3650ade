"""Thresholds: whether memory is short, as the running CPU sees it.

Models: the vm_paging_* inlines of sys/vm/vm_page2.h.
Locks: none.  A test reads the CPU's own view of the counts, so it may be wrong until somebody rolls up.
Deviations: none known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem

# -- thresholds -----------------------------------------------------------------------------------


def _below(vm: VmSystem, threshold: int) -> bool:
    """Whether this CPU sees fewer free and cached pages than that, or the reserve touched."""
    view = vm.mycpu().gd_vmstats
    free: int = view.peek("v_free_count")
    return threshold > free + view.peek("v_cache_count") or vm.meter.limits.v_free_reserved > free


def vm_paging_severe(vm: VmSystem) -> bool:
    """Memory is so short that faults wait even without a reason of their own."""
    return _below(vm, vm.meter.limits.v_free_severe)


def vm_paging_min(vm: VmSystem) -> bool:
    """Below the minimum: those who need pages wait."""
    return _below(vm, vm.meter.limits.v_free_min)


def vm_paging_min_dnc(vm: VmSystem, donotcount: int) -> bool:
    """`vm_paging_min` with so many pages more to go."""
    return _below(vm, vm.meter.limits.v_free_min + donotcount)


def vm_paging_min_nice(vm: VmSystem, nice: int) -> bool:
    """`vm_paging_min` for a process of that niceness: who is nice waits earlier."""
    return _below(vm, vm.meter.limits.v_free_min + paging_extra(vm, nice))


def paging_extra(vm: VmSystem, nice: int) -> int:
    """How many pages above the minimum a process of that niceness waits already."""
    limits = vm.meter.limits
    return (nice + 20) * (max(0, limits.v_paging_wait - limits.v_free_min - 1) // 2) // 40 if nice else 0


def vm_paging_wait(vm: VmSystem) -> bool:
    """Below the mark at which the pagedaemon's victims should slow down."""
    return _below(vm, vm.meter.limits.v_paging_wait)


def vm_paging_start(vm: VmSystem, adj: int = 0) -> bool:
    """The pagedaemon should work; `adj` corrects the count for what may not be rolled up."""
    return _below(vm, vm.meter.limits.v_paging_start - adj)


def vm_paging_target1(vm: VmSystem) -> bool:
    """The pagedaemon's first aim is not reached."""
    return _below(vm, vm.meter.limits.v_paging_target1)


def vm_paging_target2(vm: VmSystem) -> bool:
    """The pagedaemon's final aim is not reached."""
    return _below(vm, vm.meter.limits.v_paging_target2)
