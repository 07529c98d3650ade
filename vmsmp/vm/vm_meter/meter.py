"""Page counts and thresholds: one global set, and two sets per CPU that avoid contention on it.

Models: struct vmmeter, struct vmstats and the part of struct globaldata that belongs to them
(sys/sys/vmmeter.h, sys/sys/globaldata.h).
`gd_vmstats_adj` holds what a CPU has counted but not yet added to the global set; `gd_vmstats` is its
own view of the global set, which every threshold test reads.
Locks: none; `gd_vmstats_adj` is atomic because other CPUs swap it to zero, `gd_vmstats` is written only
by its own CPU, and the global set is atomic.
Thresholds in order: reserved < severe < minimum < wait < start < target1 < target2, in pages.
Deviations:
  * the thresholds scale with the machine, which may have a few pages only; the kernel's start at 64.
"""

from __future__ import annotations

from typing import Final

from vmsmp.engine.cpu import Cpu
from vmsmp.records.field import plain, word
from vmsmp.records.record import Record, record
from vmsmp.records.word import Word

#: The counts of pages by queue type, and of wired pages.
COUNTS: Final = ("v_free_count", "v_cache_count", "v_inactive_count", "v_active_count", "v_wire_count")


@record()
class Vmmeter(Record):
    """struct vmmeter: the number of pages by queue type, and of wired pages."""

    kind = "vmmeter"

    v_free_count: Word = word()
    v_cache_count: Word = word()
    v_inactive_count: Word = word()
    v_active_count: Word = word()
    v_wire_count: Word = word()
    _name: str = plain()

    @property
    def name(self) -> str:
        return self._name

    def state(self) -> str:
        return ", ".join(f"{count[2:-6]} {self.peek(count)}" for count in COUNTS)


class Globaldata:
    """struct globaldata: the private data of one CPU.

    `nice` is the niceness of the process it runs, `p_lowmemkill` whether that process is being killed
    for memory, `systhread` whether it runs a kernel thread, `objects` how many objects it has allocated.
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
        "v_pfree",
        "v_ppwakeups",
        "v_reactivated",
        "v_tfree",
    )

    def __init__(self, cpu: Cpu, view: Vmmeter, adj: Vmmeter) -> None:
        self.cpu = cpu
        self.gd_vmstats = view
        self.gd_vmstats_adj = adj
        self.nice = 0
        #: Ghost: the free and cached counts that the last allocation saw in `_gate_open`.
        self.gate = (0, 0)
        self.objects = 0
        self.p_lowmemkill = False
        self.systhread = False
        self.v_pfree = 0
        self.v_ppwakeups = 0
        self.v_tfree = 0
        self.v_reactivated = 0


class Thresholds:
    """The limits that decide which requests may allocate, which must wait, and when the pagedaemon runs."""

    __slots__ = (
        "v_free_min",
        "v_free_reserved",
        "v_free_severe",
        "v_inactive_target",
        "v_interrupt_free_min",
        "v_pageout_free_min",
        "v_paging_start",
        "v_paging_target1",
        "v_paging_target2",
        "v_paging_wait",
        "vm_page_free_hysteresis",
    )

    def __init__(self, pages: int) -> None:
        """Scale the limits to `pages` pages; below 64 pages every paging threshold equals the reserve."""
        self.v_free_reserved = max(1, pages // 256)
        self.v_interrupt_free_min = self.v_free_reserved // 2
        self.v_pageout_free_min = self.v_free_reserved
        self.v_free_severe = self.v_free_reserved + pages // 256
        self.v_free_min = self.v_free_severe + pages // 128
        self.v_paging_wait = self.v_free_min + pages // 128
        self.v_paging_start = self.v_paging_wait + pages // 128
        self.v_paging_target1 = self.v_paging_start + pages // 64
        self.v_paging_target2 = self.v_paging_target1 + pages // 64
        self.v_inactive_target = pages // 16
        self.vm_page_free_hysteresis = pages // 1024
