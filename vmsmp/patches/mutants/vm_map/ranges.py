"""Mutants of the ranges of a map: mapping, cutting, marking and removing them.

Some sites have none.  INS-03, INS-04 and TRN-16 are guards of vm_object.c and of an object's list.  MAP-08
and MAP-09 are guards of mincore and of older faults, INS-21 of mmap, TRN-20 of faults in users' page tables.
"""

from __future__ import annotations

from vmsmp.patches.patch import Edit, Mutant

_MODULE = "vmsmp.vm.vm_map"

MUTANTS = (
    Mutant(
        "MAP-10a",
        f"{_MODULE}:vm_map_lock_upgrade",
        "if not error:",
        "if False:",
        "INV-M9",
        "a map changes under an upgraded lock and keeps its timestamp",
        "versions_of_a_map",
    ),
    Mutant(
        "MAP-10b",
        f"{_MODULE}:vm_map_lock",
        "vm_map_timestamp_bump(map)",
        "pass",
        "INV-M9",
        "a map changes under its lock and keeps its timestamp",
        "versions_of_a_map",
    ),
    Mutant(
        "TRN-01a",
        f"{_MODULE}:vm_map_clip_range",
        "vm_map_entry_wait(map, entry)",
        """
        vm_map_entry_wait(map, entry)
        break
        """,
        "INV-M14",
        "the first entry of a range has gone, or is wired, while its transition was waited for",
        "wirings_of_one_range",
    ),
    Mutant(
        "TRN-01b",
        f"{_MODULE}:vm_map_delete",
        """
        hole_start, entry = _first(map, start, reserved)
        continue
        """,
        "continue",
        "INV-M14",
        "an entry has gone while its transition was waited for, and is removed nevertheless",
        "wirings_of_one_range",
    ),
    Mutant(
        "TRN-02a",
        f"{_MODULE}:vm_map_transition_wait",
        "machine.tsleep_interlock(map.lock)",
        "pass",
        "INV-SL3",
        "the transition ends, and wakes nobody, between the unlock of the map and the sleep",
        "wirings_of_one_range",
        also=(Edit(f"{_MODULE}:vm_map_transition_wait", "PINTERLOCKED", "0"),),
    ),
    Mutant(
        "TRN-02b",
        f"{_MODULE}.transition:vm_map_entry_wait",
        "entry.eflags |= MAP_ENTRY_NEEDS_WAKEUP",
        "pass",
        "INV-SL3",
        "nobody is told that the end of a transition is waited for",
        "wirings_of_one_range",
    ),
    Mutant(
        "TRN-02c",
        f"{_MODULE}:vm_map_unclip_range",
        "map.vm.machine.wakeup(map.lock)",
        "pass",
        "INV-SL3",
        "a transition ends, and who waits for that is not woken",
        "wirings_of_one_range",
    ),
    Mutant(
        "TRN-04",
        f"{_MODULE}:vm_map_clip_range",
        "start_entry = CLIP_CHECK_BACK(map, start_entry, start)",
        "pass",
        "INV-M2",
        "the first entry was cut meanwhile, and the pieces before the cut stay in transition",
        "wirings_against_changes",
        also=(Edit(f"{_MODULE}:vm_map_clip_range", "entry = CLIP_CHECK_FWD(map, entry, save_end)", "pass"),),
    ),
    Mutant(
        "TRN-07a",
        f"{_MODULE}:vm_map_clip_range",
        "entry.eflags |= MAP_ENTRY_IN_TRANSITION",
        "pass",
        "INV-M2",
        "an entry whose pages are wired with the map unlocked is removed",
        "wirings_of_one_range",
    ),
    Mutant(
        "TRN-07b",
        f"{_MODULE}:vm_map_clip_range",
        "following.eflags |= MAP_ENTRY_IN_TRANSITION",
        "pass",
        "INV-M2",
        "an entry behind the first, whose pages are wired with the map unlocked, is removed",
        "wirings_against_changes",
    ),
    Mutant(
        "TRN-07c",
        f"{_MODULE}:vm_map_delete",
        "if entry.in_transition:",
        "if False:",
        "INV-M14",
        "an entry in transition is removed",
        "wirings_of_one_range",
    ),
    Mutant(
        "TRN-07d",
        f"{_MODULE}:vm_map_clip_range",
        "if following.in_transition:",
        "if False:",
        "INV-M2",
        "an entry is in transition for two CPUs",
        "wirings_against_changes",
    ),
    Mutant(
        "TRN-11a",
        f"{_MODULE}:vm_map_simplify_entry",
        "if entry.in_transition:",
        "if False:",
        "INV-M2",
        "an entry in transition is joined with its neighbour, which is in transition for the same CPU",
        "wirings_against_changes",
        also=(
            Edit(
                f"{_MODULE}:vm_map_entry_unlink",
                "if entry.in_transition:",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "TRN-11b",
        f"{_MODULE}.clip:_continues",
        "and before.eflags == after.eflags",
        "and (before.eflags ^ after.eflags) & ~0x300 == 0",
        "INV-M2",
        "an entry in transition is joined with one that is not",
        "wirings_against_changes",
        also=(Edit(f"{_MODULE}.clip:_continues", "and before.wired_count == after.wired_count", "and True"),),
    ),
    Mutant(
        "TRN-12a",
        f"{_MODULE}.clip:_vm_map_clip_start",
        """
        vm_map_backing_replicated(map, new, MAP_BACK_CLIPPED)
        vm_map_backing_adjust_start(entry, address)
        """,
        """
        vm_map_backing_adjust_start(entry, address)
        vm_map_backing_replicated(map, new, MAP_BACK_CLIPPED)
        """,
        "INV-B5",
        "an entry is cut before the backing of its other part is on the object's list",
        "map_storm_with_pages",
    ),
    Mutant(
        "TRN-12b",
        f"{_MODULE}.clip:_vm_map_clip_end",
        """
        vm_map_backing_replicated(map, new, MAP_BACK_CLIPPED)
        vm_map_backing_adjust_end(entry, address)
        """,
        """
        vm_map_backing_adjust_end(entry, address)
        vm_map_backing_replicated(map, new, MAP_BACK_CLIPPED)
        """,
        "INV-B5",
        "an entry is cut before the backing of its other part is on the object's list",
        "map_storm_with_pages",
    ),
    Mutant(
        "TRN-12c",
        f"{_MODULE}:vm_map_backing_replicated",
        "vm_object_reference_quick(obj)",
        "pass",
        "INV-O4",
        "a part of an entry that was cut refers to the object and is not counted",
        "map_storm",
    ),
    Mutant(
        "TRN-13a",
        f"{_MODULE}:vm_map_simplify_entry",
        """
        vm_map_backing_adjust_start(entry, prev.ba.start)
        if ba.object is None:
            ba.offset = 0
        vm_map_entry_dispose(prev, reserved)
        """,
        """
        start = prev.ba.start
        vm_map_entry_dispose(prev, reserved)
        vm_map_backing_adjust_start(entry, start)
        if ba.object is None:
            ba.offset = 0
        """,
        "INV-B5",
        "an entry is disposed of before the one that survives covers its range",
        "map_storm_with_pages",
    ),
    Mutant(
        "TRN-13b",
        f"{_MODULE}:vm_map_simplify_entry",
        """
        vm_map_backing_adjust_end(entry, following.ba.end)
        vm_map_entry_dispose(following, reserved)
        """,
        """
        end = following.ba.end
        vm_map_entry_dispose(following, reserved)
        vm_map_backing_adjust_end(entry, end)
        """,
        "INV-B5",
        "an entry is disposed of before the one that survives covers its range",
        "map_storm_with_pages",
    ),
    Mutant(
        "TRN-14",
        f"{_MODULE}:vm_map_simplify_entry",
        """
        vm_map_entry_unlink(map, prev)
        vm_map_backing_adjust_start(entry, prev.ba.start)
        """,
        """
        vm_map_backing_adjust_start(entry, prev.ba.start)
        vm_map_entry_unlink(map, prev)
        """,
        "INV-M1",
        "an entry gets the start of the one before while both are in the tree",
        "map_storm",
    ),
    Mutant(
        "TRN-15a",
        f"{_MODULE}:vm_map_backing_adjust_start",
        "ba.offset += start - ba.start",
        """
        ba.offset += start - ba.start
        if obj is not None:
            obj.backing_lk.release()
            obj.backing_lk.acquire()
        """,
        "INV-B5",
        "a scan sees the new offset of a backing with its old start",
        "map_storm_with_pages",
    ),
    Mutant(
        "TRN-15b",
        f"{_MODULE}:vm_map_backing_adjust_start",
        "obj.backing_lk.acquire()",
        "pass",
        "INV-B5",
        "a backing changes while its object's list is scanned",
        "map_storm_with_pages",
        also=(Edit(f"{_MODULE}:vm_map_backing_adjust_start", "obj.backing_lk.release()", "pass"),),
    ),
    Mutant(
        "TRN-15c",
        f"{_MODULE}:vm_map_backing_adjust_end",
        "obj.backing_lk.acquire()",
        "pass",
        "INV-B5",
        "a backing changes while its object's list is scanned",
        "map_storm_with_pages",
        also=(Edit(f"{_MODULE}:vm_map_backing_adjust_end", "obj.backing_lk.release()", "pass"),),
    ),
    Mutant(
        "TRN-17a",
        f"{_MODULE}:vm_map_find",
        """
        reserved = vm_map_entry_reserve(vm, MAP_RESERVE_COUNT)
        vm_map_lock(map)
        """,
        """
        vm_map_lock(map)
        reserved = vm_map_entry_reserve(vm, MAP_RESERVE_COUNT)
        """,
        "INV-DL",
        "entries run out under the lock of the kernel's map, which is where more of them come from",
        "entries_of_the_kernel_map",
    ),
    Mutant(
        "TRN-17b",
        f"{_MODULE}.supply:_give",
        "gd.gd_vme_avail += reserved.count",
        "pass",
        "INV-M15",
        "what is left of a reservation is not given back",
        "entries_run_out",
    ),
    Mutant(
        "TRN-17c",
        f"{_MODULE}.supply:return_entry",
        "reserved.count += 1",
        "pass",
        "INV-M15",
        "an entry that was freed belongs to nobody",
        "entries_run_out",
    ),
    Mutant(
        "INS-01a",
        f"{_MODULE}:vm_map_find",
        "address = found",
        """
        address = found
        vm_map_unlock(map)
        vm_map_lock(map)
        """,
        "INV-M12",
        "another CPU takes the room between the search and the insertion",
        "find_against_find",
    ),
    Mutant(
        "INS-01b",
        f"{_MODULE}:vm_map_insert",
        "if following is not None and following.ba.start < end:",
        "if False:",
        "INV-M1",
        "a range is mapped over the one behind it",
        "map_storm",
    ),
    Mutant(
        "INS-01c",
        f"{_MODULE}:vm_map_insert",
        "if hit:",
        "if False:",
        "INV-M1",
        "a range is mapped over the one that it begins in",
        "map_storm",
    ),
    Mutant(
        "INS-01d",
        f"{_MODULE}:vm_map_delete",
        "vm_map_freehint_hole(map, hole_start, hole_end - hole_start & ADDRESS_MASK)",
        "pass",
        "INV-M10",
        "a hole is not noted, and searches begin behind it for ever",
        "find_against_find",
    ),
    Mutant(
        "INS-06",
        f"{_MODULE}:vm_map_delete",
        """
        _remove_pages(map, entry)
        vm_map_entry_delete(map, entry, reserved)
        """,
        """
        old_start, old_end = entry.ba.start, entry.ba.end
        vm_map_entry_delete(map, entry, reserved)
        pmap_remove(map.pmap, old_start, old_end)
        """,
        "INV-B5",
        "an entry goes while its pages are mapped, where a scan does not find them any more",
        "remove_against_faults",
    ),
    Mutant(
        "INS-07",
        f"{_MODULE}.delete:_remove_pages",
        """
        pmap_remove(pmap, start, end)
        _free_pages(obj, first, last)
        """,
        """
        _free_pages(obj, first, last)
        pmap_remove(pmap, start, end)
        """,
        "INV-P2",
        "a page is freed while the process maps it, and may be another's before the mapping goes",
        "remove_against_faults",
        also=(
            Edit(
                "vmsmp.vm.vm_object.remove:_Removal._remove",
                """
                vm_page_protect(m, VM_PROT_NONE)
                if self.clean_only""",
                """
                if self.clean_only""",
            ),
        ),
    ),
    Mutant(
        "INS-12",
        f"{_MODULE}.protect:_file_is_written",
        "LK_EXCLUSIVE | LK_NOWAIT",
        "LK_EXCLUSIVE",
        "INV-DL",
        "a CPU waits for a vnode with the map locked, and another faults with that vnode locked",
        "files_written_and_protected",
    ),
    Mutant(
        "INS-13a",
        f"{_MODULE}:vm_map_protect",
        "vm_map_lock(map)",
        """
        pmap_protect(map.pmap, start, end, new_prot)
        vm_map_lock(map)
        """,
        "INV-M7",
        "a fault maps a page writeable between the removal of the rights and the change of the entry",
        "protect_against_stores",
        also=(Edit(f"{_MODULE}.protect:_protect_entry", "if entry.protection != old:", "if False:"),),
    ),
    Mutant(
        "INS-13b",
        f"{_MODULE}.protect:_protect_entry",
        "if entry.protection != old:",
        "if False:",
        "INV-M7",
        "an entry loses rights that its pages keep",
        "protect_against_stores",
    ),
    # -- each page as its owner asked for
    Mutant(
        "INS-31a",
        f"{_MODULE}:vm_map_protect",
        "vm_map_clip_end(map, current, end, reserved)",
        "pass",
        "INV-M12",
        "an entry that reaches beyond the range gets other rights as a whole",
        "neighbours_in_a_map",
    ),
    Mutant(
        "INS-31b",
        f"{_MODULE}:vm_map_delete",
        "vm_map_clip_end(map, entry, end, reserved)",
        "pass",
        "INV-M12",
        "an entry that reaches beyond the range is removed as a whole",
        "neighbours_in_a_map",
    ),
    Mutant(
        "INS-31c",
        f"{_MODULE}.protect:_may_protect",
        "new_prot & current.max_protection.load() != new_prot",
        "False",
        "INV-M12",
        "an entry gets more rights than it may have at most",
        "neighbours_in_a_map",
    ),
    Mutant(
        "INS-31d",
        f"{_MODULE}.backing:vm_map_backing_replicated",
        "not flags & MAP_BACK_CLIPPED and obj.ref_count",
        "obj.ref_count",
        "INV-D3",
        "memory that was cut once seems to be shared, and stays when it is unmapped",
        "memory_of_neighbours",
    ),
    Mutant(
        "INS-31e",
        f"{_MODULE}.protect:_may_protect",
        "and not current.eflags & MAP_ENTRY_NEEDS_COPY",
        "and True",
        "INV-M12",
        "a file is said to be written by who writes to a copy of it",
        "files_written_and_protected",
    ),
)
