"""Counting pages, and rolling the counts up.

Models: vmstats_rollup and vmstats_rollup_cpu of sys/vm/vm_meter.c and the counting of sys/vm/vm_page2.h.
Locks: none; the words are atomic.
Deviations:
  * the hardclock's rollup runs for all CPUs when one returns from a sleep for memory, or from a fault's wait
    for memory that needed no sleep; not at every tick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.vm_meter.meter import COUNTS
from vmsmp.vm.vm_meter.paging import vm_paging_start

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_meter.meter import Globaldata

# -- counting -------------------------------------------------------------------------------------


def vmstats_add(vm: VmSystem, count: str, n: int = 1) -> None:
    """Add `n` pages to the CPU's delta and to its view."""
    gd = vm.mycpu()
    getattr(gd.gd_vmstats_adj, count).fetchadd(n)
    getattr(gd.gd_vmstats, count).value += n  # no other CPU reads ours


def vmstats_rem(vm: VmSystem, count: str) -> None:
    """Subtract one page; add a delta far below zero to the global set when paging is near."""
    gd = vm.mycpu()
    adj = getattr(gd.gd_vmstats_adj, count)
    adj.fetchadd(-1)
    getattr(gd.gd_vmstats, count).value -= 1  # as above
    if adj.load() < -vm.meter.adj_limit and vm_paging_start(vm, -vm.meter.adj_limit * vm.ncpus):
        copy = adj.swap(0)
        getattr(vm.meter.vmstats, count).fetchadd(copy)


def vmstats_rollup(vm: VmSystem) -> None:
    """Add every CPU's delta to the global set, then refresh this CPU's view of it.

    Locks: none.  The hardclock, an allocator before it gives up, and the pageout call it.
    """
    mine = vm.mycpu().gd_vmstats
    for gd in vm.meter.cpus():
        vmstats_rollup_cpu(vm, gd)
    for count in COUNTS:
        getattr(mine, count).value = getattr(vm.meter.vmstats, count).load()  # no other CPU reads ours


def vmstats_rollup_cpu(vm: VmSystem, gd: Globaldata) -> None:
    """Add one CPU's deltas to the global set.  Locks: none; any CPU may do so for any other."""
    for count in COUNTS:
        delta = getattr(gd.gd_vmstats_adj, count)
        if delta.load():
            copy = delta.swap(0)
            getattr(vm.meter.vmstats, count).fetchadd(copy)


def hardclock(vm: VmSystem, since: int) -> None:
    """Do the clock interrupt's part: roll the counts up if time has passed since tick `since`."""
    if vm.machine.ticks != since:
        vmstats_rollup(vm)
