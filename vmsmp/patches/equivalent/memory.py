"""Removals in maps, objects and pages that change nothing."""

from __future__ import annotations

from typing import Final

from vmsmp.patches.equivalent.entry import Equivalent

_OWN_ENTRIES = "what is left of a reservation is the CPU's own, whether the map is locked or not"
_NEW = "nobody else knows it yet"
_APART = "entries that could be joined may stay apart"
_PLACE = "a page that is on the queue already may move to its end"

_BACKING = "vm.vm_map.backing"
_GUESS = "which pages the hash has is anybody's guess"
_FIRST = "where a search begins is a hint"

EQUIVALENTS: Final = (
    # -- maps ------------------------------------------------------------------------------------
    *(
        Equivalent(f"vm.vm_map.{function}-swap", "vm_map_unlock(map)", _OWN_ENTRIES)
        for function in (
            *("delete.vm_map_remove", "find.vm_map_find", "protect.*", "stack.*", "submap.vm_map_submap"),
            *("madvise.vm_map_madvise", "mapentzone.mapentzone_refill", "vmspace._terminate_finally"),
            *("wiring.vm_map_user_wiring", "wiring.vm_map_kernel_wiring"),
        )
    ),
    Equivalent("vm.vm_map.fork.vmspace_fork-swap", "vm_map_unlock(old)", _OWN_ENTRIES),
    Equivalent("vm.vm_map.insert._fill-swap", "", _NEW),
    Equivalent("vm.vm_map.fork._clone-swap", "copy.eflags", _NEW),
    Equivalent("vm.vm_map.clip._vm_map_clip_end-swap", "new.ba.start = address", _NEW),
    *(
        Equivalent(
            "vm.vm_map.interlock.vm_map_interlock-swap", text, "nobody looks at it before it is listed"
        )
        for text in ("il.flags = 0", "il.ran", "il.map")
    ),
    Equivalent("vm.vm_map.protect.*-gone", "vm_map_simplify_entry", _APART),
    Equivalent("vm.vm_map.madvise._change-gone", "vm_map_simplify_entry", _APART),
    Equivalent("vm.vm_map.transition.vm_map_unclip_range-gone", "vm_map_simplify_entry", _APART),
    Equivalent("vm.vm_map.clip._vm_map_clip_start-gone", "vm_map_simplify_entry", _APART),
    Equivalent("vm.vm_map.insert.vm_map_insert-gone", "vm_map_simplify_entry", _APART),
    Equivalent(
        "vm.vm_map.delete.vm_map_delete-swap",
        "vm_map_freehint_hole",
        "the map is locked: nobody else looks for room",
    ),
    Equivalent("vm.vm_map.delete._first-term2", "hit and", "what is hit is an entry"),
    Equivalent("vm.vm_map.protect.vm_map_range_first-term2", "not hit or", "what is hit is an entry"),
    Equivalent(
        "vm.vm_map.delete.vm_map_entry_unwire-swap",
        "eflags",
        "the map is locked: nobody sees what is between",
    ),
    Equivalent(
        "vm.vm_map.protect._allows-never", "not hit", "what comes before a hole does not reach behind it"
    ),
    Equivalent(
        "vm.vm_map.protect._protect_entry-swap",
        "max_protection",
        "the map is locked: nobody sees what is between",
    ),
    Equivalent(
        "vm.vm_map.protect._file_is_written-swap", "", "with the vnode's lock, and the flag changes by itself"
    ),
    Equivalent(
        "vm.vm_map.backing.vm_map_backing_replicated-term1",
        "ba is not entry.ba or",
        "a reference is handed over for an entry without a chain only",
    ),
    Equivalent(f"{_BACKING}.vm_map_backing_*tach-always", "UKSMAP", "a submap is neither cut nor copied"),
    Equivalent(
        f"{_BACKING}.vm_map_backing_replicated-gone",
        "pause_tokens",
        "the kernel may wait there, and need not",
    ),
    Equivalent(
        f"{_BACKING}.vm_map_backing_adjust_start-never",
        "VM_MAPTYPE_NORMAL",
        "the repair of the finding there, which is on, does just that",
    ),
    Equivalent(
        f"{_BACKING}.vm_map_backing_adjust_start-[at]*",
        "entry.linked and",
        "who is cut is in the tree, where the same place may be noted twice",
    ),
    Equivalent(
        f"{_BACKING}.vm_map_entry_dispose_ba-always", "ba.object is not None", "what is behind has an object"
    ),
    Equivalent(
        f"{_BACKING}.vm_map_entry_dispose-gone",
        "ba.backing_ba = None",
        "only a finding reads it, whose repair is on",
    ),
    *(
        Equivalent(f"{_BACKING}.vm_map_entry_dispose-swap", text, "nobody has the entry any more")
        for text in ("ba.backing_ba = None", "ba.object = None")
    ),
    Equivalent(
        f"{_BACKING}.vm_map_entry_delete-swap",
        "vm_map_entry_unlink(",
        "the map is locked: nobody sees what is between",
    ),
    Equivalent(
        "vm.vm_map.backing.vm_map_entry_dispose-gone",
        "ba.object = None",
        "an entry that is used anew is filled anew",
    ),
    Equivalent(
        "vm.vm_map.backing.vm_map_entry_dispose-gone",
        "ba.offset = 0",
        "an entry that is used anew is filled anew",
    ),
    *(
        Equivalent(
            f"vm.vm_map.delete._free_pages-{how}",
            "obj.ref_count.load() == 1 or",
            "an object that ends anyway may lose its pages before, and its type was asked for already",
        )
        for how in ("never", "term[12]")
    ),
    # -- objects ---------------------------------------------------------------------------------
    *(
        Equivalent(f"{function}-*", text, "the removal of the pages has given the swap back")
        for function in ("vm.vm_map.delete._free_pages", "vm.vm_object.coalesce.vm_object_coalesce")
        for text in ("if obj.type == OBJT_SWAP", "swap_pager_freespace")
    ),
    Equivalent(
        "vm.vm_object.*-*", "self.visited", "after how many pages a scan gives way is anybody's guess"
    ),
    Equivalent(
        "vm.vm_object.*-gone", "pages.visited = 0", "after how many pages a scan gives way is anybody's guess"
    ),
    Equivalent(
        "vm.vm_object.*-swap", "pages.visited = 0", "how many pages were visited before it is no matter"
    ),
    Equivalent(
        "vm.vm_object.*.scan-gone", "pause_tokens", "after how many pages a scan gives way is anybody's guess"
    ),
    Equivalent(
        "vm.vm_object.*._visit-gone",
        "pause_tokens",
        "after how many pages a scan gives way is anybody's guess",
    ),
    *(
        Equivalent(
            f"vm.vm_object.remove._Removal._visit-{how}",
            "m.object is not self.obj",
            "the token is held: what is in the tree is the object's",
        )
        for how in ("never", "term[12]")
    ),
    Equivalent(
        "vm.vm_object.remove.vm_object_page_remove-term1",
        "obj.type != OBJT_SWAP or",
        "an object that has no swap gives none back",
    ),
    Equivalent(
        "vm.vm_object.remove.vm_object_page_remove-never",
        "if everything",
        "the swap of the whole range is all of it",
    ),
    *(
        Equivalent("vm.vm_object.allocate._vm_object_allocate-swap", f"obj.{field}", _NEW)
        for field in ("type", "size", "memattr", "flags", "pg_color", "handle")
    ),
    Equivalent(
        "vm.vm_object.deallocate.vm_object_deallocate-always",
        "if count <= 3:",
        "the way with the token drops a reference, too, however many there are",
    ),
    Equivalent(
        "vm.vm_object.deallocate.vm_object_deallocate-edge1",
        "if count <= 3:",
        "the way with the token drops a reference, too, and that without drops one that is not the last",
    ),
    Equivalent(
        "vm.vm_object.remove._Removal._visit-swap", "self._remove(m)", "only the scan looks at its own count"
    ),
    Equivalent("vm.vm_object.terminate._unlist-swap", "bucket.changing(", "with the bucket's token"),
    # -- pages -----------------------------------------------------------------------------------
    Equivalent(
        "vm.vm_page.activity.vm_page_activate-always",
        "m.queue_base() !=",
        "the test is made again with the spinlock",
    ),
    Equivalent(
        "vm.vm_page.activity.vm_page_activate-term[12]",
        "m.queue_base() !=",
        "the test is made again with the spinlock",
    ),
    Equivalent("vm.vm_page.activity.vm_page_activate-term1", "m.queue - m.pc !=", _PLACE),
    Equivalent(
        "vm.vm_page.activity.vm_page_activate-swap",
        "_raise_act_count",
        "no lock protects the credit of a page",
    ),
    Equivalent(
        "vm.vm_page.activity.vm_page_deactivate-always",
        "m.queue_base() !=",
        "the test is made again with the spinlock",
    ),
    Equivalent(
        "vm.vm_page.activity.vm_page_deactivate-term[12]",
        "m.queue_base() !=",
        "the test is made again with the spinlock",
    ),
    Equivalent("vm.vm_page.activity._vm_page_deactivate_locked-term1", "m.queue - m.pc ==", _PLACE),
    Equivalent(
        "vm.vm_page.activity._vm_page_deactivate_locked-*",
        "PG_WINATCFLS",
        "nothing in this model sets or reads that flag",
    ),
    Equivalent(
        "vm.vm_page.activity._vm_page_deactivate_locked-gone", ".adds += 1", "the count is only shown"
    ),
    Equivalent(
        "vm.vm_page.activity.vm_page_soft_activate-never",
        "m.queue_base() ==",
        "the other way does the same, with a lock",
    ),
    Equivalent(
        "vm.vm_page.activity.vm_page_soft_activate-term[12]",
        "m.queue_base() ==",
        "the other way does the same, with a lock",
    ),
    Equivalent(
        "vm.vm_page.dirty.vm_page_dirty-always",
        "!= VM_PAGE_BITS_ALL",
        "a store of what is there, and word of what is known",
    ),
    Equivalent(
        "vm.vm_page.dirty.vm_page_need_commit-swap",
        "",
        "the page is busied: nobody cleans its object between",
    ),
    Equivalent("vm.vm_page.validity.vm_page_set_validclean-swap", "", "the page is hard-busied"),
    Equivalent(
        "vm.vm_page.validity._sync_again-term1",
        "base == 0 and",
        "a range that is as long as the page begins with it",
    ),
    Equivalent("vm.vm_page.validity.vm_page_clear_dirty_*-always", "if ", "a range of nothing has no bits"),
    Equivalent("vm.vm_page.validity.vm_page_clear_dirty-swap", "", "the page is hard-busied"),
    Equivalent(
        "vm.vm_page.alloc.vm_get_pg_color-one1",
        "(cpuid - 1)",
        "a colour is a hint where to look for pages first, and CPUs have others either way",
    ),
    Equivalent(
        "vm.vm_page.free.vm_page_try_to_*-term2",
        'm.hint("dirty") or m.flags.bits(PG_NEED_COMMIT)',
        "it was asked before, and the page has been busy since",
    ),
    Equivalent(
        "vm.vm_page.protect.vm_page_protect-term1",
        "prot == VM_PROT_READ and",
        "nobody asks for other rights than none or reading",
    ),
    Equivalent(
        "vm.vm_page.search._Widening.widen-always",
        "if left > 0:",
        "a queue of the group is looked at twice",
    ),
    Equivalent(
        "vm.vm_page.contig.vm_page_startup_finish-swap",
        "spin.release()",
        "nobody else knows these pages yet, so nobody waits while the spinlock is held",
    ),
    # -- edges: hints, and what is added to nothing ----------------------------------------------
    Equivalent("vm.vm_page.activity._raise_act_count-edge1", "", "it is given what it has"),
    Equivalent("vm.vm_page.hash.vm_page_hash_enter-edge[12]", "", _GUESS),
    Equivalent("vm.vm_page.hash_table.vm_page_hash_hash-one1", "", _GUESS),
    Equivalent("vm.vm_page.numa.vm_numa_organize-edge1", "topology[0]", "one socket has all colours"),
    Equivalent(
        "vm.vm_page.numa.vm_numa_organize_finalize-edge1", "lcnt <", "how many pages are lent is a guess"
    ),
    Equivalent("vm.vm_page.search.*-edge1", "lastq >= 0", _FIRST),
    Equivalent("vm.vm_page.search.*-edge1", "LASTQ_PROBES", _FIRST),
    Equivalent("vm.vm_page.search.*-edge1", "first.mask < twice", _FIRST),
    Equivalent("vm.vm_page.search._Widening.widen-edge1", "left > 0", "a colour may be looked at twice"),
    Equivalent("vm.vm_page.search._Widening.widen-one1", "self.skip", "a colour may be looked at twice"),
    Equivalent("vm.vm_page.validity.vm_page_clear_dirty_*-edge1", "if ", "a range of nothing has no bits"),
    Equivalent(
        "vm.vm_page.validity.vm_page_zero_invalid-edge1", "while block <", "behind the last block is none"
    ),
    Equivalent(
        "vm.vm_page.validity.vm_page_zero_invalid-edge1", "if end > block", "a range of nothing is not zeroed"
    ),
    Equivalent("vm.vm_page.wait.vm_wait_pfault-one1", "HZ // 10", "how long a delay is, is anybody's guess"),
    Equivalent("vm.vm_map.find._is_whole-edge1", "hint.", "only a ghost for a checker"),
    Equivalent(
        "vm.vm_map.find._aligned-one1", "align & align - 1", "the general way does powers of two as well"
    ),
    Equivalent("vm.vm_map.find.vm_map_freehint_update-one1", "newindex + 1", "fewer searches have a hint"),
    Equivalent("vm.vm_map.find.vm_map_freehint_hole-edge2", "", "it begins where it did"),
    Equivalent("vm.vm_map.find.vm_map_hint-edge2", "", "the end is answered either way"),
    Equivalent(
        "vm.vm_map.find.vm_map_findspace-edge1", "start > map.max_addr", "nothing fits at the end of a map"
    ),
    Equivalent(
        "vm.vm_map.find.vm_map_findspace-edge3",
        "end > ADDRESS_MASK",
        "no range of pages ends at the last byte",
    ),
    Equivalent(
        "vm.vm_map.find.vm_map_findspace-edge1", "kernel_vm_end", "tables that are there are not made again"
    ),
    Equivalent("vm.vm_map.madvise._advise-edge1", "", "there is nothing of an entry behind the range"),
    Equivalent("vm.vm_map.delete._free_pages-edge2", "", "it has that size"),
    Equivalent(
        "vm.vm_object.coalesce.vm_object_coalesce-edge1", "if next_pindex", "nothing lies behind the end"
    ),
    Equivalent(
        "vm.vm_object.deallocate.vm_object_deallocate_locked-edge1",
        "load() > 2",
        "the same is asked, and done, once more below",
    ),
    *(
        Equivalent(
            f"vm.vm_object.remove.vm_object_page_remove-{how}",
            "everything = ",
            "the range has all of its blocks",
        )
        for how in ("one1", "edge1")
    ),
    Equivalent(
        "vm.vm_object.clean.vm_object_page_collect_flush-one?",
        "pindex - base - 1",
        "how many pages are written at once is anybody's guess",
    ),
)
