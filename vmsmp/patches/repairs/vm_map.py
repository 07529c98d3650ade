"""Repairs of the address spaces (sys/vm/vm_map.c)."""

from __future__ import annotations

from vmsmp.patches.patch import Edit, Repair

_MODULE = "vmsmp.vm.vm_map"

REPAIRS = (
    Repair(
        "simplify-asks-the-next",
        f"{_MODULE}.clip:vm_map_simplify_entry",
        "and _backing_below(map, prev) is ba.backing_ba",
        "and following.ba.backing_ba is ba.backing_ba",
        "an entry is joined with the next one if that one has the same chain, as with the one before",
    ),
    Repair(
        "shadow-attaches-first",
        f"{_MODULE}.shadow:_put_in_front",
        "vm_map_backing_attach(entry, ba)",
        "pass",
        "the element behind the head is on the old object's list before the head leaves it",
        also=(
            Edit(
                f"{_MODULE}.shadow:_put_in_front",
                """
                vm_map_backing_detach(entry, entry.ba)
                copy_backing(ba, entry.ba)
                """,
                """
                copy_backing(ba, entry.ba)
                vm_map_backing_attach(entry, ba)
                vm_map_backing_detach(entry, entry.ba)
                """,
            ),
        ),
    ),
    Repair(
        "holes-begin-where-they-do",
        f"{_MODULE}.delete:_first",
        """
        vm_map_clip_start(map, entry, start, reserved)
        return start, entry
        """,
        """
        vm_map_clip_start(map, entry, start, reserved)
        before = map.rb_root.prev(entry)
        return (map.min_addr if before is None else before.ba.end), entry
        """,
        "a removed range is noted as a hole that begins where the entry before it ends, or with the map",
        also=(
            Edit(
                f"{_MODULE}.delete:_first",
                "return (map.max_addr if first is not None else map.min_addr), first",
                "return map.min_addr, first",
            ),
        ),
    ),
    Repair(
        "lookup-begins-afresh",
        f"{_MODULE}.lookup:_Lookup.attempt",
        "self.entry = self.ba = None",
        """
        self.entry = self.ba = None
        self.fault_type = self.fault_typea
        """,
        "a lookup that begins anew asks for what its caller asked for",
    ),
    Repair(
        "lookup-refuses-what-needs-a-copy",
        f"{_MODULE}.lookup:_Lookup.attempt",
        "and entry.eflags & MAP_ENTRY_COW",
        "and entry.eflags & MAP_ENTRY_NEEDS_COPY",
        "a write to wired memory is refused only while it still needs a copy",
    ),
    Repair(
        "grown-stack-keeps-its-room",
        f"{_MODULE}.stack:_Growth._grow",
        "VM_PROT_ALL, 0)",
        "VM_PROT_ALL, COWF_IS_STACK)",
        "the entry by which a stack grows has the flag that keeps others out of the room below it",
    ),
    Repair(
        "grown-stack-has-the-stack-s-rights",
        f"{_MODULE}.stack:_Growth._grow",
        "stack.ba.start, VM_PROT_ALL,",
        "stack.ba.start, stack.protection,",
        "the entry by which a stack grows has the rights of the entry above it",
    ),
    Repair(
        "stack-is-wired-unlocked",
        f"{_MODULE}.stack:_Growth._grow",
        "vm_map_user_wiring(map, made.ba.start, made.ba.end, False)",
        """
        start, end = made.ba.start, made.ba.end
        vm_map_unlock(map)
        vm_map_user_wiring(map, start, end, False)
        vm_map_lock(map)
        """,
        "the map is unlocked while the new part of a stack is wired",
    ),
    Repair(
        "stack-cuts-what-was-joined",
        f"{_MODULE}.stack:_Growth._grow",
        "map, count = self._map, self._count",
        "map, count, top, avail = self._map, self._count, stack.ba.start, stack.aux",
        "what the entry above says is remembered, and the new part cut out of whatever is there then",
        also=(
            Edit(
                f"{_MODULE}.stack:_Growth._grow",
                """
                if prev is not None:
                    vm_map_clip_end(map, prev, addr, count)
                made = vm_map_entry_after(map, prev)
                if made is None or made.ba.end != stack.ba.start or made.ba.start != addr:
                """,
                """
                made = vm_map_entry_after(map, prev) if prev is None else vm_map_lookup_entry(map, addr)[1]
                vm_map_clip_end(map, made, top, count)
                if made.ba.start < addr:
                    vm_map_clip_end(map, made, addr, count)
                    made = vm_map_entry_after(map, made)
                if made.ba.start != addr or made.ba.end != top:
                """,
            ),
            Edit(
                f"{_MODULE}.stack:_Growth._grow", "made.aux = stack.aux - length", "made.aux = avail - length"
            ),
        ),
    ),
    Repair(
        "stack-limit-is-whole-pages",
        f"{_MODULE}.stack:_Growth._allowed",
        'grow_amount = _as_int(self._p.hint("rlim_stack") - used)',
        'grow_amount = _as_int(self._p.hint("rlim_stack") - used >> PAGE_SHIFT << PAGE_SHIFT)',
        "a growth that the limit cuts is cut to whole pages",
    ),
    Repair(
        "count-locks-the-map",
        f"{_MODULE}.counters:vmspace_anonymous_count",
        "vmspace_hold(vmspace)",
        f"""
        from {_MODULE}.lock import vm_map_lock_read, vm_map_unlock

        vmspace_hold(vmspace)
        vm_map_lock_read(vmspace.vm_map)
        """,
        "the map is locked shared while its entries are walked",
        also=(
            Edit(
                f"{_MODULE}.counters:vmspace_anonymous_count",
                "vmspace_drop(vmspace)",
                """
                vm_map_unlock(vmspace.vm_map)
                vmspace_drop(vmspace)
                """,
            ),
            Edit(
                f"{_MODULE}.counters:vmspace_swap_count",
                "vmspace_hold(vmspace)",
                f"""
                from {_MODULE}.lock import vm_map_lock_read, vm_map_unlock

                vmspace_hold(vmspace)
                vm_map_lock_read(vmspace.vm_map)
                """,
            ),
            Edit(
                f"{_MODULE}.counters:vmspace_swap_count",
                "vmspace_drop(vmspace)",
                """
                vm_map_unlock(vmspace.vm_map)
                vmspace_drop(vmspace)
                """,
            ),
        ),
    ),
    Repair(
        "mlock-takes-back-its-own",
        f"{_MODULE}.wiring:_user_wire",
        "entry: VmMapEntry | None = start_entry",
        """
        own = []
        first = start_entry.ba.start
        entry = start_entry
        """,
        "a call that fails ends the wirings that it has made, and no others",
        also=(
            Edit(
                f"{_MODULE}.wiring:_user_wire",
                "if entry.eflags & MAP_ENTRY_USER_WIRED:",
                """
                if not entry.eflags & MAP_ENTRY_USER_WIRED:
                    own.append((entry.ba.start, entry.ba.end))
                if entry.eflags & MAP_ENTRY_USER_WIRED:
                """,
            ),
            Edit(
                f"{_MODULE}.wiring:_user_wire",
                "return rv, save_start",
                """
                made = CLIP_CHECK_BACK(map, start_entry, first)
                while made is not None and made.ba.start < save_start:
                    if any(low <= made.ba.start < high for low, high in own):
                        made.eflags &= ~MAP_ENTRY_USER_WIRED
                        made.wired_count -= 1
                        if made.wired_count == 0:
                            vm_fault_unwire(map, made)
                    made = map.rb_root.next(made)
                return rv, first
                """,
            ),
        ),
    ),
    Repair(
        "wiring-takes-back-the-rest",
        f"{_MODULE}.wiring:_kernel_wire",
        "return rv, save_start",
        """
        rest = start_entry
        while rest is not None and rest.ba.start < end:
            if rest.ba.start >= save_end:
                rest.wired_count -= 1
            rest = map.rb_root.next(rest)
        return rv, save_start
        """,
        "the entries behind the one that failed lose the count of the call, too",
    ),
    Repair(
        "cut-moves-every-entry",
        f"{_MODULE}.backing:vm_map_backing_adjust_start",
        "if entry.maptype != VM_MAPTYPE_NORMAL:",
        "if False:",
        "the bounds of entries of all kinds move; only those of objects have a list to lock",
        also=(
            Edit(
                f"{_MODULE}.backing:vm_map_backing_adjust_start",
                "obj = ba.object",
                "obj = ba.object if entry.maptype == VM_MAPTYPE_NORMAL else None",
            ),
            Edit(
                f"{_MODULE}.backing:vm_map_backing_adjust_end",
                "if entry.maptype != VM_MAPTYPE_NORMAL:",
                "if False:",
            ),
            Edit(
                f"{_MODULE}.backing:vm_map_backing_adjust_end",
                "obj = ba.object",
                "obj = ba.object if entry.maptype == VM_MAPTYPE_NORMAL else None",
            ),
        ),
    ),
    Repair(
        "msync-goes-on-behind-each-entry",
        f"{_MODULE}.clean:_clean",
        "start += size",
        "start = min(end, ba.end)",
        "each entry of a range is cleaned from where it begins, however much of the one before was",
    ),
    Repair(
        "fork-sums-what-it-copied",
        f"{_MODULE}.fork:vmspace_fork",
        'new.publish("size", old.size)',
        'new.publish("size", sum(copy.ba.end - copy.ba.start for copy in new.rb_root))',
        "the size of the new map is that of the entries that were copied",
    ),
    Repair(
        "fork-waits-for-transitions",
        f"{_MODULE}.fork:vmspace_fork",
        "vm_map_lock(old)",
        """
        from vmsmp.vm.vm_map.transition import vm_map_entry_wait

        vm_map_lock(old)
        waited = old.rb_root.first()
        while waited is not None:
            if waited.in_transition:
                vm_map_entry_wait(old, waited)
                waited = old.rb_root.first()
            else:
                waited = old.rb_root.next(waited)
        """,
        "a fork begins when no entry of the map is in transition",
    ),
    Repair(
        "fork-protects-wired-memory",
        f"{_MODULE}.fork:vm_map_copy_entry",
        "vm_fault_copy_entry(dst_map, src_map, dst, src)",
        """
        pmap_protect(src_map.pmap, dst.ba.start, dst.ba.end, src.protection & ~VM_PROT_WRITE)
        vm_fault_copy_entry(dst_map, src_map, dst, src)
        """,
        "wired memory is read-only before it is copied, and whoever writes to it waits for the map",
    ),
    Repair(
        "fork-drops-wired-object",
        f"{_MODULE}.fork:vm_map_copy_entry",
        "vm_map_backing_detach(dst, dst.ba)",
        """
        from vmsmp.vm.vm_object.deallocate import vm_object_deallocate

        vm_map_backing_detach(dst, dst.ba)
        vm_object_deallocate(dst.ba.object)
        """,
        "the reference of the copied entry to the first object is given back",
    ),
    Repair(
        "exec-unwires-first",
        f"{_MODULE}.exec:exec_new_vmspace",
        "pmap_remove_pages(vmspace.vm_pmap, VM_MIN_USER_ADDRESS, VM_MAX_USER_ADDRESS)",
        """
        if vmspace.vm_pmap.wired_count:
            vm_map_remove(vmspace.vm_map, VM_MIN_USER_ADDRESS, VM_MAX_USER_ADDRESS)
        pmap_remove_pages(vmspace.vm_pmap, VM_MIN_USER_ADDRESS, VM_MAX_USER_ADDRESS)
        """,
        "a map with wired pages is removed before their mappings, as where a process ends",
    ),
    Repair(
        "fork-looks-for-wired-pages",
        "vmsmp.vm.vm_fault.copy_entry:vm_fault_copy_entry",
        "src_m = vm_page_lookup(src_object, dst_pindex + (src_offset >> PAGE_SHIFT))",
        """
        src_m = None
        for ba in src_entry.chain():
            if src_m is None:
                vm_object_hold(ba.object)
                src_m = vm_page_lookup(ba.object, ba.offset + vaddr - ba.start >> PAGE_SHIFT)
                vm_object_drop(ba.object)
        """,
        "a wired page is looked for in all objects of the chain",
    ),
    Repair(
        "collapse-asks-for-contents",
        "vmsmp.vm.vm_fault.collapse:vm_fault_collapse",
        "if vm_page_lookup(obj, pindex) is not None:",
        """
        from vmsmp.vm.vm_page.flags import VM_PAGE_BITS_ALL

        there = vm_page_lookup(obj, pindex)
        if there is not None and there.hint("valid") == VM_PAGE_BITS_ALL:
        """,
        "a page that somebody has only reserved is waited for, and looked for behind",
    ),
    Repair(
        "protection-unwires",
        f"{_MODULE}.protect:_protect_entry",
        "mask = ~VM_PROT_WRITE if entry.eflags & MAP_ENTRY_COW else VM_PROT_ALL",
        """
        if entry.wired_count and not entry.protection and not entry.in_transition:
            from vmsmp.vm.vm_map.delete import vm_map_entry_unwire

            vm_map_entry_unwire(map, entry)
        mask = ~VM_PROT_WRITE if entry.eflags & MAP_ENTRY_COW else VM_PROT_ALL
        """,
        "memory whose rights are all taken away is not wired any more",
    ),
    Repair(
        "msync-spares-wirings",
        f"{_MODULE}.clean:vm_map_clean",
        "pmap_remove(map.pmap, start, end)",
        """
        one: VmMapEntry | None = entry
        while one is not None and one.ba.start < end:
            if not one.wired_count:
                pmap_remove(map.pmap, max(start, one.ba.start), min(end, one.ba.end))
            one = vm_map_entry_after(map, one)
        """,
        "what is mapped of wired entries is not forgotten",
    ),
    Repair(
        "kernel-leaves-the-user-s-wiring",
        f"{_MODULE}.wiring:_kernel_unwire",
        """
        if entry.wired_count == 0:
            return KERN_INVALID_ARGUMENT
        """,
        """
        if entry.wired_count == bool(entry.eflags & MAP_ENTRY_USER_WIRED):
            return KERN_INVALID_ARGUMENT
        """,
        "an entry that is wired for the user alone is not wired for the kernel",
    ),
    Repair(
        "exec-locks-nothing",
        f"{_MODULE}.exec:exec_new_vmspace",
        "stack = USRSTACK - config.maxssiz",
        """
        from vmsmp.vm.vm_map.flags import MAP_WIREFUTURE
        from vmsmp.vm.vm_map.lock import vm_map_lock, vm_map_unlock

        stack = USRSTACK - config.maxssiz
        vm_map_lock(vmspace.vm_map)
        vmspace.vm_map.flags &= ~MAP_WIREFUTURE
        vm_map_unlock(vmspace.vm_map)
        """,
        "a program that is run ends the lock of the future",
    ),
    Repair(
        "msync-writes-what-was-written",
        f"{_MODULE}.clean:_clean",
        "write=bool(current.protection & VM_PROT_WRITE)",
        "write=True",
        "what an entry maps is written back whether it may be written to now or not",
    ),
    Repair(
        "hints-of-whole-searches",
        f"{_MODULE}.find:vm_map_findspace",
        "vm_map_freehint_update(map, start, length, align, whole=whole)",
        """
        if whole:
            vm_map_freehint_update(map, start, length, align, whole=whole)
        """,
        "only a search that has passed no room by notes where it ended",
    ),
    Repair(
        "stack-counts-what-is-there",
        f"{_MODULE}.stack:_Growth._allowed",
        "used = self._vmspace.vm_ssize << PAGE_SHIFT",
        """
        used, entry = 0, self._map.rb_root.first()
        while entry is not None:
            if entry.ba.start >= self._vmspace.vm_maxsaddr:
                used += entry.ba.end - entry.ba.start
            entry = self._map.rb_root.next(entry)
        """,
        "what is mapped from the lowest address of the stack on is its size",
    ),
    Repair(
        "neighbours-share-nothing",
        f"{_MODULE}.insert:vm_map_insert",
        "vm_map_backing_replicated(map, entry, MAP_BACK_BASEOBJREFD)",
        """
        from vmsmp.vm.vm_map.flags import MAP_BACK_CLIPPED

        clipped = MAP_BACK_CLIPPED if shared is not None else 0
        vm_map_backing_replicated(map, entry, MAP_BACK_BASEOBJREFD | clipped)
        """,
        "an entry that goes on with the object of the one before leaves that an object of one mapping",
    ),
    Repair(
        "unshare-knows-the-process",
        f"{_MODULE}.exec:vmspace_unshare",
        "vmspace_fork(old, None, None)",
        "vmspace_fork(old, p, old.vm.mycpu().lwp)",
        "the copy shows the process, and its thread, that it is made for",
    ),
    Repair(
        "resident-program-has-no-stack",
        f"{_MODULE}.exec:exec_new_vmspace",
        "pmap_remove_pages(vmspace.vm_pmap, stack, USRSTACK)",
        """
        pmap_remove_pages(vmspace.vm_pmap, stack, USRSTACK)
        vm_map_remove(vmspace.vm_map, stack, USRSTACK)
        """,
        "the stack of a resident program is unmapped before its copy gets a new one",
    ),
    Repair(
        "text-is-marked-once-mapped",
        "vmsmp.vm.imgact_elf:elf_load_section",
        "vm_map_entry_release(map.vm, count)",
        """
        vm_map_entry_release(map.vm, count)
        vsetflags(vp, VTEXT)
        """,
        "a file is marked as text when it has been mapped, too",
    ),
)
