"""Repairs of what is known of a map's entries (sys/vm/vm_map.c): what they hold, and where there is room."""

from __future__ import annotations

from vmsmp.patches.patch import Edit, Repair

_MODULE = "vmsmp.vm.vm_map"

REPAIRS = (
    Repair(
        "count-counts-an-object-once",
        f"{_MODULE}.counters:vmspace_anonymous_count",
        'count += obj.hint("resident_page_count")',
        """
        if obj not in seen:
            seen.append(obj)
            count += obj.hint("resident_page_count")
        """,
        "the pages of an object are added at the first of its entries",
        also=(
            Edit(
                f"{_MODULE}.counters:vmspace_anonymous_count",
                "count = 0",
                """
                count = 0
                seen: list[VmObject] = []
                """,
            ),
        ),
    ),
    Repair(
        "count-looks-behind",
        f"{_MODULE}.counters:vmspace_anonymous_count",
        'if obj is not None and obj.hint("type") in ANONYMOUS:',
        """
        behind = entry.ba.hint("backing_ba") if obj is not None else None
        while behind is not None:
            if behind.hint("object").hint("type") in ANONYMOUS:
                count += behind.hint("object").hint("resident_page_count")
            behind = behind.hint("backing_ba")
        if obj is not None and obj.hint("type") in ANONYMOUS:
        """,
        "the pages of the objects behind the first one are added, too",
    ),
    Repair(
        "search-begins-anew",
        f"{_MODULE}.find:vm_map_find",
        "if found is None:",
        """
        if found is None and address > map.min_addr:
            found = vm_map_findspace(
                map, map.min_addr, length, align, MAP_32BIT if what.cow & COWF_32BIT else 0
            )
        if found is None:
        """,
        "a search that finds no room behind an address begins once more with the map",
    ),
    Repair(
        "joined-parts-have-the-lower-one-s-room",
        f"{_MODULE}.clip:vm_map_simplify_entry",
        "vm_map_backing_adjust_start(entry, prev.ba.start)",
        """
        vm_map_backing_adjust_start(entry, prev.ba.start)
        entry.aux = prev.aux
        """,
        "an entry that begins lower has the room below what it was joined with",
    ),
    Repair(
        "fork-copies-what-others-share",
        f"{_MODULE}.fork:vm_map_copy_entry",
        "if src.wired_count:",
        """
        source = src.ba.object
        alone = bool(src.eflags & MAP_ENTRY_NEEDS_COPY or src.wired_count or src.ba.backing_ba)
        mine = (src_map.pmap, dst_map.pmap)
        mappings = () if alone or source is None else source.peek("backing_list")
        if any(ba.peek("pmap") not in mine for ba in mappings):
            from vmsmp.vm.vm_fault.page import vm_fault_object_page
            from vmsmp.vm.vm_map.flags import VM_PROT_READ
            from vmsmp.vm.vm_object.deallocate import vm_object_deallocate
            from vmsmp.vm.vm_object.hold import vm_object_drop, vm_object_hold
            from vmsmp.vm.vm_page.alloc import vm_page_grab
            from vmsmp.vm.vm_page.flags import PAGE_SIZE, VM_ALLOC_NORMAL, VM_ALLOC_RETRY
            from vmsmp.vm.vm_page.activity import vm_page_activate
            from vmsmp.vm.vm_page.busy import vm_page_wakeup
            from vmsmp.vm.vm_page.holding import vm_page_unhold
            from vmsmp.vm.vm_page.validity import vm_page_copy

            head = dst.ba
            vm_map_backing_detach(dst, head)
            head.object = None
            vm_object_deallocate(source)
            vm_map_entry_allocate_object(dst)
            vm_object_hold(source)
            for offset in range(0, src.ba.end - src.ba.start, PAGE_SIZE):
                found, _ = vm_fault_object_page(source, src.ba.offset + offset, VM_PROT_READ, 0, False)
                if found.page is not None:
                    copy = vm_page_grab(dst.ba.object, offset // PAGE_SIZE, VM_ALLOC_NORMAL | VM_ALLOC_RETRY)
                    vm_page_copy(found.page, copy)
                    vm_page_activate(copy)
                    vm_page_wakeup(copy)
                    vm_page_unhold(found.page)
            vm_object_drop(source)
            return
        if src.wired_count:
        """,
        "what others have mapped and may write to is copied at once",
    ),
    Repair(
        "munlock-passes-over",
        f"{_MODULE}.wiring:_user_unwire",
        """
        if not entry.eflags & MAP_ENTRY_USER_WIRED:
            return KERN_INVALID_ARGUMENT
        if entry.wired_count == 0:
        """,
        "if entry.eflags & MAP_ENTRY_USER_WIRED and entry.wired_count == 0:",
        "what is not locked is passed over",
        also=(
            Edit(
                f"{_MODULE}.wiring:_user_unwire",
                """
                entry.eflags &= ~MAP_ENTRY_USER_WIRED
                entry.wired_count -= 1
                if entry.wired_count == 0:
                    vm_fault_unwire(map, entry)
                """,
                """
                if entry.eflags & MAP_ENTRY_USER_WIRED:
                    entry.eflags &= ~MAP_ENTRY_USER_WIRED
                    entry.wired_count -= 1
                    if entry.wired_count == 0:
                        vm_fault_unwire(map, entry)
                """,
            ),
        ),
    ),
    Repair(
        "count-has-no-more-than-is-mapped",
        f"{_MODULE}.counters:vmspace_swap_count",
        'count += blocks * SWAP_META_PAGES * pages // obj.hint("size") + 1',
        'count += min(blocks * SWAP_META_PAGES * pages // obj.hint("size"), pages) + 1',
        "an entry has no more pages of swap than it has pages",
    ),
    Repair(
        "kernel-stacks-stay-apart",
        f"{_MODULE}.clip:vm_map_simplify_entry",
        "if entry.maptype in (VM_MAPTYPE_SUBMAP, VM_MAPTYPE_UKSMAP):",
        """
        from vmsmp.vm.vm_map.flags import MAP_ENTRY_KSTACK

        if entry.maptype in (VM_MAPTYPE_SUBMAP, VM_MAPTYPE_UKSMAP) or entry.eflags & MAP_ENTRY_KSTACK:
        """,
        "the entry of a kernel stack is joined with no other",
    ),
    Repair(
        "collapse-leaves-what-is-empty",
        "vmsmp.vm.vm_fault.collapse:vm_fault_collapse",
        "all_shadowed = False",
        """
        from vmsmp.vm.vm_object.object import OBJT_DEFAULT

        behind = False
        for ba in entry.chain():
            if ba is not entry.ba and not behind:
                vm_object_hold(ba.object)
                there = vm_page_lookup(ba.object, ba.offset + scan - ba.start >> PAGE_SHIFT)
                behind = there is not None or ba.object.type != OBJT_DEFAULT
                vm_object_drop(ba.object)
        if not behind:
            scan += PAGE_SIZE
            continue
        all_shadowed = False
        """,
        "a page that no object behind the first one may have is not allocated",
    ),
    Repair(
        "collapse-passes-the-end-of-a-file",
        "vmsmp.vm.vm_fault.collapse:vm_fault_collapse",
        """
        if rv != KERN_SUCCESS:
            break
        """,
        """
        if rv != KERN_SUCCESS:
            (*_, last) = entry.chain()
            if scan - last.start + last.offset >> PAGE_SHIFT < last.object.size:
                break
            short = True
            scan += PAGE_SIZE
            continue
        """,
        "where the file has ended a page is passed over, and the chain is cut but for the file",
        also=(
            Edit(
                "vmsmp.vm.vm_fault.collapse:vm_fault_collapse",
                "rv, all_shadowed = KERN_SUCCESS, True",
                "rv, all_shadowed, short = KERN_SUCCESS, True, False",
            ),
            Edit(
                "vmsmp.vm.vm_fault.collapse:vm_fault_collapse",
                "return rv",
                "return KERN_TRY_AGAIN if short and scan >= entry.ba.end else rv",
            ),
            Edit(
                f"{_MODULE}.fork:_collapse",
                "if vm_fault_collapse(old, entry) == KERN_SUCCESS:",
                """
                from vmsmp.vm.vm_map.flags import KERN_TRY_AGAIN

                rv = vm_fault_collapse(old, entry)
                between, before, last = entry.ba.backing_ba, None, entry.ba.backing_ba
                while last.backing_ba is not None:
                    before, last = last, last.backing_ba
                if rv == KERN_TRY_AGAIN and before is not None:
                    before.backing_ba = None
                    entry.ba.backing_ba = last
                    entry.ba.backing_count = 1
                    vm_map_entry_dispose_ba(entry, between)
                if rv == KERN_SUCCESS:
                """,
            ),
        ),
    ),
    Repair(
        "msync-keeps-its-vnode",
        f"{_MODULE}.clean:_clean_object",
        """
        vn_lock(obj.handle)
        vm_object_page_clean(obj, first, last, flags)
        vp: Vnode | None = obj.handle
        """,
        """
        from vmsmp.vm.vnode import vref, vrele

        vp = obj.handle
        vref(vp)
        vn_lock(vp)
        vm_object_page_clean(obj, first, last, flags)
        """,
        "the vnode is referenced while the range is written, and it is that one which is unlocked",
        also=(Edit(f"{_MODULE}.clean:_clean_object", "vn_unlock(vp)", "vn_unlock(vp)\nvrele(vp)"),),
    ),
    Repair(
        "fork-leaves-a-shared-file-shared",
        f"{_MODULE}.fork:vm_map_copy_entry",
        "src.eflags |= MAP_ENTRY_COW | MAP_ENTRY_NEEDS_COPY",
        """
        from vmsmp.vm.vm_object.object import ANONYMOUS

        if src.eflags & MAP_ENTRY_COW or src.ba.object.hint("type") in ANONYMOUS:
            src.eflags |= MAP_ENTRY_COW | MAP_ENTRY_NEEDS_COPY
        """,
        "who maps a file shared goes on to write to the file",
    ),
)
