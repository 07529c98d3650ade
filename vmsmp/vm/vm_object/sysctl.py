"""The sysctls of objects, and of the swap that they have.

Models: the SYSCTLs of sys/vm/vm_object.c, and those of sys/vm/swap_pager.c that the stand-in has.
Locks: none; numbers are read as they are.
Deviations:
  * vm.swap_user_async, vm.swap_burst_read, vm.swap_free and vm.swap_size are here, since swap_pager.c has no
    module of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vmsmp.vm.sysctl import Sysctl

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem


def _object_debug(vm: VmSystem) -> int:
    return vm.objects.vm_object_debug


def _set_object_debug(vm: VmSystem, value: int) -> None:
    vm.objects.vm_object_debug = value


def _swap_user_async(vm: VmSystem) -> int:
    return vm.pager.swap_user_async


def _set_swap_user_async(vm: VmSystem, value: int) -> None:
    vm.pager.swap_user_async = value


def _swap_burst_read(vm: VmSystem) -> int:
    return vm.pager.swap_burst_read


def _set_swap_burst_read(vm: VmSystem, value: int) -> None:
    vm.pager.swap_burst_read = value


SYSCTLS: Final = (
    Sysctl(
        "vm.object_debug",
        "number of wired pages on a queue that terminations still report in full",
        _object_debug,
        _set_object_debug,
    ),
    Sysctl(
        "vm.swap_user_async",
        "whether other threads than the pagers may write to swap without waiting",
        _swap_user_async,
        _set_swap_user_async,
    ),
    Sysctl(
        "vm.swap_burst_read",
        "how many pages are read from swap together with the one asked for",
        _swap_burst_read,
        _set_swap_burst_read,
    ),
    Sysctl("vm.swap_free", "free blocks of swap", lambda vm: vm.pager.vm_swap_size),
    Sysctl("vm.swap_size", "blocks of swap", lambda vm: vm.pager.vm_swap_max),
)
