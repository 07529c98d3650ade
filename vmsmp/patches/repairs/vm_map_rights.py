"""Repairs of mprotect, msync and lookups (sys/vm/vm_map.c), and of how programs are mapped (imgact_elf.c)."""

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
    Repair(
        "msync-waits-for-a-vnode-unlocked",
        f"{_MODULE}.clean:_clean",
        "last = (offset + size + PAGE_MASK & ADDRESS_MASK) >> PAGE_SHIFT",
        """
        from types import SimpleNamespace

        last = (offset + size + PAGE_MASK & ADDRESS_MASK) >> PAGE_SHIFT
        ba, current = SimpleNamespace(end=ba.end), SimpleNamespace(protection=current.protection)
        vm_object_reference_locked(obj)
        vm_map_unlock(map)
        """,
        "the map is unlocked while the pages of an entry are written",
        also=(
            Edit(
                f"{_MODULE}.clean:_clean",
                """
                if invalidate:
                    _forget(obj, first, last)
                """,
                """
                if invalidate:
                    _forget(obj, first, last)
                vm_object_deallocate_locked(obj)
                vm_map_lock_read(map)
                """,
            ),
            Edit(
                f"{_MODULE}.clean:_clean",
                "current = vm_map_entry_after(map, current)",
                """
                hit, there = vm_map_lookup_entry(map, start)
                current = there if hit and start < end else None
                """,
            ),
        ),
    ),
    Repair(
        "program-locks-the-vnode",
        "vmsmp.vm.imgact_elf:elf_load_section",
        'obj: VmObject | None = vp.hint("v_object")',
        """
        from vmsmp.vm.vm_object.reference import vm_object_reference_quick

        error = vget(vp, LK_SHARED)
        if error:
            return error
        obj: VmObject | None = vp.hint("v_object")
        if obj is not None:
            vm_object_reference_quick(obj)
        vput(vp)
        """,
        "the vnode is locked while its object is referenced, so that it is not reclaimed",
        also=(
            Edit(
                "vmsmp.vm.imgact_elf:elf_load_section",
                "vm_object_drop(obj)",
                """
                vm_object_deallocate_locked(obj)
                vm_object_drop(obj)
                """,
            ),
        ),
    ),
    Repair(
        "protection-waits-for-transitions",
        f"{_MODULE}.protect:vm_map_protect",
        "first = vm_map_range_first(map, start, reserved)",
        """
        from vmsmp.vm.vm_map.transition import vm_map_entry_wait

        waited = map.rb_root.first()
        while waited is not None:
            if waited.in_transition and waited.ba.start < end and start < waited.ba.end:
                vm_map_entry_wait(map, waited)
                waited = map.rb_root.first()
            else:
                waited = map.rb_root.next(waited)
        first = vm_map_range_first(map, start, reserved)
        """,
        "rights are changed when no entry of the range is in transition",
    ),
    Repair(
        "partition-waits-for-nobody",
        f"{_MODULE}.lookup:_Lookup._partition",
        """
        if entry.eflags & MAP_ENTRY_IN_TRANSITION:
            vm_map_entry_wait(map, entry, relock=False)
            return False
        """,
        """
        if entry.eflags & MAP_ENTRY_IN_TRANSITION:
            return True
        """,
        "what is in transition is not cut, and nobody waits for it to get an object",
    ),
    Repair(
        "dump-locks-the-map",
        "vmsmp.vm.imgact_elf:each_segment",
        "error = 0",
        """
        from vmsmp.vm.vm_map.lock import vm_map_lock_read

        error = 0
        vm_map_lock_read(map)
        """,
        "the map is locked shared while a dump walks it",
        also=(
            Edit(
                "vmsmp.vm.imgact_elf:each_segment",
                "return error",
                """
                vm_map_unlock(map)
                return error
                """,
            ),
        ),
    ),
    Repair(
        "header-locks-the-vnode",
        "vmsmp.vm.kern_exec:exec_map_page",
        'obj: VmObject | None = vp.hint("v_object")',
        """
        from vmsmp.sync.errno import LK_SHARED
        from vmsmp.vm.vm_object.deallocate import vm_object_deallocate
        from vmsmp.vm.vm_object.reference import vm_object_reference_quick
        from vmsmp.vm.vnode import vget, vput

        if vget(vp, LK_SHARED):
            return None
        obj: VmObject | None = vp.hint("v_object")
        if obj is not None:
            vm_object_reference_quick(obj)
        vput(vp)
        """,
        "the vnode is locked while its object is referenced, so that it is not reclaimed",
        also=(
            Edit(
                "vmsmp.vm.kern_exec:exec_map_page",
                """
                if obj is None or pageno >= obj.hint("size"):
                    return None
                """,
                """
                if obj is None or pageno >= obj.hint("size"):
                    vm_object_deallocate(obj)
                    return None
                """,
            ),
            Edit(
                "vmsmp.vm.kern_exec:exec_map_page",
                """
                vm_object_drop(obj)
                return m
                """,
                """
                vm_object_drop(obj)
                vm_object_deallocate(obj)
                return m
                """,
            ),
            Edit(
                "vmsmp.vm.kern_exec:exec_map_page",
                "return _read(obj, pageno)",
                """
                m = _read(obj, pageno)
                vm_object_deallocate(obj)
                return m
                """,
            ),
        ),
    ),
)
