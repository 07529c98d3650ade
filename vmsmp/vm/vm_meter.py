"""Page counts: one set for the machine, and two a CPU that keep it from being fought over.

Models: sys/vm/vm_meter.c and the inlines of sys/vm/vm_page2.h.
`gd_vmstats_adj` holds what a CPU has counted and not yet added to the global set; `gd_vmstats` is its
own view of the global set, which every threshold test reads, so a test may be wrong until somebody
rolls up.
Locks: none; `gd_vmstats_adj` is atomic because other CPUs swap it to zero, `gd_vmstats` is written by
its own CPU alone, the global set is atomic.
Thresholds in order: reserved < severe < minimum < wait < start < target1 < target2, in pages.
Deviations:
  * the hardclock's rollup is made up for when a CPU comes back from a sleep for memory.
  * the rollup swaps every counter, also one that is zero (the facts give it by its effect only).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from vmsmp.engine import ops
from vmsmp.sync.field import Record, record, word

if TYPE_CHECKING:
    from vmsmp.engine.cpu import Cpu
    from vmsmp.vm.vm_init import VmSystem

#: The counts of pages by queue type, and of wired pages.
COUNTS: Final = ("v_free_count", "v_cache_count", "v_inactive_count", "v_active_count", "v_wire_count")


@record()
class Vmmeter(Record):
    """struct vmmeter: pages by what list they are on."""

    plain = ("_name",)

    kind = "vmmeter"

    v_free_count: Any = word()
    v_cache_count: Any = word()
    v_inactive_count: Any = word()
    v_active_count: Any = word()
    v_wire_count: Any = word()

    def __init__(self, vm: VmSystem, ident: int, name: str) -> None:
        self.settle(vm, ident)
        self._name = name
        words = self.words if self.host is None else self.free_words
        for count in COUNTS:
            setattr(self, count, words[count](self, 0))

    @property
    def name(self) -> str:
        return self._name

    def state(self) -> str:
        return ", ".join(f"{count[2:-6]} {self.peek(count)}" for count in COUNTS)


class Globaldata:
    """struct globaldata: what one CPU keeps for itself.

    `nice` is that of the process it runs, `p_lowmemkill` whether that one is being killed for memory,
    `systhread` whether it is a thread of the kernel's own, `objects` how many it has made.
    """

    __slots__ = (
        "cpu",
        "gate",
        "gd_vmstats",
        "gd_vmstats_adj",
        "nice",
        "objects",
        "p_lowmemkill",
        "systhread",
        "v_reactivated",
        "v_tfree",
    )

    def __init__(self, vm: VmSystem, cpu: Cpu, ident: int) -> None:
        self.cpu = cpu
        self.gd_vmstats = Vmmeter(vm, ident, f"{cpu}.gd_vmstats")
        self.gd_vmstats_adj = Vmmeter(vm, ident + METER_STRIDE, f"{cpu}.gd_vmstats_adj")
        for count in COUNTS:  # a CPU starts with a view of what boot counted
            getattr(self.gd_vmstats, count).value = vm.vmstats.peek(count)
        self.nice = 0
        #: Ghost: free and cached pages as an allocation saw them at its gate.
        self.gate = (0, 0)
        self.objects = 0
        self.p_lowmemkill = False
        self.systhread = False
        self.v_tfree = 0
        self.v_reactivated = 0


METER_STRIDE: Final = 32 << ops.CPU_BITS


class Thresholds:
    """The limits that decide who may allocate, who must wait and when the pagedaemon works."""

    __slots__ = (
        "v_free_min",
        "v_free_reserved",
        "v_free_severe",
        "v_interrupt_free_min",
        "v_pageout_free_min",
        "v_paging_start",
        "v_paging_target1",
        "v_paging_target2",
        "v_paging_wait",
        "vm_page_free_hysteresis",
    )

    def __init__(self, pages: int) -> None:
        """Scale them to a machine of so many pages; one of less than 64 has nothing but a reserve."""
        self.v_free_reserved = max(1, pages // 256)
        self.v_interrupt_free_min = self.v_free_reserved // 2
        self.v_pageout_free_min = self.v_free_reserved
        self.v_free_severe = self.v_free_reserved + pages // 256
        self.v_free_min = self.v_free_severe + pages // 128
        self.v_paging_wait = self.v_free_min + pages // 128
        self.v_paging_start = self.v_paging_wait + pages // 128
        self.v_paging_target1 = self.v_paging_start + pages // 64
        self.v_paging_target2 = self.v_paging_target1 + pages // 64
        self.vm_page_free_hysteresis = pages // 1024


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
    if left < -vm.adj_limit and vm_paging_start(vm, -vm.adj_limit * vm.ncpus):
        copy = adj.swap(0)
        getattr(vm.vmstats, count).fetchadd(copy)


def vmstats_rollup(vm: VmSystem) -> None:
    """Add every CPU's delta to the global set, then renew this CPU's view of it.

    Locks: none; run by the hardclock, by an allocator before it gives up, and by the pageout.
    """
    for gd in vm.cpus():
        for count in COUNTS:
            copy = getattr(gd.gd_vmstats_adj, count).swap(0)
            if copy:
                getattr(vm.vmstats, count).fetchadd(copy)
    mine = vm.mycpu().gd_vmstats
    for count in COUNTS:
        getattr(mine, count).value = getattr(vm.vmstats, count).load()  # nobody else looks at ours


def hardclock(vm: VmSystem, since: int) -> None:
    """The clock interrupt, as far as counts go: if time has passed since that tick, roll up."""
    if vm.machine.ticks != since:
        vmstats_rollup(vm)


# -- thresholds -----------------------------------------------------------------------------------


def _below(vm: VmSystem, threshold: int) -> bool:
    """Whether this CPU sees fewer free and cached pages than that, or the reserve touched."""
    view = vm.mycpu().gd_vmstats
    free: int = view.peek("v_free_count")
    return threshold > free + view.peek("v_cache_count") or vm.limits.v_free_reserved > free


def vm_paging_severe(vm: VmSystem) -> bool:
    """Memory is so short that faults wait even without a reason of their own."""
    return _below(vm, vm.limits.v_free_severe)


def vm_paging_min(vm: VmSystem) -> bool:
    """Below the minimum: those who need pages wait."""
    return _below(vm, vm.limits.v_free_min)


def vm_paging_min_dnc(vm: VmSystem, donotcount: int) -> bool:
    """`vm_paging_min` with so many pages more to go."""
    return _below(vm, vm.limits.v_free_min + donotcount)


def vm_paging_min_nice(vm: VmSystem, nice: int) -> bool:
    """`vm_paging_min` for a process of that niceness: who is nice waits earlier."""
    return _below(vm, vm.limits.v_free_min + paging_extra(vm, nice))


def paging_extra(vm: VmSystem, nice: int) -> int:
    """How many pages above the minimum a process of that niceness waits already."""
    limits = vm.limits
    return (nice + 20) * (max(0, limits.v_paging_wait - limits.v_free_min - 1) // 2) // 40 if nice else 0


def vm_paging_wait(vm: VmSystem) -> bool:
    """Below the mark at which the pagedaemon's victims should slow down."""
    return _below(vm, vm.limits.v_paging_wait)


def vm_paging_start(vm: VmSystem, adj: int = 0) -> bool:
    """The pagedaemon should work; `adj` corrects the count for what may not be rolled up."""
    return _below(vm, vm.limits.v_paging_start - adj)


def vm_paging_target1(vm: VmSystem) -> bool:
    """The pagedaemon's first aim is not reached."""
    return _below(vm, vm.limits.v_paging_target1)


def vm_paging_target2(vm: VmSystem) -> bool:
    """The pagedaemon's final aim is not reached."""
    return _below(vm, vm.limits.v_paging_target2)
