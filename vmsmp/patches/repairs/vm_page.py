"""Repairs of the page layer (sys/vm/vm_page.c)."""

from __future__ import annotations

from vmsmp.patches.patch import Edit, Repair

_MODULE = "vmsmp.vm.vm_page"

REPAIRS = (
    Repair(
        "vm-wait-interlocks",
        f"{_MODULE}:_sleep_for_pages",
        "vm.pageout.vm_pages_waiting.store(vm.pageout.vm_pages_waiting.load() + 1)",
        """
        from vmsmp.sync.errno import PINTERLOCKED
        from vmsmp.vm.vm_meter.counts import vmstats_rollup

        machine.tsleep_interlock(V_FREE_COUNT)
        vm.pageout.vm_pages_waiting.store(vm.pageout.vm_pages_waiting.load() + 1)
        vmstats_rollup(vm)
        if not vm_paging_min_nice(vm, nice):
            return
        """,
        "a CPU announces its sleep for pages before it tests for them a last time",
        also=(
            Edit(
                f"{_MODULE}:_sleep_for_pages",
                "machine.tsleep(V_FREE_COUNT, 0, wmesg",
                "machine.tsleep(V_FREE_COUNT, PINTERLOCKED, wmesg",
            ),
        ),
    ),
)
