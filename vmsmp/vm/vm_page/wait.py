"""Waiting for free pages, and waking the waiters.

Models: the vm_wait family, vm_page_free_wakeup and pagedaemon_wakeup of sys/vm/vm_page.c and vm_page2.h.
Locks: vm_token around vm_wait's test and sleep, and around all rounds of vm_wait_pfault; the counters
`vm_pages_needed` and `vm_pages_waiting` are plain words that race by design.
The sleeps are not interlocked with their conditions.  The timeouts are the safety net: a free between
the test and the sleep wakes no one, and the sleeper then sleeps until its timeout.
Deviations:
  * a CPU stands for a process: `nice` and `proc` are in the CPU's globaldata.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.engine.clock import HZ
from vmsmp.vm.vm_meter.counts import hardclock, vmstats_rollup
from vmsmp.vm.vm_meter.meter import P_LOWMEMKILL
from vmsmp.vm.vm_meter.paging import (
    paging_extra,
    vm_paging_min,
    vm_paging_min_dnc,
    vm_paging_min_nice,
    vm_paging_severe,
    vm_paging_start,
    vm_paging_target1,
)

if TYPE_CHECKING:
    from vmsmp.sync.cell import Cell
    from vmsmp.vm.system import VmSystem

#: The sleep idents, by the kernel's names for their addresses.
V_FREE_COUNT = "vmstats.v_free_count"
VM_PAGES_NEEDED = "vm_pages_needed"
VM_PAGEOUT_PAGES_NEEDED = "vm_pageout_pages_needed"


def is_pagedaemon(vm: VmSystem) -> bool:
    """Return whether the running CPU is the pagedaemon or the emergency pager."""
    cpu = vm.engine.current
    return cpu is vm.pageout.pagethread or cpu is vm.pageout.emergpager


def pagedaemon_wakeup(vm: VmSystem) -> None:
    """Wake the pagedaemon if pages are getting short.  Locks: none.

    Once it is needed by more than one, count only, and only while memory is below the minimum.
    """
    if not vm_paging_start(vm) or vm.engine.current is vm.pageout.pagethread:
        return
    if vm.pageout.vm_pages_needed.load() <= 1:
        vm.pageout.vm_pages_needed.store(1)  # CPUs may race here; sloppy by design
        vm.machine.wakeup(VM_PAGES_NEEDED)
    elif vm_paging_min(vm):
        _count_up(vm.pageout.vm_pages_needed)


def _count_up(counter: Cell[int]) -> None:
    """Add one to a plain counter: two steps, so CPUs that count at once may count as one."""
    counter.store(counter.load() + 1)


def _kick(vm: VmSystem) -> None:
    """Have a waiter wake the pagedaemon, unless it is needed by more than one already."""
    if vm.pageout.vm_pages_needed.load() <= 1:
        _count_up(vm.pageout.vm_pages_needed)
        vm.machine.wakeup(VM_PAGES_NEEDED)


def vm_page_free_wakeup(vm: VmSystem) -> None:
    """After a page became free or cached, wake the pagers, and all waiters if enough pages are available.

    Locks: none.  Zero the counter before the wakeup, so that a CPU that starts to wait afterwards is
    counted for the next free.
    """
    vm.pageout.last_to_free = vm.mycpu()
    view = vm.pageout.last_to_free.gd_vmstats
    if vm.pageout.vm_pageout_pages_needed.load():
        if view.peek("v_cache_count") + view.peek("v_free_count") >= vm.meter.limits.v_pageout_free_min:
            vm.pageout.vm_pageout_pages_needed.store(0)
            vm.machine.wakeup(VM_PAGEOUT_PAGES_NEEDED)
    if vm.pageout.vm_pages_waiting.load():
        if not vm_paging_min_dnc(vm, vm.meter.limits.vm_page_free_hysteresis) or not vm_paging_target1(vm):
            vm.pageout.vm_pages_waiting.store(0)
            vm.machine.wakeup(V_FREE_COUNT)
            vm.mycpu().v_ppwakeups += 1


def _pages_overdue(vm: VmSystem, limit: int) -> str | None:
    """Return why a sleep should be over (INV-PG1), or None if it should not.

    It should if there are enough pages, and the CPU that freed last sees them: a freeing CPU acts on its own
    view of the counts, which may include pages that are gone by now.
    """
    if vm.pageout.last_to_free is None:
        return None
    view = vm.pageout.last_to_free.gd_vmstats
    for count in (view.peek, vm.meter.count):
        free = count("v_free_count")
        if limit > free + count("v_cache_count") or vm.meter.limits.v_free_reserved > free:
            return None
    return "there are pages enough, and nobody will wake the waiter"


def _sleep_for_pages(vm: VmSystem, nice: int, wmesg: str, timo: int) -> None:
    """Kick the pagedaemon, count as a waiter, and sleep until pages are free or the timeout expires."""
    machine = vm.machine
    _kick(vm)
    _count_up(vm.pageout.vm_pages_waiting)
    limit = vm.meter.limits.v_free_min + max(paging_extra(vm, nice), vm.meter.limits.vm_page_free_hysteresis)
    began = machine.ticks
    machine.tsleep(V_FREE_COUNT, 0, wmesg, timo, overdue=lambda: _pages_overdue(vm, limit))
    hardclock(vm, began)


def vm_wait(vm: VmSystem, timo: int = 0) -> None:
    """Sleep until pages are free, or for `timo` ticks at most (0 means one second, never forever).

    Locks: takes vm_token, which the sleep releases and reacquires.  Sleeps: yes.
    """
    timo = timo or HZ
    with vm.pageout.vm_token:
        if is_pagedaemon(vm):
            if vm_paging_min(vm):
                vm.pageout.vm_pageout_pages_needed.store(1)
                began = vm.machine.ticks
                vm.machine.tsleep(VM_PAGEOUT_PAGES_NEEDED, 0, "VMWait", timo, overdue=lambda: None)
                hardclock(vm, began)
        else:
            nice = vm.mycpu().nice + 1
            if vm_paging_min_nice(vm, nice):
                _sleep_for_pages(vm, nice, "vmwait", timo)


def vm_wait_pfault(vm: VmSystem) -> None:
    """Delay a faulting process while pages are short; let one that is being killed proceed.

    Locks: takes vm_token for all rounds together; each sleep releases and reacquires it.  Sleeps: yes.
    """
    gd = vm.mycpu()
    if not vm_paging_min_nice(vm, gd.nice):
        vmstats_rollup(vm)  # the next clock interrupt, without which a stale view would never change
        return
    with vm.pageout.vm_token:
        while True:
            _sleep_for_pages(vm, gd.nice, "pfault", HZ // 10 + 1)
            if gd.proc.p_flags.load() & P_LOWMEMKILL or not vm_paging_severe(vm):
                return


def vm_wait_nominal(vm: VmSystem) -> None:
    """Wait until pages are not short.  Never call it from the pageout path.  Sleeps: yes."""
    while vm_paging_min(vm):
        vm_wait(vm, 0)


def vm_test_nominal(vm: VmSystem) -> bool:
    """Return whether `vm_wait_nominal` would wait."""
    return vm_paging_min(vm)
