"""The pagedaemon: its passes over the queues, and when they run.

Models: vm_pageout_scan and vm_pageout_thread of sys/vm/vm_pageout.c.
Locks: none held between scans.
Deviations:
  * one daemon for all colours; no emergency pager and no swap.
  * a pass runs every scan in one order over all colours, whatever is short, and does not count down
    shortages; `vm_pageout_deficit` is not looked at.  No statistics are kept of idle queues.
  * a pass that gained anything is followed by the next one at once, without the kernel's pauses.
  * no process is chosen to be killed.  Instead, while memory is severely short and a pass freed
    nothing, every process is marked (`p_lowmemkill`), and those that wait for memory are woken.
  * `vm_pages_needed` is set to 0 before a pass; the kernel sets it to 1 then, and to 0 or 2 after it.  At
    the end of a pass waiters are woken if there are any; the kernel wakes `v_free_count` each time.
  * the hold queues are swept in a pass only, and counts are rolled up twice in one, not three times.
"""

from __future__ import annotations

from vmsmp.engine.clock import HZ
from vmsmp.vm.system import VmSystem
from vmsmp.vm.vm_meter.counts import vmstats_rollup
from vmsmp.vm.vm_meter.paging import vm_paging_min, vm_paging_severe, vm_paging_start
from vmsmp.vm.vm_page.wait import V_FREE_COUNT, VM_PAGES_NEEDED
from vmsmp.vm.vm_pageout.scan import (
    vm_pageout_free_hold,
    vm_pageout_scan_active,
    vm_pageout_scan_cache,
    vm_pageout_scan_inactive,
)


def vm_pageout_pass(vm: VmSystem) -> int:
    """Run one pass of the daemon over all queues; return how many pages it gained."""
    vmstats_rollup(vm)
    gained = vm_pageout_free_hold(vm)
    gained += vm_pageout_scan_inactive(vm)
    gained += vm_pageout_scan_cache(vm)
    vm_pageout_scan_active(vm)
    vmstats_rollup(vm)
    if not gained and vm_paging_severe(vm):
        _kill_for_memory(vm)
    if vm.pageout.vm_pages_waiting.load() and not vm_paging_min(vm):
        vm.pageout.vm_pages_waiting.store(0)
        vm.machine.wakeup(V_FREE_COUNT)
    return gained


def _kill_for_memory(vm: VmSystem) -> None:
    """Mark every process as being killed for memory, and wake those that wait for it."""
    for gd in vm.meter.cpus():
        gd.p_lowmemkill = not gd.systhread
    vm.machine.wakeup(V_FREE_COUNT)


def vm_pageout_thread(vm: VmSystem) -> None:
    """Run passes while pages are short or requested, and sleep otherwise, until stopped.

    Run it as a CPU's program.  Sleeps: for at most a second at a time, without an interlock.
    """
    vm.pageout.pagethread = vm.engine.current
    vm.mycpu().systhread = True
    while not vm.pageout.pageout_stop.load():
        if vm.pageout.vm_pages_needed.load() or vm_paging_start(vm):
            vm.pageout.vm_pages_needed.store(0)
            if vm_pageout_pass(vm):
                continue
        vm.machine.tsleep(VM_PAGES_NEEDED, 0, "psleep", HZ, overdue=lambda: None)


def vm_pageout_shutdown(vm: VmSystem) -> None:
    """Make the daemon exit after its current pass."""
    vm.pageout.pageout_stop.store(True)
    vm.machine.wakeup(VM_PAGES_NEEDED)
