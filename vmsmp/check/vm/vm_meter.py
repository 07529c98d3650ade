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
    limits, adj_limit = vm.meter.limits, vm.meter.adj_limit
    view = gd.gd_vmstats
    free = view.peek("v_free_count")
    near = (
        limits.v_paging_start + adj_limit * vm.ncpus > free + view.peek("v_cache_count")
        or limits.v_free_reserved > free
    )
    delta = gd.gd_vmstats_adj.peek(count)
    if delta < -adj_limit and near and count != "v_wire_count":
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
        # by code: the meter that operations are about, if it is one, once looked up
        self._known: dict[int, Vmmeter | None] = {}
        # CPUs that are changing one of their deltas: which count, and what it was before
        self._counting: dict[Cpu, tuple[str, int]] = {}

    def begin(self, machine: Any) -> None:
        self._known = {}
        self._counting = {}

    def op(self, cpu: Cpu, code: int) -> None:
        counts = code & _KIND == _FETCHADD
        if not counts and cpu not in self._counting:
            return
        machine: Any = cpu.machine
        meter, count = self._meter(machine, code) if code & 1 else (None, "")
        if meter is not None:
            if counts and meter is machine.vm.mycpu().gd_vmstats_adj:
                self._counting[cpu] = (count, meter.peek(count))
            return  # the CPU is still counting
        if cpu in self._counting:
            self._counted(cpu, machine.vm)

    def _counted(self, cpu: Cpu, vm: VmSystem) -> None:
        """The CPU is done: look at its delta if it has counted a page less."""
        count, before = self._counting.pop(cpu)
        gd = vm.mycpu()
        if gd.gd_vmstats_adj.peek(count) < before:
            broken = broken_delta(vm, gd, count)
            if broken is not None:
                self._tell(cpu.machine, gd.gd_vmstats_adj, broken)

    def _meter(self, machine: Any, code: int) -> tuple[Record | None, str]:
        """The meter that an operation is about, and which of its counts."""
        base = code & _RECORD
        if base not in self._known:
            record = record_of(machine, code >> ops.KIND_BITS)
            self._known[base] = record if isinstance(record, Vmmeter) else None
        meter = self._known[base]
        field = meter.field_of(code) if meter is not None else None
        return (meter, field.name) if field is not None else (None, "")


RULES: Final = ()
SYSTEM: Final = SystemRules(sums=(broken_counts,), observers=(Deltas,))
