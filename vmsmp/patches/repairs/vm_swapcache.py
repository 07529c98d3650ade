"""Repairs of the swap cache (sys/vm/swap_pager.c and sys/vm/vm_object.c, where they meet it)."""

from __future__ import annotations

from vmsmp.patches.patch import Edit, Repair

_PAGER = "vmsmp.vm.vm_pager"

REPAIRS = (
    Repair(
        "file-outdates-a-write-to-swap",
        f"{_PAGER}:swap_pager_unswapped",
        "if m.flags.bits(PG_SWAPPED):",
        """
        from vmsmp.vm.vm_object.object import OBJT_VNODE
        from vmsmp.vm.vm_page.flags import PBUSY_SWAPINPROG

        if m.busy_count.bits(PBUSY_SWAPINPROG) and m.object.type == OBJT_VNODE:
            m.busy_count.clearbits(PBUSY_SWAPINPROG)
        elif m.flags.bits(PG_SWAPPED):
        """,
        "who makes a page newer while it is written to swap says so, and its swap is freed in the end",
        also=(
            Edit(
                f"{_PAGER}.swap_io:_written",
                "if bio.error:",
                "if bio.error or not m.busy_count.bits(PBUSY_SWAPINPROG):",
            ),
        ),
    ),
    Repair(
        "removal-takes-the-mark-off",
        "vmsmp.vm.vm_object.remove:_Removal._visit",
        "self._remove(m)",
        """
        if self.obj.type != OBJT_SWAP or not self.clean_only:
            from vmsmp.vm.vm_pager.swap_meta import swap_pager_unswapped

            swap_pager_unswapped(m)
        self._remove(m)
        """,
        "the swap of a page is freed, and its mark taken off, while the page is busied",
    ),
    Repair(
        "cache-is-emptied-at-once",
        f"{_PAGER}:swap_pager_condfree",
        "basei = first + SWAP_META_PAGES",
        """
        basei = first + SWAP_META_PAGES
        obj.vm.pageout.vm_token.acquire()
        """,
        "pages are looked for and their swap is freed without a sleep in between",
        also=(
            Edit(
                f"{_PAGER}:swap_pager_condfree",
                "blocks -= 1",
                """
                obj.vm.pageout.vm_token.release()
                blocks -= 1
                """,
            ),
        ),
    ),
    Repair(
        "swap-is-counted-as-it-goes",
        f"{_PAGER}:swp_pager_meta_free",
        """
        if at in obj.swblock_root:
            obj.swb_freeing.append(at // SWAP_META_PAGES)
            swp_pager_meta_ctl(obj, at, free=True)
            obj.swb_freeing.remove(at // SWAP_META_PAGES)
        """,
        """
        with obj.vm.pageout.vm_token:
            if at in obj.swblock_root:
                obj.swb_freeing.append(at // SWAP_META_PAGES)
                swp_pager_meta_ctl(obj, at, free=True)
                obj.swb_freeing.remove(at // SWAP_META_PAGES)
        """,
        "a page is taken out of its block of metadata and counted out without a sleep in between",
    ),
    Repair(
        "cleaning-passes-finished-files",
        "vmsmp.vm.vm_swapcache:vm_swapcache_pass",
        "if done <= 0 or marker.save_off > cleanperobj:",
        """
        finished = max(obj.peek("swblock_root"), default=-1) < marker.size
        if done <= 0 or finished or marker.save_off > cleanperobj:
        """,
        "a file is passed when it has nothing in swap behind the last index",
    ),
    Repair(
        "file-is-read-instead-of-its-cache",
        "vmsmp.vm.vfs_bio:_read",
        """
        return swap_pager_strategy(bp.vp.hint("v_object"), bp.page.raw_pindex)
        """,
        """
        contents = swap_pager_strategy(bp.vp.hint("v_object"), bp.page.raw_pindex)
        if contents is not None:
            return contents
        """,
        "what cannot be read from the swap cache is read from the file",
    ),
    Repair(
        "delayed-write-busies-the-page",
        "vmsmp.vm.vfs_bio:bdwrite",
        "vfs_clean_one_page(bp)",
        """
        vm_page_busy_wait(bp.page, False, "bdwrit")
        vfs_clean_one_page(bp)
        vm_page_wakeup(bp.page)
        """,
        "a page is busied where its bits are changed",
    ),
    Repair(
        "discard-busies-the-page",
        "vmsmp.vm.vfs_bio:brelse",
        """
        vm_page_set_invalid(bp.page, bp.base, bp.size)
        swap_pager_unswapped(bp.page)
        """,
        """
        vm_page_busy_wait(bp.page, False, "vmiopg")
        vm_page_set_invalid(bp.page, bp.base, bp.size)
        swap_pager_unswapped(bp.page)
        vm_page_wakeup(bp.page)
        """,
        "a page is busied where it is made invalid",
    ),
    Repair(
        "cache-leaves-what-is-in-swap",
        "vmsmp.vm.vm_swapcache:_collected",
        "if not vm_swapcache_test(m):",
        "if m.flags.bits(PG_SWAPPED) or not vm_swapcache_test(m):",
        "a page that is in swap already is not written there once more",
    ),
)
