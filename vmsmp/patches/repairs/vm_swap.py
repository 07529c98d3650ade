"""Repairs of the table of swap devices (sys/vm/vm_swap.c)."""

from __future__ import annotations

from vmsmp.patches.patch import Repair

_MODULE = "vmsmp.vm.vm_swap"

REPAIRS = (
    Repair(
        "swapon-looks-at-all-slots",
        f"{_MODULE}:swaponvp",
        "if other is None:",
        "if other is None and swap.slot_of(vp) is None:",
        "a slot is taken if no other one has the device",
    ),
    Repair(
        "swapoff-takes-off-what-it-closes",
        f"{_MODULE}:swapoff_one",
        """
        swap.vm_swap_max -= device.usable
        if device.stuck:
            return EINTR
        """,
        """
        if device.stuck:
            return EINTR
        swap.vm_swap_max -= device.usable
        """,
        "the blocks of a device are those of the swap until it is closed",
    ),
    Repair(
        "swapoff-takes-the-token",
        f"{_MODULE}:swapoff_one",
        "swap.vm_swap_size.store(swap.vm_swap_size.load() - device.free)",
        """
        swap.vm.pageout.vm_token.acquire()
        swap.vm_swap_size.store(swap.vm_swap_size.load() - device.free)
        swap.vm.pageout.vm_token.release()
        """,
        "the blocks of a device are taken off with the token that protects their count",
    ),
    Repair(
        "swapoff-drops-what-it-looked-up",
        f"{_MODULE}:sys_swapoff",
        "swap.swap_mtx.unlock()",
        """
        swap.swap_mtx.unlock()
        vrele(name)
        """,
        "the reference of the look-up is dropped in the end",
    ),
    Repair(
        "swapon-rounds-down",
        f"{_MODULE}:swaponvp",
        "aligned_nblks = -(-blocks // SWB_DMMAX) * SWB_DMMAX",
        "aligned_nblks = blocks // SWB_DMMAX * SWB_DMMAX",
        "a stripe is used if the device has all of it",
    ),
)
