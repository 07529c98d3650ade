"""Block I/O: requests to a device, which a CPU of its own completes later, in any order.

Models: struct bio and the way from vn_strategy to biodone of sys/kern/vfs_bio.c, as far as pagers need them.
Locks: the device's spinlock for its queue.  A request's `done` runs without any lock.
Deviations:
  * one device; it fails only while `failing` is set, or for a bad block of swap.
  * a machine on which no CPU runs the device completes a request at once, on the CPU that makes it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from vmsmp.records.home import Home

if TYPE_CHECKING:
    from vmsmp.engine.cpu import Cpu
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_page.page import VmPage

#: The ident on which the device sleeps.
_BIOQ: Final = "bioq"


@dataclass(slots=True)
class Bio:
    """struct bio: pages to be read or written, and the function that completes the request."""

    pages: list[VmPage]
    write: bool
    done: Callable[[Bio], None]
    #: Whether TRY_TO_CACHE was asked for.
    ttc: bool = False
    #: The page that somebody waits for, of those that are read.
    awaited: VmPage | None = None
    error: bool = False
    #: The block of swap that is written, and what is: as it was when the request was made.
    blk: int | None = None
    contents: dict[int, Any] = field(default_factory=dict)


class Device:
    """A disk: its queue of requests, and whether a CPU runs it."""

    def __init__(self, vm: Home) -> None:
        self.spin = vm.machine.spinlock("bioq")
        self.queue: list[Bio] = []
        #: Ghost: the pages that were handed to it to be written; their contents are taken at that moment.
        self.transfers = 0
        self.attached = False
        self.stopped = False
        #: Whether every request fails from now on.
        self.failing = False
        #: The blocks of swap that cannot be written.
        self.bad_blocks: set[int] = set()
        #: The blocks of swap a write of which ends without an error, and short of the whole block.
        self.short_blocks: set[int] = set()
        #: How many pages a write of a file writes at most, without an error; None: all.
        self.short: int | None = None


def vn_strategy(vm: VmSystem, bio: Bio) -> None:
    """Hand a request to the device.  Sleeps: never, if a CPU runs the device."""
    device = vm.pager.device
    if not device.attached:
        transfer(vm, bio)
        return
    device.spin.acquire()
    device.queue.append(bio)
    device.spin.release()
    vm.machine.wakeup(_BIOQ)


def started(vm: VmSystem, bio: Bio) -> Bio:
    """Count the pages that a request is to write; return the request."""
    if bio.write and not vm.pager.device.failing:
        vm.pager.device.transfers += len(bio.pages)
    return bio


def transfer(vm: VmSystem, bio: Bio) -> None:
    """Carry out the request, and complete it."""
    bio.error = vm.pager.device.failing or bio.blk in vm.pager.device.bad_blocks
    if bio.blk is not None and not bio.error and bio.blk not in vm.pager.device.short_blocks:
        vm.pager.contents[bio.blk] = bio.contents
    bio.done(bio)


def device_attach(vm: VmSystem) -> Cpu:
    """Have a CPU run the device; return it.  `device_detach` ends it."""
    vm.pager.device.attached = True
    vm.pager.device.stopped = False
    cpu: Cpu = vm.machine.spawn(device_thread, vm, name="device")
    return cpu


def device_thread(vm: VmSystem) -> None:
    """Complete requests in any order until the device is detached and has none left."""
    device = vm.pager.device
    while True:
        device.spin.acquire()
        while not device.queue and not device.stopped:
            vm.machine.ssleep(_BIOQ, device.spin, 0, "bioq")
        if not device.queue:
            device.spin.release()
            return
        bio = device.queue.pop(vm.machine.choose(len(device.queue)) if len(device.queue) > 1 else 0)
        device.spin.release()
        transfer(vm, bio)


def device_detach(vm: VmSystem) -> None:
    """Let the device's CPU end once no request is left."""
    device = vm.pager.device
    device.spin.acquire()
    device.stopped = True
    device.spin.release()
    vm.machine.wakeup(_BIOQ)
