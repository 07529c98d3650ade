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
    Repair(
        "limits-end-with-a-page",
        "vmsmp.vm.kern_plimit:setrlimit_stack",
        "size = round_page(abs(limit - before))",
        "size = trunc_page(USRSTACK - min(before, limit)) - start",
        "what is changed begins and ends with the pages that have the two limits",
    ),
    Repair(
        "limit-is-of-the-stack",
        "vmsmp.vm.kern_plimit:setrlimit_stack",
        'vm_map_protect(p.hint("p_vmspace").vm_map, start, start + size, prot, False)',
        """
        from vmsmp.vm.vm_map.flags import VM_SUBSYS_STACK
        from vmsmp.vm.vm_map.lock import vm_map_lock_read, vm_map_unlock

        map = p.hint("p_vmspace").vm_map
        vm_map_lock_read(map)
        parts = [(one.ba.start, one.ba.end) for one in map.rb_root if one.id == VM_SUBSYS_STACK]
        vm_map_unlock(map)
        for low, high in parts:
            if max(low, start) < min(high, start + size):
                vm_map_protect(map, max(low, start), min(high, start + size), prot, False)
        """,
        "entries of stacks are changed, and no others",
    ),
)
