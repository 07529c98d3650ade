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

from typing import Any, Final

from vmsmp.engine.cpu import Cpu
from vmsmp.records.field import field, plain, word
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
    #: Low pages, free or not, that are kept for contiguous memory; used in the global set only.
    v_dma_pages: int = field("")
    _name: str = plain()

    @property
    def name(self) -> str:
        return self._name

    def state(self) -> str:
        return ", ".join(f"{count[2:-6]} {self.peek(count)}" for count in COUNTS)


#: In `p_flags`: the process is being killed for memory.
P_LOWMEMKILL: Final = 0x00010000
#: The default limits of a process' stack, in bytes, and of all that it maps: none.
DFLSSIZ: Final = 8 << 20
RLIM_INFINITY: Final = (1 << 63) - 1


@record()
class Proc(Record):
    """struct proc: the process that a CPU runs, as far as other CPUs look at it.

    `p_vmspace` is its address space, a Vmspace, or None once it is reaped; `lwp` its only thread.
    `rlim_stack`, `rlim_data` and `rlim_vmem` are the limits of its stack, its heap and its map, in bytes;
    they are read without a lock.  `p_upmap` is the kernel's address of the page that it shares with the
    process, or 0.
    """

    kind = "proc"

    p_flags: Word = word(format=hex)
    p_vmspace: Any = field("", default=None)
    rlim_stack: int = field("", default=DFLSSIZ)
    rlim_vmem: int = field("", default=RLIM_INFINITY)
    rlim_rss: int = field("", default=RLIM_INFINITY)
    rlim_data: int = field("", default=RLIM_INFINITY)
    lwp: Any = plain(None)  # an Lwp
    p_upmap: int = plain(0)
    _name: str = plain()

    @property
    def name(self) -> str:
        return self._name

    def state(self) -> str:
        return "killed for memory" if self.peek("p_flags") & P_LOWMEMKILL else "alive"


class Lwp:
    """struct lwp: a thread of process `lwp_proc`, its number there, and the address space it runs in.

    `lwp_vmspace`, a Vmspace, is None for a kernel thread and for one that is dying.  `away`: its CPU has
    switched away from it, and has only the kernel's tables loaded.  `lwp_lpmap_backing_list` has the backings
    that show its page.
    """

    __slots__ = ("away", "lwp_lpmap_backing_list", "lwp_proc", "lwp_tid", "lwp_vmspace")

    def __init__(self, proc: Proc, tid: int) -> None:
        self.lwp_proc = proc
        self.lwp_tid = tid
        self.lwp_vmspace: Any = None
        self.lwp_lpmap_backing_list: list[Any] = []  # of VmMapBacking
        self.away = False


class Globaldata:
    """struct globaldata: the private data of one CPU.

    `nice` is the niceness of the process that it runs, `proc` that process, `lwp` its thread; `systhread`
    says whether it runs a kernel thread.  `objects` counts the objects that it has allocated, `t_rm` (of
    `gd_vmtotal`) the pages that it has inserted into objects less those it has removed, `td_nest_count` how
    deep it is in lookups of a map.  Names with `v_` are those of `gd_cnt`; `lwp_flags`, `ru_majflt` and
    `ru_minflt` belong to its process.
    """

    __slots__ = (
        "cpu",
        "gate",
        "gd_quick_color",
        "gd_vmstats",
        "gd_vmstats_adj",
        "lwp",
        "lwp_flags",
        "nice",
        "objects",
        "proc",
        "ru_majflt",
        "ru_minflt",
        "systhread",
        "t_rm",
        "td_nest_count",
        "v_cow_faults",
        "v_intrans",
        "v_intrans_coll",
        "v_intrans_wait",
        "v_pfree",
        "v_ppwakeups",
        "v_reactivated",
        "v_tfree",
        "v_vm_faults",
        "v_zfod",
    )

    def __init__(self, cpu: Cpu, view: Vmmeter, adj: Vmmeter, proc: Proc) -> None:
        self.cpu = cpu
        self.gd_vmstats = view
        self.gd_vmstats_adj = adj
        self.nice = 0
        #: Ghost: the free and cached counts that the last allocation saw in `_gate_open`.
        self.gate = (0, 0)
        self.gd_quick_color = 0
        self.objects = 0
        self.proc = proc
        self.lwp = proc.lwp = Lwp(proc, cpu.index)
        self.systhread = False
        self.td_nest_count = 0
        self.lwp_flags = 0
        self.ru_majflt = 0
        self.ru_minflt = 0
        self.v_cow_faults = 0
        self.v_intrans = 0
        self.v_intrans_coll = 0
        self.v_intrans_wait = 0
        self.t_rm = 0
        self.v_pfree = 0
        self.v_ppwakeups = 0
        self.v_tfree = 0
        self.v_reactivated = 0
        self.v_vm_faults = 0
        self.v_zfod = 0


class Thresholds:
    """The limits that decide which requests may allocate, which must wait, and when the pagedaemon runs."""

    __slots__ = (
        "v_free_min",
        "v_free_reserved",
        "v_free_severe",
        "v_free_target",
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
        self.v_free_target = 2 * self.v_free_min
        self.v_paging_wait = self.v_free_min + pages // 128
        self.v_paging_start = self.v_paging_wait + pages // 128
        self.v_paging_target1 = self.v_paging_start + pages // 64
        self.v_paging_target2 = self.v_paging_target1 + pages // 64
        self.v_inactive_target = pages // 16
        self.vm_page_free_hysteresis = pages // 1024
