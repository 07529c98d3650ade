"""Counting pages, and rolling the counts up.

Models: vmstats_rollup of sys/vm/vm_meter.c and the counting of sys/vm/vm_page2.h.
Locks: none; the words are atomic.
Deviations:
  * the hardclock's rollup is made up for when a CPU comes back from a sleep for memory.
  * the rollup swaps every counter; the kernel skips one that is zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.vm_meter.meter import COUNTS
from vmsmp.vm.vm_meter.paging import vm_paging_start

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem

# -- counting -------------------------------------------------------------------------------------


def vmstats_add(vm: VmSystem, count: str, n: int = 1) -> None:
    """Count `n` more pages, in the CPU's delta and in its view."""
    gd = vm.mycpu()
    getattr(gd.gd_vmstats_adj, count).fetchadd(n)
    getattr(gd.gd_vmstats, count).fetchadd(n)


def vmstats_rem(vm: VmSystem, count: str) -> None:
    """Count one page less; hand a delta far below zero to the global set when paging is near."""
    gd = vm.mycpu()
    adj = getattr(gd.gd_vmstats_adj, count)
    left = adj.fetchadd(-1) - 1
    getattr(gd.gd_vmstats, count).fetchadd(-1)
    if left < -vm.meter.adj_limit and vm_paging_start(vm, -vm.meter.adj_limit * vm.ncpus):
        copy = adj.swap(0)
        getattr(vm.meter.vmstats, count).fetchadd(copy)


def vmstats_rollup(vm: VmSystem) -> None:
    """Add every CPU's delta to the global set, then renew this CPU's view of it.

    Locks: none; run by the hardclock, by an allocator before it gives up, and by the pageout.
    """
    for gd in vm.meter.cpus():
        for count in COUNTS:
            copy = getattr(gd.gd_vmstats_adj, count).swap(0)
            vm.mycpu()  # from its first count on a CPU has a globaldata, which others roll up
            if copy:
                getattr(vm.meter.vmstats, count).fetchadd(copy)
    mine = vm.mycpu().gd_vmstats
    for count in COUNTS:
        getattr(mine, count).value = getattr(vm.meter.vmstats, count).load()  # nobody else looks at ours


def hardclock(vm: VmSystem, since: int) -> None:
    """The clock interrupt, as far as counts go: if time has passed since that tick, roll up."""
    if vm.machine.ticks != since:
        vmstats_rollup(vm)
