"""Page counts: what the counters say, against what lies on the queues.

INV-V1: a count and its per-CPU deltas add up to the pages of that type.  INV-V2: the same for wired
pages.  INV-V4: a delta stays far below zero only while paging is not near.  (INV-V3, who may touch the
reserve, is asked when a page is allocated: `check.vm.vm_page`.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from vmsmp.check.rules import Broken, SystemRules
from vmsmp.engine import ops
from vmsmp.engine.cpu import Cpu
from vmsmp.engine.observer import Observer
from vmsmp.records.pool import record_of
from vmsmp.records.record import PART_BITS, Record
from vmsmp.vm.system import VmSystem
from vmsmp.vm.vm_meter.meter import COUNTS, Globaldata, Vmmeter
from vmsmp.vm.vm_page.page import VmPage

# Asked at every step, so without a look into another module.
_KIND: Final = ops.KIND_MASK
_FETCHADD: Final = ops.FETCHADD
_RECORD: Final = ~PART_BITS
_peek_queue = VmPage.fields["queue"].peek


def broken_counts(vm: VmSystem) -> tuple[Vmmeter, Broken] | None:
    """Whether the counters add up.  Only when no CPU is inside the VM."""
    on_queue = [0] * len(vm.page.vm_page_queues)
    wired = 0
    for m in vm.page.vm_page_array:
        on_queue[_peek_queue(m)] += 1
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


def broken_delta(vm: VmSystem, gd: Globaldata, count: str) -> Broken | None:
    """Whether a CPU that has just counted a page less keeps too much of that to itself (INV-V4)."""
    delta = gd.gd_vmstats_adj.peek(count)
    limits, adj_limit = vm.meter.limits, vm.meter.adj_limit
    if delta >= -adj_limit or count == "v_wire_count":
        return None
    view = gd.gd_vmstats
    free = view.peek("v_free_count")
    near = (
        limits.v_paging_start + adj_limit * vm.ncpus > free + view.peek("v_cache_count")
        or limits.v_free_reserved > free
    )
    if near:
        text = f"its delta of {count} is {delta}, paging is near, and it was not handed on"
        return Broken("INV-V4", text)
    return None


class Deltas(Observer):
    """Asks after a CPU's delta once the CPU is done with counting a page less.

    Not where CPUs are parallel: there is no moment at which a CPU is between two operations.
    """

    free = False

    def __init__(self, tell: Callable[[Any, Record, Broken], None]) -> None:
        self._tell = tell
        # CPUs that are changing one of their deltas: which count, and what it was before
        self._counting: dict[Cpu, tuple[str, int]] = {}

    def begin(self, machine: Any) -> None:
        self._counting = {}

    def op(self, cpu: Cpu, code: int) -> None:
        if code & _KIND == _FETCHADD:
            vm = cpu.machine.vm  # type: ignore[attr-defined]  # any machine that has a meter has one
            gd = vm.meter.globaldata[cpu.index] if vm is not None else None
            if gd is not None and code & _RECORD == gd.gd_vmstats_adj.code:
                count = gd.gd_vmstats_adj.field_of(code).name
                self._counting[cpu] = (count, gd.gd_vmstats_adj.peek(count))
                return
        elif not self._counting:
            return
        if cpu in self._counting and not (code & 1 and self._of_meter(cpu.machine, code)):
            self._counted(cpu)

    def _counted(self, cpu: Cpu) -> None:
        """The CPU is done: look at its delta if it has counted a page less."""
        machine: Any = cpu.machine
        count, before = self._counting.pop(cpu)
        gd = machine.vm.meter.globaldata[cpu.index]
        if gd.gd_vmstats_adj.peek(count) < before:
            broken = broken_delta(machine.vm, gd, count)
            if broken is not None:
                self._tell(machine, gd.gd_vmstats_adj, broken)

    @staticmethod
    def _of_meter(machine: Any, code: int) -> bool:
        """Whether an operation is about one of a meter's counts: its CPU is still counting."""
        gd = machine.vm.meter.globaldata[machine.engine.current.index]
        if code & _RECORD == gd.gd_vmstats.code:  # mostly its own view
            return True
        meter = record_of(machine, code >> ops.KIND_BITS)
        return isinstance(meter, Vmmeter) and meter.field_of(code) is not None


RULES: Final = ()
SYSTEM: Final = SystemRules(sums=(broken_counts,), observers=(Deltas,))
