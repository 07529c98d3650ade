"""Repairs of what becomes of wired memory when its rights change (sys/vm/vm_map.c)."""

from __future__ import annotations

from vmsmp.patches.patch import Edit, Repair

_MODULE = "vmsmp.vm.vm_map"

REPAIRS = (
    Repair(
        "protection-wires-copies",
        f"{_MODULE}.protect:vm_map_protect",
        "_protect_entry(map, current, new_prot, set_max)",
        """
        _protect_entry(map, current, new_prot, set_max)
        from vmsmp.vm.vm_map.flags import MAP_ENTRY_USER_WIRED

        wired_copy = MAP_ENTRY_NEEDS_COPY | MAP_ENTRY_USER_WIRED
        writeable = current.protection & VM_PROT_WRITE and not current.in_transition
        if writeable and current.eflags & wired_copy == wired_copy:
            from vmsmp.vm.pmap.remove import pmap_remove
            from vmsmp.vm.vm_map.delete import vm_map_entry_unwire

            vm_map_entry_unwire(map, current)
            pmap_remove(map.pmap, current.ba.start, current.ba.end)
            anew.append((current.ba.start, current.ba.end))
        """,
        "wired memory that is to be copied is wired anew, as a copy, once it may be written to",
        also=(
            Edit(f"{_MODULE}.protect:vm_map_protect", "current = first", "current, anew = first, []"),
            Edit(
                f"{_MODULE}.protect:vm_map_protect",
                "return result",
                """
                if result == KERN_SUCCESS and anew:
                    from vmsmp.vm.vm_map.wiring import vm_map_user_wiring

                    for low, high in anew:
                        vm_map_user_wiring(map, low, high, False)
                return result
                """,
            ),
        ),
    ),
)
