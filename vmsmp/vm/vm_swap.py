"""Devices that are swapped to: which there are, and the references to their vnodes.

Models: sys_swapon, swaponvp, sys_swapoff, swapoff_one, swapacctspace and swapdev_strategy of
sys/vm/vm_swap.c.
The blocks of a device are handed out in stripes, and the last one is whole whether the device is or not; the
first one stays unused.
Locks: swap_mtx, which a thread may have already; vm_token for the free blocks, which swapoff_one lacks.
Deviations:
  * a name is the vnode that it stands for; a device can always be opened, and its free blocks are their
    number.
  * a block is that of a device; the stripes of several are not laid out in turn.
  * what is in use is read back at once, or (`SwapDevice.stuck`) cannot be; there is memory enough for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from vmsmp.sync.errno import EBUSY, EINTR, EINVAL, EIO, ENODEV
from vmsmp.vm.vnode import vref, vrele

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vnode import Vnode

NSWAPDEV: Final = 4
#: The blocks of a stripe.
SWB_DMMAX: Final = 64


@dataclass(slots=True)
class SwapDevice:
    """struct swdevt: of `sw_nblks` blocks `free` can be taken, and `stuck` cannot be read back.

    The device itself has `blocks`.
    """

    sw_vp: Vnode
    sw_nblks: int
    free: int
    blocks: int
    stuck: int = 0

    @property
    def usable(self) -> int:
        """All blocks but those of the first stripe."""
        return self.sw_nblks - SWB_DMMAX


class Swap:
    """The globals of vm_swap.c: `swdevt`, None where there is no device, and how many blocks there are."""

    def __init__(self, vm: VmSystem) -> None:
        self.vm = vm
        self.swap_mtx = vm.machine.mutex("swap_mtx")
        # invariant: a vnode in the table is referenced for that
        self.swdevt: list[SwapDevice | None] = [None] * NSWAPDEV
        #: The blocks that are free, and all that may be used.
        self.vm_swap_size = vm.machine.cell(0, "vm_swap_size")
        self.vm_swap_max = 0

    def slot_of(self, vp: Vnode) -> int | None:
        """Return the first slot that has the device, or None."""
        return next((n for n, one in enumerate(self.swdevt) if one is not None and one.sw_vp is vp), None)


def sys_swapon(swap: Swap, name: Vnode, blocks: int = 128) -> int:
    """Swap to a device from now on; return an errno.  Locks: takes swap_mtx.  Sleeps: for it."""
    swap.swap_mtx.lock()
    vref(name)  # nlookup
    error = swaponvp(swap, name, blocks)
    if error:
        vrele(name)
    swap.swap_mtx.unlock()
    return error


def swaponvp(swap: Swap, vp: Vnode, blocks: int) -> int:
    """Put a device into the table, which has the caller's reference then; return an errno.

    The slots are looked at in order, and the first that is empty is taken, whatever is in those behind it.
    Locks: takes vm_token, and swap_mtx once more.
    """
    swap.vm.pageout.vm_token.acquire()
    swap.swap_mtx.lock()
    error = EINVAL
    for slot, other in enumerate(swap.swdevt):
        if other is not None and other.sw_vp is vp:
            error = EBUSY
            break
        if other is None:
            aligned_nblks = -(-blocks // SWB_DMMAX) * SWB_DMMAX
            free = aligned_nblks - SWB_DMMAX
            swap.swdevt[slot] = SwapDevice(vp, aligned_nblks, free, blocks)
            swap.vm_swap_size.store(swap.vm_swap_size.load() + free)
            swap.vm_swap_max += free
            error = 0
            break
    swap.swap_mtx.unlock()
    swap.vm.pageout.vm_token.release()
    return error


def sys_swapoff(swap: Swap, name: Vnode) -> int:
    """Swap to a device no more; return an errno.

    The reference of the look-up stays.  Locks: takes swap_mtx.  Sleeps: for it.
    """
    swap.swap_mtx.lock()
    vref(name)  # nlookup
    slot = swap.slot_of(name)
    error = EINVAL if slot is None else swapoff_one(swap, slot)
    swap.swap_mtx.unlock()
    return error


def swapoff_one(swap: Swap, index: int) -> int:
    """Close a device and drop the table's reference; return an errno.

    Its free blocks are taken first.  If others are in use still it stays, and may be given up once more.
    Locks: swap_mtx.
    """
    device = swap.swdevt[index]
    if device is None:
        swap.vm.panic("swapoff_one: no device")
    swap.vm_swap_size.store(swap.vm_swap_size.load() - device.free)
    device.free = 0
    swap.vm_swap_max -= device.usable
    if device.stuck:
        return EINTR
    vrele(device.sw_vp)
    swap.swdevt[index] = None
    return 0


def swapacctspace(swap: Swap, device: SwapDevice, count: int) -> None:
    """Count blocks of a device that are free now, or (negative) that are not any more.

    Locks: takes vm_token, as the swap pager has it.  Sleeps: for it.
    """
    swap.vm.pageout.vm_token.acquire()
    device.free += count
    swap.vm_swap_size.store(swap.vm_swap_size.load() + count)
    swap.vm.pageout.vm_token.release()


def swapdev_strategy(swap: Swap, index: int, blkno: int) -> int:
    """Read or write a block of a device; return an errno.  Locks: none."""
    device = swap.swdevt[index]
    if device is None:
        return ENODEV
    if blkno >= device.sw_nblks:
        return EINVAL
    return 0 if blkno < device.blocks else EIO  # the device knows where it ends
