"""The sysctls of the thresholds, and of what the page layer counts.

Models: the SYSCTLs of sys/vm/vm_meter.c.
Locks: none; thresholds are plain numbers that race by design, and counts are added up as they stand.
Deviations:
  * thresholds are not copied to a CPU's view at its next hardclock: a write is seen at once.
  * vm.page_free_hysteresis is here with the limits that it belongs to; the kernel has it with the pagedaemon.
  * vm.v_cache_min and vm.v_cache_max are left out, since no threshold test reads them; vm.v_free_target,
    which none reads either, is kept.
  * vm.vmtotal is one sysctl for each number; vm.vmstats and vm.vmmeter are what is under vm.stats.vm.
  * no counters of what is not modelled (faults, interrupts, system calls), and none of a single CPU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vmsmp.vm.sysctl import Sysctl, tunable
from vmsmp.vm.vm_page.flags import PAGE_SIZE

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem


def _count(name: str, text: str) -> Sysctl:
    """A number of pages of the global set, without what CPUs have not rolled up yet."""

    def read(vm: VmSystem) -> int:
        pages: int = vm.meter.vmstats.peek(name)
        return pages

    return Sysctl(f"vm.stats.vm.{name}", text, read)


def _counter(name: str, text: str) -> Sysctl:
    """A number of events, which each CPU counts for itself."""
    return Sysctl(f"vm.stats.vm.{name}", text, lambda vm: sum(getattr(gd, name) for gd in vm.meter.cpus()))


def _v_page_size(_vm: VmSystem) -> int:
    return PAGE_SIZE


def _v_page_count(vm: VmSystem) -> int:
    return vm.meter.v_page_count


def _t_rm(vm: VmSystem) -> int:
    return sum(gd.t_rm for gd in vm.meter.cpus())


def _t_free(vm: VmSystem) -> int:
    pages: int = vm.meter.vmstats.peek("v_free_count") + vm.meter.vmstats.peek("v_cache_count")
    return pages


SYSCTLS: Final = (
    tunable("vm.v_free_min", "meter.limits.v_free_min", "pages below which allocating processes wait"),
    tunable(
        "vm.v_free_reserved", "meter.limits.v_free_reserved", "free pages that ordinary requests leave alone"
    ),
    tunable("vm.v_free_severe", "meter.limits.v_free_severe", "pages below which faulting processes wait on"),
    tunable("vm.v_free_target", "meter.limits.v_free_target", "free pages that the system aims at"),
    tunable(
        "vm.v_inactive_target", "meter.limits.v_inactive_target", "inactive pages that the pagedaemon wants"
    ),
    tunable(
        "vm.v_pageout_free_min", "meter.limits.v_pageout_free_min", "pages at which the pagedaemon is woken"
    ),
    tunable("vm.v_paging_wait", "meter.limits.v_paging_wait", "pages below which processes slow down"),
    tunable("vm.v_paging_start", "meter.limits.v_paging_start", "pages below which the pagedaemon runs"),
    tunable("vm.v_paging_target1", "meter.limits.v_paging_target1", "pages that the pagedaemon wants first"),
    tunable(
        "vm.v_paging_target2", "meter.limits.v_paging_target2", "pages that the pagedaemon wants in the end"
    ),
    tunable(
        "vm.page_free_hysteresis",
        "meter.limits.vm_page_free_hysteresis",
        "pages above the minimum that wake waiters",
    ),
    Sysctl("vm.stats.vm.v_page_size", "bytes of a page", _v_page_size),
    Sysctl("vm.stats.vm.v_page_count", "pages of the machine", _v_page_count),
    _count("v_free_count", "free pages"),
    _count("v_cache_count", "cached pages"),
    _count("v_inactive_count", "inactive pages"),
    _count("v_active_count", "active pages, and freed ones that are held"),
    _count("v_wire_count", "wired pages"),
    _count("v_dma_pages", "low pages that may be had as contiguous memory"),
    _counter("v_tfree", "pages freed"),
    _counter("v_pfree", "pages freed as their object was terminated"),
    _counter("v_reactivated", "cached pages that became active or inactive again"),
    _counter("v_vm_faults", "faults that were resolved"),
    _counter("v_cow_faults", "pages copied by a write (copy on write)"),
    _counter("v_zfod", "pages of zeros for faults"),
    _counter("v_intrans", "times that a fault waited for a busy page"),
    _counter("v_ppwakeups", "wakeups of processes that wait for pages"),
    Sysctl("vm.vmtotal.t_rm", "pages in objects", _t_rm),
    Sysctl("vm.vmtotal.t_free", "free and cached pages", _t_free),
)
