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
        swap.vm_swap_max -= device.sw_nblks
        if device.stuck:
            return EINTR
        """,
        """
        if device.stuck:
            return EINTR
        swap.vm_swap_max -= device.sw_nblks
        """,
        "the blocks of a device are those of the swap until it is closed",
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
)
