"""Repairs of the limits of a process (sys/kern/kern_plimit.c)."""

from __future__ import annotations

from vmsmp.patches.patch import Repair

REPAIRS = (
    Repair(
        "raised-stack-has-its-rights",
        "vmsmp.vm.kern_plimit:setrlimit_stack",
        "prot = VM_PROT_ALL if limit > before else VM_PROT_NONE",
        """
        from vmsmp.vm.vm_map.flags import VM_PROT_RW

        prot = VM_PROT_RW if limit > before else VM_PROT_NONE
        """,
        "what can be used again has the rights that a stack is made with",
    ),
)
