"""Page counts: the counters, compared with the pages on the queues.

INV-V1: a count and its per-CPU deltas add up to the pages of that type.  INV-V2: the same for wired
pages.  INV-V4: a delta stays far below zero only while paging is not near.  (INV-V3, which requests may use
the reserve, is checked when a page is allocated: `check.vm.vm_page`.)  INV-V5: the CPUs' counts of pages that
they insert into objects and remove add up to the pages in objects.
"""

from __future__ import annotations

from typing import Any, Final

from vmsmp.check.rules import Broken, Rules, SystemRules
from vmsmp.engine import ops
from vmsmp.engine.cpu import Cpu
from vmsmp.vm.system import VmSystem
from vmsmp.vm.vm_meter.meter import COUNTS, Globaldata, Vmmeter


def broken_counts(vm: VmSystem) -> tuple[Vmmeter, Broken] | None:
    """Whether the counters add up.  Only when no CPU is inside the VM."""
    on_queue = [0] * len(vm.page.vm_page_queues)
    wired = 0
    for m in vm.page.vm_page_array:
        on_queue[m.raw_queue] += 1
        wired += m.wire_count.value > 0
    lying = dict.fromkeys(COUNTS, 0) | {"v_wire_count": wired}
    for pq, pages in zip(vm.page.vm_page_queues[1:], on_queue[1:], strict=True):
        lying[pq.cnt_offset] += pages
    for count, pages in lying.items():
        total = vm.meter.count(count)
        if total != pages:
            name = "INV-V2" if count == "v_wire_count" else "INV-V1"
            text = f"{count} and its deltas add up to {total}, and there are {pages} such pages"
            return vm.meter.vmstats, Broken(name, text)
    return None


def broken_residents(vm: VmSystem) -> tuple[Vmmeter, Broken] | None:
    """Whether `t_rm` adds up to the pages in objects (INV-V5).  Only when no CPU is inside the VM."""
    counted = sum(gd.t_rm for gd in vm.meter.cpus())
    resident = sum(len(obj.raw_rb_memq) for obj in (*vm.objects, vm.objects.kernel_object))
    if counted == resident:
        return None
    text = f"t_rm adds up to {counted}, and {resident} pages are in objects"
    return vm.meter.vmstats, Broken("INV-V5", text)


def broken_delta(vm: VmSystem, gd: Globaldata, count: str) -> Broken | None:
    """Whether a CPU's delta is too far below zero after it has counted a page less (INV-V4)."""
    delta = gd.gd_vmstats_adj.peek(count)
    limits, adj_limit = vm.meter.limits, vm.meter.adj_limit
    if delta >= -adj_limit or count == "v_wire_count":
        return None
    view = gd.gd_vmstats
    free = view.peek("v_free_count")
    unseen = adj_limit * vm.ncpus
    near = (
        limits.v_paging_start + unseen > free + view.peek("v_cache_count")
        or limits.v_free_min + unseen > free
        or limits.v_free_reserved > free
    )
    if near:
        text = f"its delta of {count} is {delta}, paging is near, and it was not handed on"
        return Broken("INV-V4", text)
    return None


class Counting:
    """The span in which a CPU changes one of its deltas, and may then add it to the global count."""

    __slots__ = ("before", "count", "gd", "vm")

    def __init__(self, vm: VmSystem, gd: Globaldata, count: str) -> None:
        self.vm = vm
        self.gd = gd
        self.count = count
        self.before = gd.gd_vmstats_adj.peek(count)

    def lasts(self, record: Any, code: int) -> bool:
        """Whether the CPU reads or changes a count of any meter."""
        return isinstance(record, Vmmeter) and record.field_of(code) is not None

    def broken(self) -> tuple[Vmmeter, Broken] | None:
        """INV-V4, if the CPU has counted a page less."""
        adj = self.gd.gd_vmstats_adj
        found = broken_delta(self.vm, self.gd, self.count) if adj.peek(self.count) < self.before else None
        return (adj, found) if found is not None else None


def counts(cpu: Cpu, meter: Vmmeter, code: int) -> Counting | None:
    """The span that begins when a CPU adds to one of its own deltas."""
    vm: VmSystem = meter.vm
    gd = vm.meter.globaldata[cpu.index]
    if gd is None or meter is not gd.gd_vmstats_adj:
        return None
    field = meter.field_of(code)
    return Counting(vm, gd, field.name) if field is not None else None


RULES: Final = (Rules(Vmmeter, opens={ops.FETCHADD: counts}),)
SYSTEM: Final = SystemRules(sums=(broken_counts, broken_residents))
