"""Who is killed when swap is full and too few pages can be had: the process with the most anonymous memory.

Models: vm_pageout_scan_callback of sys/vm/vm_pageout.c, and the end of vm_pageout_scan_cache, which calls it
for all processes.
Whether a process was killed before, or is about to end, is not looked at, as in the kernel.
Locks: a process' token while it is looked at.  Its address space is held for the counts.
Deviations:
  * no process is the system's, and none is without a state in which it can be killed.
  * the signal is a flag (P_LOWMEMKILL); nobody ends by it here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.engine.clock import HZ
from vmsmp.vm.vm_map.counters import vmspace_anonymous_count, vmspace_swap_count
from vmsmp.vm.vm_meter.meter import P_LOWMEMKILL
from vmsmp.vm.vm_page.wait import V_FREE_COUNT

if TYPE_CHECKING:
    from vmsmp.vm.vm_glue import Swapper
    from vmsmp.vm.vm_meter.meter import Proc


class Killer:
    """The time of the last kill, long ago at first; and the largest process that a scan has come to."""

    def __init__(self, swapper: Swapper) -> None:
        self.swapper = swapper
        self.lastkillticks = -HZ
        self.bigproc: Proc | None = None
        self.bigsize = 0


def vm_pageout_kill(killer: Killer) -> Proc | None:
    """Kill the largest process, but at most one in a second; return it.  Sleeps: for tokens."""
    vm = killer.swapper.vm
    if vm.machine.ticks - killer.lastkillticks < HZ:
        return None
    killer.lastkillticks = vm.machine.ticks
    killer.bigproc, killer.bigsize = None, 0
    for p, token in killer.swapper.allproc:
        token.acquire()
        vm_pageout_scan_callback(killer, p)
        token.release()
        vm.pause_tokens("lwkt_yield")
    if killer.bigproc is not None:
        vm.kprintf(f"Try to kill process {killer.bigproc.name}")
        killer.bigproc.p_flags.setbits(P_LOWMEMKILL)
        vm.machine.wakeup(V_FREE_COUNT)
    return killer.bigproc


def vm_pageout_scan_callback(killer: Killer, p: Proc) -> None:
    """Note a process that is larger than all before.  Locks: its token."""
    size = vmspace_anonymous_count(p.p_vmspace) + vmspace_swap_count(p.p_vmspace)
    if killer.bigsize < size:
        killer.bigproc, killer.bigsize = p, size
