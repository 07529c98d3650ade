"""Page counts: what the counters say, against what lies on the queues.

INV-V1: a count and its per-CPU deltas add up to the pages of that type.  INV-V2: the same for wired
pages.  INV-V4: a delta stays far below zero only while paging is not near.  (INV-V3, who may touch the
reserve, is looked at when a page is allocated.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.vm_meter.meter import COUNTS, Globaldata
from vmsmp.vm.vm_page.flags import VM_ALLOC_INTERRUPT, VM_ALLOC_SYSTEM

if TYPE_CHECKING:
    from vmsmp.check.pages import Broken
    from vmsmp.vm.system import VmSystem


def broken_counts(vm: VmSystem) -> Broken | None:
    """Whether the counters add up.  Only when no CPU is inside the VM."""
    lying = dict.fromkeys(COUNTS, 0)
    for m in vm.vm_page_array:
        queue = m.peek("queue")
        if queue:
            lying[vm.vm_page_queues[queue].cnt_offset] += 1
        if m.peek("wire_count") > 0:
            lying["v_wire_count"] += 1
    for count, pages in lying.items():
        if vm.count(count) != pages:
            name = "INV-V2" if count == "v_wire_count" else "INV-V1"
            return (
                name,
                f"{count} and its deltas add up to {vm.count(count)}, and there are {pages} such pages",
            )
    return None


def broken_delta(vm: VmSystem, gd: Globaldata, count: str) -> Broken | None:
    """Whether a CPU that has just counted a page less keeps too much of that to itself (INV-V4)."""
    view = gd.gd_vmstats
    free = view.peek("v_free_count")
    near = (
        vm.limits.v_paging_start + vm.adj_limit * vm.ncpus > free + view.peek("v_cache_count")
        or vm.limits.v_free_reserved > free
    )
    delta = gd.gd_vmstats_adj.peek(count)
    if delta < -vm.adj_limit and near and count != "v_wire_count":
        return "INV-V4", f"its delta of {count} is {delta}, paging is near, and it was not handed on"
    return None


def broken_gate(vm: VmSystem, gd: Globaldata, request: int) -> Broken | None:
    """Whether a page just taken was the reserve's and the request not entitled to it (INV-V3)."""
    free, cached = gd.gate
    if gd.systhread:
        request |= VM_ALLOC_SYSTEM
    if free >= vm.limits.v_free_reserved or (request & VM_ALLOC_INTERRUPT and free > 0):
        return None
    if request & VM_ALLOC_SYSTEM and cached == 0 and free > vm.limits.v_interrupt_free_min:
        return None
    return "INV-V3", "a page of the reserve went to a request that is not entitled to it"
