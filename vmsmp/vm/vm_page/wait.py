"""Waiting for free pages, and telling those who wait.

Models: the vm_wait family, vm_page_free_wakeup and pagedaemon_wakeup of sys/vm/vm_page.c and vm_page2.h.
Locks: vm_token around vm_wait's test and sleep; the counters `vm_pages_needed` and `vm_pages_waiting`
are plain words that race by design.
The sleeps are not interlocked with what they wait for.  Their timeouts are the safety net: a free
between the test and the sleep wakes nobody, and the sleeper lies there until its time is up.
Deviations:
  * a process is a CPU: its niceness and its being killed for memory are in the CPU's globaldata.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.engine.clock import HZ
from vmsmp.vm.vm_meter.counts import hardclock
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
    from vmsmp.vm.system import VmSystem

#: The idents slept on, by the kernel's names for their addresses.
V_FREE_COUNT = "vmstats.v_free_count"
VM_PAGES_NEEDED = "vm_pages_needed"
VM_PAGEOUT_PAGES_NEEDED = "vm_pageout_pages_needed"


def is_pagedaemon(vm: VmSystem) -> bool:
    """Whether the running CPU is one of the two that make pages free."""
    cpu = vm.engine.current
    return cpu is vm.pageout.pagethread or cpu is vm.pageout.emergpager


def pagedaemon_wakeup(vm: VmSystem) -> None:
    """Have the pagedaemon work if pages are getting short.  Locks: none."""
    if vm_paging_start(vm) and not is_pagedaemon(vm):
        _kick(vm)


def _kick(vm: VmSystem) -> None:
    needed = vm.pageout.vm_pages_needed.load()
    if needed <= 1:
        vm.pageout.vm_pages_needed.store(needed + 1)  # two may do so at once; it is sloppy by design
        vm.machine.wakeup(VM_PAGES_NEEDED)


def vm_page_free_wakeup(vm: VmSystem) -> None:
    """A page became free or cached: wake the pagers, and all who wait if there is enough again.

    Locks: none.  The counter goes to zero before the wakeup, so that who begins to wait after that
    counts for the next free.
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


def _pages_overdue(vm: VmSystem, limit: int) -> str | None:
    """Why a sleep for pages should be over: who freed last sees more than it waits for (INV-PG1).

    What a CPU that frees cannot see, it cannot tell the sleeper.
    """
    if vm.pageout.last_to_free is None:
        return None
    view = vm.pageout.last_to_free.gd_vmstats
    free = view.peek("v_free_count")
    if limit > free + view.peek("v_cache_count") or vm.meter.limits.v_free_reserved > free:
        return None
    return "there are pages enough, and nobody will wake who waits for them"


def _sleep_for_pages(vm: VmSystem, nice: int, wmesg: str, timo: int) -> None:
    """Kick the pagedaemon, be counted, and sleep until pages are free or the time is up."""
    machine = vm.machine
    _kick(vm)
    vm.pageout.vm_pages_waiting.store(vm.pageout.vm_pages_waiting.load() + 1)
    limit = vm.meter.limits.v_free_min + max(paging_extra(vm, nice), vm.meter.limits.vm_page_free_hysteresis)
    began = machine.ticks
    machine.tsleep(V_FREE_COUNT, 0, wmesg, timo, overdue=lambda: _pages_overdue(vm, limit))
    hardclock(vm, began)


def vm_wait(vm: VmSystem, timo: int = 0) -> None:
    """Sleep until pages are free, or `timo` ticks at most (0 for a second: never for ever).

    Locks: takes vm_token, which the sleep loses and has again.  Sleeps: yes.
    """
    timo = timo or HZ
    with vm.pageout.vm_token:
        if is_pagedaemon(vm):
            if vm_paging_min(vm):
                vm.pageout.vm_pageout_pages_needed.store(1)
                vm.machine.tsleep(VM_PAGEOUT_PAGES_NEEDED, 0, "VMWait", timo, overdue=lambda: None)
        else:
            nice = vm.mycpu().nice + 1
            if vm_paging_min_nice(vm, nice):
                _sleep_for_pages(vm, nice, "vmwait", timo)


def vm_wait_pfault(vm: VmSystem) -> None:
    """Hold a faulting process back while pages are short; one that is being killed goes on.

    Locks: none.  Sleeps: yes.
    """
    gd = vm.mycpu()
    if vm_paging_min_nice(vm, gd.nice):
        while True:
            _sleep_for_pages(vm, gd.nice, "pfault", HZ // 10 + 1)
            if gd.p_lowmemkill or not vm_paging_severe(vm):
                return


def vm_wait_nominal(vm: VmSystem) -> None:
    """Wait until pages are not short.  Never from the pageout's own path.  Sleeps: yes."""
    while vm_paging_min(vm):
        vm_wait(vm, 0)
