"""Repairs of stacks (sys/vm/vm_map.c): how far they grow, and the room that they have."""

from __future__ import annotations

from vmsmp.patches.patch import Edit, Repair

_MODULE = "vmsmp.vm.vm_map"

REPAIRS = (
    Repair(
        "growth-has-its-length",
        f"{_MODULE}.stack:_as_int",
        "return (value + (1 << 31) & 0xFFFFFFFF) - (1 << 31)",
        "return value",
        "by how much a stack grows is kept in 64 bits",
    ),
    Repair(
        "upper-part-has-the-lower-one-s-place",
        f"{_MODULE}.clip:_vm_map_clip_start",
        "vm_map_backing_adjust_start(entry, address)",
        """
        from vmsmp.vm.vm_map.flags import VM_SUBSYS_STACK

        if entry.id == VM_SUBSYS_STACK:
            entry.aux += address - new.ba.start
        vm_map_backing_adjust_start(entry, address)
        """,
        "the upper part of a stack that is cut may grow into the place of the lower one, and as far as that",
        also=(
            Edit(
                f"{_MODULE}.clip:_vm_map_clip_end",
                "vm_map_backing_adjust_end(entry, address)",
                """
                from vmsmp.vm.vm_map.flags import VM_SUBSYS_STACK

                if entry.id == VM_SUBSYS_STACK:
                    new.aux += address - entry.ba.start
                vm_map_backing_adjust_end(entry, address)
                """,
            ),
        ),
    ),
    Repair(
        "room-is-only-taken",
        f"{_MODULE}.stack:_Growth.attempt",
        """
        if addr < end:
            stack.aux = start - end
            addr = end
        """,
        """
        addr = max(addr, end)
        """,
        "a growth that a mapping cuts, or that it forbids, leaves the room behind the mapping to the stack",
        also=(
            Edit(
                f"{_MODULE}.stack:_Growth.attempt",
                """
                stack.aux = start - end
                return KERN_NO_SPACE
                """,
                """
                return KERN_NO_SPACE
                """,
            ),
        ),
    ),
    Repair(
        "new-stack-is-cut-off-first",
        f"{_MODULE}.stack:_stack",
        """
        made = vm_map_entry_after(map, prev)
        if prev is not None:
            vm_map_clip_end(map, prev, top - init_ssize, count)
        """,
        """
        if prev is not None:
            vm_map_clip_end(map, prev, top - init_ssize, count)
        made = vm_map_entry_after(map, prev)
        """,
        "what the entry before was extended by is cut off before the entry behind that one is looked at",
    ),
)
