"""The pagedaemon: its passes over the queues, and when they run.

Models: the primary of vm_pageout_thread of sys/vm/vm_pageout.c, with the three states of the newer tree.
`vm_pages_needed` is 0 while it is idle, 1 while it works, and more once others ask for pages meanwhile or
there are enough for those who wait.
Locks: none held between scans; no sleep is interlocked with its condition, its timeout bounds it.
Deviations:
  * one daemon for all colours; no emergency pager, no swap, and no statistics of idle queues.
  * a pass runs every scan in one order over all colours, whatever is short, and counts the shortage down
    at its end only.
  * no process is chosen to be killed.  Instead, while memory is severely short and a pass gained nothing,
    every process is marked (P_LOWMEMKILL), and those that wait for memory are woken.
  * each turn sweeps all hold queues, as part of its pass; the kernel's looks at one, even if it is idle.
"""

from __future__ import annotations

from typing import Final

from vmsmp.engine.clock import HZ
from vmsmp.vm.system import VmSystem
from vmsmp.vm.vm_meter.counts import vmstats_rollup
from vmsmp.vm.vm_meter.meter import P_LOWMEMKILL
from vmsmp.vm.vm_meter.paging import (
    vm_paging_min_dnc,
    vm_paging_severe,
    vm_paging_start,
    vm_paging_target1,
    vm_paging_target1_count,
    vm_paging_target2,
    vm_paging_target2_count,
)
from vmsmp.vm.vm_page.wait import V_FREE_COUNT, VM_PAGES_NEEDED
from vmsmp.vm.vm_pageout.scan import (
    vm_pageout_free_hold,
    vm_pageout_scan_active,
    vm_pageout_scan_cache,
    vm_pageout_scan_inactive,
)

PAGING_IDLE: Final = "idle"
PAGING_TARGET1: Final = "target1"
PAGING_TARGET2: Final = "target2"


def vm_pageout_pass(vm: VmSystem, easy: bool = False, passes: int = 0) -> int:
    """Run one pass of the daemon over all queues; return how many pages are still missing.

    They are counted to the first target, or with `easy` to the final one, and include those that allocations
    have missed since.  `passes`: how many in a row have not reached the first target.
    """
    swept = vm_pageout_free_hold(vm)
    vmstats_rollup(vm)
    missing = vm_paging_target2_count(vm) if easy else vm_paging_target1_count(vm)
    missing += int(vm.pageout.vm_pageout_deficit.load())
    vm.pageout.vm_pageout_deficit.store(0)
    gained = vm_pageout_scan_inactive(vm, passes // 10)
    vmstats_rollup(vm)
    gained += vm_pageout_scan_active(vm, passes // 10, missing - gained)
    vmstats_rollup(vm)
    freed = vm_pageout_scan_cache(vm)
    if not (swept or gained or freed) and vm_paging_severe(vm):
        _kill_for_memory(vm)
    return missing - gained


def _kill_for_memory(vm: VmSystem) -> None:
    """Mark every process as being killed for memory, and wake those that wait for it."""
    for gd in vm.meter.cpus():
        if not gd.systhread:
            gd.proc.p_flags.setbits(P_LOWMEMKILL)
    vm.machine.wakeup(V_FREE_COUNT)


class _Pagedaemon:
    """The daemon's state, and how many passes in a row have not reached the first target."""

    __slots__ = ("passes", "state", "vm")

    def __init__(self, vm: VmSystem) -> None:
        self.vm = vm
        self.state = PAGING_IDLE
        self.passes = 0

    def _sleep(self, wmesg: str, timo: int) -> int:
        machine = self.vm.machine
        return machine.tsleep(VM_PAGES_NEEDED, 0, wmesg, timo, overdue=lambda: None)

    def due(self) -> bool:
        """Sleep as the state demands; return whether a pass is due."""
        if self.state == PAGING_IDLE:
            return self._leave_idle()
        if self.state == PAGING_TARGET2:
            self._sleep("pdelay", HZ // 10)
            if vm_paging_start(self.vm):
                self.state = PAGING_TARGET1
        return True

    def _leave_idle(self) -> bool:
        """Sleep until somebody needs pages, or for five seconds; return whether there is work to do."""
        needed = self.vm.pageout.vm_pages_needed
        if needed.load() == 0:
            timed_out = self._sleep("psleep", 5 * HZ)
            if timed_out and not vm_paging_start(self.vm) and needed.load() == 0:
                return False
        needed.store(1)
        self.state = PAGING_TARGET1
        return True

    def turn(self) -> None:
        """Run a pass, choose the next state, and wake waiters that now have enough pages."""
        missing = vm_pageout_pass(self.vm, self.state == PAGING_TARGET2, self.passes)
        if self.state == PAGING_TARGET2:
            self._after_easy_pass()
        elif missing > 0:
            self._try_again()
        else:
            self._after_hard_pass()

    def _try_again(self) -> None:
        """The target is not reached: run again at once if pages are asked for, else after a pause."""
        self.passes += 1
        needed = self.vm.pageout.vm_pages_needed
        if self.passes // 10 >= 10:
            self._sleep("pdelay", HZ // 10)
        elif needed.load() <= 1:
            needed.store(1)
            self._sleep("pdelay", 2)

    def _after_hard_pass(self) -> None:
        """The first target was reached: run again if it is missed by now, else switch to easy passes."""
        vm = self.vm
        self.passes = 0
        if vm_paging_target1(vm):
            vm.pageout.vm_pages_needed.store(2)
            if vm_paging_min_dnc(vm, vm.meter.limits.vm_page_free_hysteresis):
                return
        else:
            self.state = PAGING_TARGET2
        vm.machine.wakeup(V_FREE_COUNT)

    def _after_easy_pass(self) -> None:
        """Go idle once the final target is reached."""
        vm = self.vm
        if not vm_paging_target2(vm):
            self.state = PAGING_IDLE
            self.passes = 0
            vm.pageout.vm_pages_needed.store(0)
            vm.machine.wakeup(V_FREE_COUNT)


def vm_pageout_thread(vm: VmSystem) -> None:
    """Run passes while pages are short or requested, and sleep otherwise, until stopped.

    Run it as a CPU's program.  Sleeps: for at most five seconds at a time, without an interlock.
    """
    vm.pageout.pagethread = vm.engine.current
    vm.mycpu().systhread = True
    daemon = _Pagedaemon(vm)
    stop = vm.pageout.pageout_stop
    while not stop.load():
        if daemon.due() and not stop.load():
            daemon.turn()


def vm_pageout_shutdown(vm: VmSystem) -> None:
    """Make the daemon exit after its current pass."""
    vm.pageout.pageout_stop.store(True)
    vm.machine.wakeup(VM_PAGES_NEEDED)
