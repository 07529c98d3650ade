"""The sysctls of the pageout.

Models: the SYSCTLs of sys/vm/vm_pageout.c.
Locks: none; each number is read when it is used.
Deviations:
  * those of the emergency pager, of idle processes and of the aging of idle queues are left out;
    vm.page_free_hysteresis is with the limits that it belongs to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vmsmp.vm.sysctl import Sysctl, tunable

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem


def _pageout_lock_miss(vm: VmSystem) -> int:
    missed: int = vm.pageout.pageout_lock_miss
    return missed


SYSCTLS: Final = (
    tunable("vm.max_launder", "pageout.vm_max_launder", "dirty pages that the scans of all queues may write"),
    tunable(
        "vm.anonmem_decline",
        "pageout.vm_anonmem_decline",
        "activity that a page of anonymous memory loses unused",
    ),
    tunable("vm.filemem_decline", "pageout.vm_filemem_decline", "activity that any other page loses unused"),
    tunable(
        "vm.pageout_allow_active",
        "pageout.pageout_allow_active",
        "whether active pages are written with others",
    ),
    tunable(
        "vm.pageout_memuse_mode",
        "pageout.memuse_mode",
        "above the limit of a process: 1 unmap; 2 write, too; 3 all scans write at once",
    ),
    tunable(
        "vm.defer_swapspace_pageouts",
        "pageout.defer_swap_pageouts",
        "pages go to swap only if memory is short",
    ),
    tunable("vm.disable_swapspace_pageouts", "pageout.disable_swap_pageouts", "pages never go to swap"),
    Sysctl("vm.pageout_lock_miss", "vnodes that the pageout could not lock", _pageout_lock_miss),
)
