"""Repairs of where the heap of a process ends (sys/vm/vm_unix.c)."""

from __future__ import annotations

from vmsmp.patches.patch import Repair

_MODULE = "vmsmp.vm.vm_unix"

REPAIRS = (
    Repair(
        "break-ends-where-it-is-set",
        f"{_MODULE}:_obreak",
        "diff = new - old",
        """
        vmspace.vm_dsize = round_page(vmspace.vm_dsize)
        diff = new - old
        """,
        "what the break adds to the heap's size begins on a page",
    ),
    Repair(
        "sbrk-looks-at-the-map",
        f"{_MODULE}:_sbrk",
        "nbase = round_page(base)",
        """
        nbase = round_page(base)
        if map.hint("size") + round_page(incr) > map.vm.mycpu().proc.hint("rlim_vmem"):
            return ENOMEM, 0
        """,
        "the heap grows within the limit of the address space",
    ),
    Repair(
        "sbrk-limits-what-it-maps",
        f"{_MODULE}:_sbrk",
        "nbase = round_page(base)",
        """
        nbase = round_page(base)
        if nbase + incr - vmspace.vm_daddr > limit:
            return ENOMEM, 0
        """,
        "the limit is compared with the end that the heap will have",
    ),
    Repair(
        "sbrk-knows-the-sign",
        f"{_MODULE}:_sbrk",
        "if incr == 0:",
        """
        if incr < 0:
            return EOPNOTSUPP, 0
        if incr == 0:
        """,
        "a negative increment is told from a large one",
    ),
)
