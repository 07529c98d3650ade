"""The globals of pagers: the disk, the blocks of swap, and the objects of devices.

Models: the globals of sys/vm/vm_pager.c, sys/vm/swap_pager.c and sys/vm/device_pager.c.
Locks: the disk's spinlock for its queue, vm_token for the blocks, dev_pager_mtx for the list.
Deviations:
  * those of `bio` and `swap_meta`.
"""

from __future__ import annotations

from typing import Any

from vmsmp.records.home import Home
from vmsmp.vm.config import BootConfig
from vmsmp.vm.vm_object.object import VmObject
from vmsmp.vm.vm_pager.bio import Device


class Pagers:
    """The disk, and swap: `vm_swap_size` blocks are free; `free_blocks` are those used and freed again."""

    def __init__(self, vm: Home, config: BootConfig) -> None:
        self.device = Device(vm)
        self.vm_swap_max = config.swap_pages
        self.vm_swap_size = config.swap_pages
        self.free_blocks: list[int] = []
        #: What was written to each block, by piece of its page.
        self.contents: dict[int, dict[int, Any]] = {}
        self.dev_pager_mtx = vm.machine.mutex("devpgr")
        #: The objects of devices, in order of creation; protected by dev_pager_mtx.
        self.dev_pager_object_list: list[VmObject] = []
        #: vm.swap_user_async: whether other threads than the pagers may write without waiting.
        self.swap_user_async = 0
        #: vm.swap_burst_read: how many more pages are read with one.
        self.swap_burst_read = 0
        #: vm.swapcache.read_enable: whether pages of files are read from swap that are there.
        self.vm_swapcache_read_enable = 0


def startup(vm: Home, config: BootConfig) -> Pagers:
    """Start with all of swap free, and no CPU that runs the device."""
    return Pagers(vm, config)
