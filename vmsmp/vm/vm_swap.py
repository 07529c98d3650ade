"""Devices that are swapped to: which there are, and the references to their vnodes.

Models: sys_swapon, swaponvp, sys_swapoff and swapoff_one of sys/vm/vm_swap.c.
Locks: swap_mtx, which a thread may have already.
Deviations:
  * a name is the vnode that it stands for; a device can always be opened, and has no size and no blocks, so
    that nothing is to be read back from it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vmsmp.sync.errno import EBUSY, EINVAL
from vmsmp.vm.vnode import vref, vrele

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vnode import Vnode

NSWAPDEV: Final = 4


class Swap:
    """The globals of vm_swap.c: `swdevt`, the vnode of each device, None where there is none."""

    def __init__(self, vm: VmSystem) -> None:
        self.vm = vm
        self.swap_mtx = vm.machine.mutex("swap_mtx")
        # invariant: a vnode in the table is referenced for that
        self.swdevt: list[Vnode | None] = [None] * NSWAPDEV


def sys_swapon(swap: Swap, name: Vnode) -> int:
    """Swap to a device from now on; return an errno.  Locks: takes swap_mtx.  Sleeps: for it."""
    swap.swap_mtx.lock()
    vref(name)  # nlookup
    error = swaponvp(swap, name)
    if error:
        vrele(name)
    swap.swap_mtx.unlock()
    return error


def swaponvp(swap: Swap, vp: Vnode) -> int:
    """Put a device into the table, which has the caller's reference then; return an errno.

    The slots are looked at in order, and the first that is empty is taken, whatever is in those behind it.
    Locks: takes swap_mtx once more.
    """
    swap.swap_mtx.lock()
    error = EINVAL
    for slot, other in enumerate(swap.swdevt):
        if other is vp:
            error = EBUSY
            break
        if other is None:
            swap.swdevt[slot] = vp
            error = 0
            break
    swap.swap_mtx.unlock()
    return error


def sys_swapoff(swap: Swap, name: Vnode) -> int:
    """Swap to a device no more; return an errno.

    The reference of the look-up stays.  Locks: takes swap_mtx.  Sleeps: for it.
    """
    swap.swap_mtx.lock()
    vref(name)  # nlookup
    error = EINVAL
    if name in swap.swdevt:
        error = swapoff_one(swap, swap.swdevt.index(name))
    swap.swap_mtx.unlock()
    return error


def swapoff_one(swap: Swap, index: int) -> int:
    """Close a device and drop the table's reference; return an errno.  Locks: swap_mtx."""
    vp = swap.swdevt[index]
    if vp is None:
        swap.vm.panic("swapoff_one: no device")
    vrele(vp)
    swap.swdevt[index] = None
    return 0
