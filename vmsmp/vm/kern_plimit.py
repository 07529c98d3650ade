"""Limits of a process: what becomes of a stack whose limit changes.

Models: kern_setrlimit of sys/kern/kern_plimit.c, as far as RLIMIT_STACK goes.
What is below the limit can be used, and what is between it and the greatest one cannot.
Locks: none; takes the map's.
Deviations:
  * the limit has one value, without a maximum.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.vm_map.flags import USRSTACK, VM_PROT_ALL, VM_PROT_NONE, round_page, trunc_page
from vmsmp.vm.vm_map.protect import vm_map_protect

if TYPE_CHECKING:
    from vmsmp.vm.vm_meter.meter import Proc


def setrlimit_stack(p: Proc, limit: int) -> None:
    """Let the process' stack have that many bytes, and change the rights of what is between the limits.

    Where that begins is rounded down, and its size up, each by itself.
    Locks: takes the map's.  Sleeps: for it.
    """
    before: int = p.hint("rlim_stack")
    p.publish("rlim_stack", limit)
    if before == limit:
        return
    prot = VM_PROT_ALL if limit > before else VM_PROT_NONE
    start = trunc_page(USRSTACK - max(before, limit))
    size = round_page(abs(limit - before))
    vm_map_protect(p.hint("p_vmspace").vm_map, start, start + size, prot, False)
