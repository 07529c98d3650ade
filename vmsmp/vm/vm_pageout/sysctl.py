"""The sysctls of the pageout.

Models: the SYSCTLs of sys/vm/vm_pageout.c.
Locks: none; each number is read when it is used.
Deviations:
  * those of the emergency pager, of idle processes and of the aging of idle queues are left out;
    vm.page_free_hysteresis is with the limits that it belongs to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vmsmp.vm.sysctl import Sysctl

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem


def _switch(name: str, attribute: str, text: str) -> Sysctl:
    """A tunable of the pageout."""

    def read(vm: VmSystem) -> int:
        value: int = getattr(vm.pageout, attribute)
        return value

    def write(vm: VmSystem, value: int) -> None:
        setattr(vm.pageout, attribute, value)

    return Sysctl(f"vm.{name}", text, read, write)


def _pageout_lock_miss(vm: VmSystem) -> int:
    missed: int = vm.pageout.pageout_lock_miss
    return missed


SYSCTLS: Final = (
    _switch("max_launder", "vm_max_launder", "dirty pages that the scans of all queues may write"),
    _switch("anonmem_decline", "vm_anonmem_decline", "activity that a page of anonymous memory loses unused"),
    _switch("filemem_decline", "vm_filemem_decline", "activity that any other page loses unused"),
    _switch("pageout_allow_active", "pageout_allow_active", "whether active pages are written with others"),
    _switch(
        "pageout_memuse_mode",
        "memuse_mode",
        "above the limit of a process: 1 unmap; 2 write, too; 3 all scans write at once",
    ),
    _switch("defer_swapspace_pageouts", "defer_swap_pageouts", "pages go to swap only if memory is short"),
    _switch("disable_swapspace_pageouts", "disable_swap_pageouts", "pages never go to swap"),
    Sysctl("vm.pageout_lock_miss", "vnodes that the pageout could not lock", _pageout_lock_miss),
)
