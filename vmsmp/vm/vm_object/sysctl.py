"""The sysctls of objects, and of the swap that they have.

Models: the SYSCTLs of sys/vm/vm_object.c, and those of sys/vm/swap_pager.c that the stand-in has.
Locks: none; numbers are read as they are.
Deviations:
  * vm.swap_user_async, vm.swap_burst_read, vm.swap_free and vm.swap_size are here, since swap_pager.c has no
    module of its own.
"""

from __future__ import annotations

from typing import Final

from vmsmp.vm.sysctl import Sysctl, tunable

SYSCTLS: Final = (
    tunable(
        "vm.object_debug",
        "objects.vm_object_debug",
        "number of wired pages on a queue that terminations still report in full",
    ),
    tunable(
        "vm.swap_user_async",
        "pager.swap_user_async",
        "whether other threads than the pagers may write to swap without waiting",
    ),
    tunable(
        "vm.swap_burst_read",
        "pager.swap_burst_read",
        "how many pages are read from swap together with the one asked for",
    ),
    Sysctl("vm.swap_free", "free blocks of swap", lambda vm: vm.pager.vm_swap_size),
    Sysctl("vm.swap_size", "blocks of swap", lambda vm: vm.pager.vm_swap_max),
)
