"""Repairs of the system calls on memory (sys/vm/vm_mmap.c, sys/vm/vm_unix.c)."""

from __future__ import annotations

from vmsmp.patches.patch import Edit, Repair

_MODULE = "vmsmp.vm.vm_mmap"
_UNIX = "vmsmp.vm.vm_unix"

REPAIRS = (
    Repair(
        "mincore-counts-first",
        f"{_MODULE}:_Mincore._tell",
        "self.subyte(self.lastvecindex, 0)",
        "self.subyte(self.lastvecindex + 1, 0)",
        "what is passed over is zeroed in the byte behind the last one that was stored",
    ),
    Repair(
        "mincore-knows-where-it-was",
        f"{_MODULE}:_Mincore.attempt",
        "self.lastvecindex = -1",
        "self.lastvecindex = (self.addr - self.first_addr >> PAGE_SHIFT) - 1",
        "a question that begins anew has told of what is before its place",
    ),
    Repair(
        "mincore-looks-behind",
        f"{_MODULE}:_Mincore._page",
        "m = vm_page_lookup(obj, ba.offset + self.addr - ba.start >> PAGE_SHIFT)",
        """
        m = vm_page_lookup(obj, ba.offset + self.addr - ba.start >> PAGE_SHIFT)
        for below in current.chain()[1:]:
            if m is None:
                vm_object_hold(below.object)
                m = vm_page_lookup(below.object, below.offset + self.addr - below.start >> PAGE_SHIFT)
                vm_object_drop(below.object)
        """,
        "a page that the first object does not have is looked for in those behind it",
    ),
    Repair(
        "sbrk-notes-first",
        f"{_UNIX}:_sbrk",
        "if not _map(vmspace, nbase, round_page(incr)):",
        """
        before = vmspace.vm_dsize
        noted = vmspace.vm_dsize = nbase + incr - round_page(vmspace.vm_daddr)
        if not _map(vmspace, nbase, round_page(incr)):
            if vmspace.vm_dsize == noted:
                vmspace.vm_dsize = before
        """,
        "the new end of the heap is noted before anything can wait, and taken back if there is no room",
    ),
    Repair(
        "sbrk-wires-what-it-maps",
        f"{_UNIX}:_sbrk",
        "vm_map_kernel_wiring(map, base, nbase + round_page(incr), 0)",
        "vm_map_kernel_wiring(map, nbase, nbase + round_page(incr), 0)",
        "the pages that were mapped are wired, and not a part of the one before",
    ),
    Repair(
        "mmap-replaces-at-once",
        f"{_MODULE}:_find",
        "rv, addr = vm_map_find(map, addr, size, align, fitit, what)",
        """
        if flags & MAP_FIXED and not flags & MAP_TRYFIXED:
            from vmsmp.vm.vm_map.delete import vm_map_delete
            from vmsmp.vm.vm_map.flags import MAP_RESERVE_COUNT
            from vmsmp.vm.vm_map.insert import vm_map_insert
            from vmsmp.vm.vm_map.supply import vm_map_entry_release, vm_map_entry_reserve

            reserved = vm_map_entry_reserve(map.vm, 2 * MAP_RESERVE_COUNT)
            vm_map_lock(map)
            vm_map_delete(map, addr, addr + size, reserved)
            if obj is not None:
                vm_object_hold(obj)
            rv = vm_map_insert(map, reserved, addr, addr + size, what)
            vm_object_drop(obj)
            vm_map_unlock(map)
            vm_map_entry_release(map.vm, reserved)
        else:
            rv, addr = vm_map_find(map, addr, size, align, fitit, what)
        """,
        "what is replaced is unmapped in the section in which the new mapping is made",
        also=(
            Edit(
                f"{_MODULE}:_mmap",
                """
                elif not flags & MAP_TRYFIXED:
                    vm_map_remove(map, addr, addr + size)
                """,
                "pass",
            ),
        ),
    ),
    Repair(
        "mmap-shares-at-once",
        f"{_MODULE}:_find",
        """
        if flags & MAP_NOCORE:
            cow |= COWF_DISABLE_COREDUMP
        """,
        """
        if flags & MAP_NOCORE:
            cow |= COWF_DISABLE_COREDUMP
        if flags & (MAP_SHARED | MAP_INHERIT):
            from vmsmp.vm.vm_map.flags import COWF_SHARED

            cow |= COWF_SHARED
        """,
        "an entry that a child is to share is inserted as one",
        also=(
            Edit(
                "vmsmp.vm.vm_map.insert:_fill",
                "entry.inheritance = VM_INHERIT_DEFAULT",
                """
                from vmsmp.vm.vm_map.flags import COWF_SHARED, VM_INHERIT_SHARE

                entry.inheritance = VM_INHERIT_SHARE if what.cow & COWF_SHARED else VM_INHERIT_DEFAULT
                """,
            ),
            Edit(
                "vmsmp.vm.vm_map.insert:_alike",
                "prev.inheritance == VM_INHERIT_DEFAULT",
                "prev.inheritance == VM_INHERIT_DEFAULT and not what.cow & 0x800",
            ),
        ),
    ),
    Repair(
        "mmap-looks-at-the-limit-again",
        f"{_MODULE}:_mmap",
        "return _ERRNO.get(rv, EINVAL), addr",
        """
        if rv == KERN_SUCCESS and map is getattr(gd.lwp.lwp_vmspace, "vm_map", None):
            if map.hint("size") > gd.proc.hint("rlim_vmem"):
                vm_map_remove(map, addr, addr + size)
                return ENOMEM, addr
        return _ERRNO.get(rv, EINVAL), addr
        """,
        "what is too much for the limit once it is mapped is unmapped",
    ),
    Repair(
        "break-is-noted-first",
        f"{_UNIX}:_obreak",
        "vmspace.vm_dsize += diff",
        "pass",
        "the new end of the heap is noted before anything can wait, and taken back if there is no room",
        also=(
            Edit(
                f"{_UNIX}:_obreak",
                'if map.hint("size") + diff > proc.hint("rlim_vmem") or not _map(vmspace, old, diff):',
                """
                vmspace.vm_dsize += diff
                if map.hint("size") + diff > proc.hint("rlim_vmem") or not _map(vmspace, old, diff):
                    vmspace.vm_dsize -= diff
                """,
            ),
        ),
    ),
    Repair(
        "break-is-wired-for-the-user",
        f"{_UNIX}:_obreak",
        "vm_map_kernel_wiring(map, old, new, 0)",
        """
        from vmsmp.vm.vm_map.wiring import vm_map_user_wiring

        vm_map_user_wiring(map, old, new, False)
        """,
        "what the heap grows by is wired for the user, who can unlock it",
    ),
    Repair(
        "mincore-rounds-the-end",
        f"{_MODULE}:sys_mincore",
        "first_addr = addr = trunc_page(addr)",
        """
        size += addr & PAGE_MASK
        first_addr = addr = trunc_page(addr)
        """,
        "the end of the range is rounded up, wherever it begins",
    ),
    Repair(
        "mmap-takes-off-what-it-replaces",
        f"{_MODULE}:_mmap",
        'used: int = map.hint("size")',
        """
        used: int = map.hint("size")
        if flags & MAP_FIXED and not flags & MAP_TRYFIXED:
            vm_map_lock_read(map)
            entry = map.rb_root.first()
            while entry is not None:
                used -= max(0, min(entry.ba.end, addr + size) - max(entry.ba.start, addr))
                entry = map.rb_root.next(entry)
            vm_map_unlock(map)
        """,
        "what is to be unmapped is not counted",
    ),
    Repair(
        "minherit-looks-at-all",
        f"{_MODULE}:sys_minherit",
        "inherit & 0xFF",
        "inherit",
        "what is asked for is looked at as it is",
    ),
    Repair(
        "munlock-asks-whether-it-fits",
        f"{_MODULE}:sys_munlock",
        "if start + length > ADDRESS_MASK:",
        "if length < size or start + length > ADDRESS_MASK:",
        "a size that does not fit once it is rounded up is refused",
    ),
    Repair(
        "mincore-asks-whether-it-fits",
        f"{_MODULE}:sys_mincore",
        "if end < addr or end > VM_MAX_USER_ADDRESS:",
        "if end < addr or end > VM_MAX_USER_ADDRESS or size > VM_MAX_USER_ADDRESS:",
        "a size that does not fit once it is rounded up is refused",
    ),
    Repair(
        "refusal-comes-first",
        f"{_MODULE}:_mmap",
        "align = PAGE_SIZE",
        """
        if not flags & MAP_ANON and (handle is None or handle.hint("v_object") is None):
            return EINVAL, addr
        align = PAGE_SIZE
        """,
        "whether there is something to be mapped is asked before anything is unmapped",
    ),
    Repair(
        "mlock-counts-now",
        f"{_MODULE}:sys_mlock",
        "wired: int = map.vm.meter.vmstats.v_wire_count.load()",
        """
        from vmsmp.vm.vm_meter.counts import vmstats_rollup

        vmstats_rollup(map.vm)
        wired: int = map.vm.meter.vmstats.v_wire_count.load()
        """,
        "the counts of all CPUs are added up before they are compared",
    ),
    Repair(
        "offsets-are-no-less-than-zero",
        f"{_MODULE}:_mmap",
        "if foff & PAGE_MASK or",
        "if foff < 0 or foff & PAGE_MASK or",
        "an offset before the file is refused",
    ),
    Repair(
        "mlock-counts-what-it-wires",
        f"{_MODULE}:sys_mlock",
        "limit = map.vm.pageout.vm_page_max_wired",
        """
        limit = map.vm.pageout.vm_page_max_wired
        vm_map_lock_read(map)
        entry = map.rb_root.first()
        while entry is not None:
            if entry.wired_count:
                wired -= max(0, min(entry.ba.end, pages[1]) - max(entry.ba.start, pages[0])) >> PAGE_SHIFT
            entry = map.rb_root.next(entry)
        vm_map_unlock(map)
        """,
        "what is wired already is not counted once more",
    ),
    Repair(
        "mmap-fails-with-its-wiring",
        f"{_MODULE}:_find",
        "vm_map_user_wiring(map, addr, addr + size, False)",
        """
        rv = vm_map_user_wiring(map, addr, addr + size, False)
        if rv != KERN_SUCCESS:
            vm_map_remove(map, addr, addr + size)
            return rv, addr
        """,
        "what cannot be wired is not mapped while all future memory is to be locked",
    ),
    Repair(
        "mapping-asks-for-the-file",
        "vmsmp.vm.vm_mmap:kern_mmap",
        """map.vm.panic("kern_mmap: the file's object is another one's")""",
        "return EINVAL, addr",
        "a file that has lost its object meanwhile is refused as one that has none",
    ),
)
