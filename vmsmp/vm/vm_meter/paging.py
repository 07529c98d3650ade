"""Thresholds: whether memory is short, as the running CPU sees it.

Models: the vm_paging_* inlines of sys/vm/vm_page2.h.
Locks: none.  A test reads the CPU's own view of the counts, which is stale until the next rollup.
Deviations: none known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem

# -- thresholds -----------------------------------------------------------------------------------


def _below(vm: VmSystem, threshold: int) -> bool:
    """Return whether this CPU sees fewer free and cached pages than that, or the reserve in use."""
    free: int = vm.mycpu().gd_vmstats.peek("v_free_count")
    return threshold > _available(vm) or vm.meter.limits.v_free_reserved > free


def _available(vm: VmSystem) -> int:
    """Return how many free and cached pages this CPU sees."""
    view = vm.mycpu().gd_vmstats
    count: int = view.peek("v_free_count") + view.peek("v_cache_count")
    return count


def vm_paging_severe(vm: VmSystem) -> bool:
    """Return whether memory is so short that faulting processes keep waiting."""
    return _below(vm, vm.meter.limits.v_free_severe)


def vm_paging_min(vm: VmSystem) -> bool:
    """Return whether memory is below the minimum, where allocating processes wait."""
    return _below(vm, vm.meter.limits.v_free_min)


def vm_paging_min_dnc(vm: VmSystem, donotcount: int) -> bool:
    """`vm_paging_min` with the minimum raised by `donotcount` pages."""
    return _below(vm, vm.meter.limits.v_free_min + donotcount)


def vm_paging_min_nice(vm: VmSystem, nice: int) -> bool:
    """`vm_paging_min` for a process of that niceness: a nicer process waits earlier."""
    return _below(vm, vm.meter.limits.v_free_min + paging_extra(vm, nice))


def paging_extra(vm: VmSystem, nice: int) -> int:
    """Return how many pages above the minimum a process of that niceness starts to wait."""
    limits = vm.meter.limits
    return (nice + 20) * (max(0, limits.v_paging_wait - limits.v_free_min - 1) // 2) // 40 if nice else 0


def vm_paging_wait(vm: VmSystem) -> bool:
    """Return whether memory is below the threshold at which processes should slow down."""
    return _below(vm, vm.meter.limits.v_paging_wait)


def vm_paging_start(vm: VmSystem, adj: int = 0) -> bool:
    """Return whether the pagedaemon should run; `adj` corrects for deltas that are not rolled up yet.

    It should if free and cached pages together, free pages alone, or the reserve are short.
    """
    limits = vm.meter.limits
    free = vm.mycpu().gd_vmstats.peek("v_free_count")
    return _below(vm, limits.v_paging_start - adj) or limits.v_free_min > free + adj


def vm_paging_target1(vm: VmSystem) -> bool:
    """Return whether the pagedaemon's first target is still to be reached."""
    return _below(vm, vm.meter.limits.v_paging_target1)


def vm_paging_target2(vm: VmSystem) -> bool:
    """Return whether the pagedaemon's final target is still to be reached."""
    return _below(vm, vm.meter.limits.v_paging_target2)


def vm_paging_target1_count(vm: VmSystem) -> int:
    """Return how many pages are missing to the first target; negative if there are more."""
    return vm.meter.limits.v_paging_target1 - _available(vm)


def vm_paging_target2_count(vm: VmSystem) -> int:
    """Return how many pages are missing to the final target; negative if there are more."""
    return vm.meter.limits.v_paging_target2 - _available(vm)


def vm_paging_inactive(vm: VmSystem) -> bool:
    """Return whether active pages should be deactivated: free, cached and inactive ones are few."""
    return vm_paging_inactive_count(vm) > 0


def vm_paging_inactive_count(vm: VmSystem) -> int:
    """Return how many pages should become inactive; negative if too many are."""
    limits = vm.meter.limits
    inactive: int = vm.mycpu().gd_vmstats.peek("v_inactive_count")
    return limits.v_free_min + limits.v_inactive_target - _available(vm) - inactive
