"""The words that waiters for pages and the pagedaemon share.

Models: the globals of sys/vm/vm_pageout.c, and vm_token.
Locks: none; the counters are plain words that any CPU reads and writes, and `vm_pageout_deficit` is atomic.
Deviations:
  * the resident pages that a process may have above its limit, 4096 in the kernel, can be set.
  * `pageout_stop` makes the daemon exit; the kernel's daemon never exits.
"""

from __future__ import annotations

from vmsmp.engine.cpu import Cpu
from vmsmp.records.home import Home
from vmsmp.vm.config import BootConfig
from vmsmp.vm.vm_meter.meter import Globaldata
from vmsmp.vm.vm_page.flags import ACT_DECLINE


class Pageout:
    """The pagedaemon's globals."""

    def __init__(self, vm: Home, config: BootConfig) -> None:
        machine = vm.machine
        self.vm_pages_needed = machine.cell(
            0,
            "vm_pages_needed",
            sloppy="a request that is lost is made again: the daemon looks every five seconds",
        )
        self.vm_pages_waiting = machine.cell(
            0, "vm_pages_waiting", sloppy="only 0 or not counts, and a waiter that is missed has a timeout"
        )
        self.vm_pageout_pages_needed = machine.cell(
            0, "vm_pageout_pages_needed", sloppy="a pager that is missed sleeps until its timeout"
        )
        self.vm_pageout_deficit = machine.atomic(0, "vm_pageout_deficit")
        self.vm_token = machine.token("vm_token")
        self.pageout_stop = machine.cell(
            False, "pageout_stop", sloppy="the model's own: the daemon looks again after five seconds at most"
        )
        self.pagethread: Cpu | None = None
        self.emergpager: Cpu | None = None
        self.scan_yield = config.scan_yield
        #: vm.pageout_memuse_mode, for processes above the limit of resident pages: 0 do nothing; 1 remove
        #: mappings; 2 also write pages; 3 scans write dirty pages as soon as they meet them, too.
        self.memuse_mode = 2
        #: vm.max_launder: how many pages the scans of all queues may write.
        self.vm_max_launder = config.pages // 256 + 16
        #: vm.pageout_allow_active: whether active pages are written with an inactive one.
        self.pageout_allow_active = 1
        #: vm.anonmem_decline and vm.filemem_decline: what a page loses of its act_count in a scan in which it
        #: was not used.
        self.vm_anonmem_decline = ACT_DECLINE
        self.vm_filemem_decline = 2 * ACT_DECLINE
        #: vm.defer_swapspace_pageouts and vm.disable_swapspace_pageouts: whether pages go to swap only when
        #: memory is short, and whether they never do.
        self.defer_swap_pageouts = 0
        self.disable_swap_pageouts = 0
        #: vm.pageout_lock_miss: how often a vnode could not be locked.
        self.pageout_lock_miss = 0
        #: How many resident pages above its limit a process may have.
        self.memuse_spared = 4096
        #: How many pages of files that may be dirty were skipped, since they or their vnode were locked.
        self.vnodes_skipped = 0
        #: How many pages may be wired if a process wants more; the kernel's daemon takes a third of the free.
        self.vm_page_max_wired: int | None = None
        #: Ghost: the globaldata of the CPU that ran `vm_page_free_wakeup` last.
        self.last_to_free: Globaldata | None = None


def startup(vm: Home, config: BootConfig) -> Pageout:
    """Start with no waiters and no daemon."""
    return Pageout(vm, config)
