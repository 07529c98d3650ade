"""Repairs of the pagers (sys/vm/vnode_pager.c, sys/vm/device_pager.c, sys/vm/swap_pager.c)."""

from __future__ import annotations

from vmsmp.patches.patch import Edit, Repair

_MODULE = "vmsmp.vm.vm_pager"

REPAIRS = (
    Repair(
        "write-cleans-before-transfer",
        f"{_MODULE}:vnode_pager_putpages",
        """
        vp.v_track_write.fetchadd(1)
        """,
        """
        for m in pages:
            vm_page_undirty(m)
        vp.v_track_write.fetchadd(1)
        """,
        "a page is marked clean before it is transferred, and what is stored meanwhile makes it dirty again",
        also=(
            Edit(
                f"{_MODULE}:vnode_pager_putpages",
                """
                if known:
                    vm_page_undirty(m)
                """,
                "pass",
            ),
        ),
    ),
    Repair(
        "revocation-drops-references",
        f"{_MODULE}:vnode_pager_dealloc",
        "vclrflags(vp, VTEXT | VOBJBUF)",
        """
        vclrflags(vp, VTEXT | VOBJBUF)
        for _ in range(obj.ref_count.load()):
            vrele(vp)
        """,
        "the references of an object that loses its vnode are given back to that",
    ),
    Repair(
        "device-is-referenced-once",
        f"{_MODULE}:cdev_pager_allocate",
        """
        vm_object_reference_locked(obj)
        if size
        """,
        "if size",
        "the reference that the lookup of a device adds is that of the mapping",
    ),
    Repair(
        "device-pages-are-valid",
        f"{_MODULE}:vm_pager_get_page",
        "if result == VM_PAGER_OK and m.valid != VM_PAGE_BITS_ALL:",
        "if result == VM_PAGER_OK and pagertab[obj.type] is not _DEVICE and m.valid != VM_PAGE_BITS_ALL:",
        "what the pager of a device returns is not looked at: it may have put another page there",
    ),
    Repair(
        "pageout-cleans-before-transfer",
        "vmsmp.vm.vm_pager.swap_io:_put",
        """
        if obj.type == OBJT_SWAP:
            vm_page_dirty(m)
        """,
        """
        if obj.type == OBJT_SWAP:
            vm_page_undirty(m)
        """,
        "a page is clean from when it is copied to the device on, and dirty again if that fails",
        also=(
            Edit(
                "vmsmp.vm.vm_pager.swap_io:_written",
                """
                if m.object.type == OBJT_SWAP:
                    vm_page_undirty(m)
                """,
                "pass",
            ),
        ),
    ),
    Repair(
        "failed-read-unmaps",
        "vmsmp.vm.vm_pager.vnode_lock:vnode_pager_freepage",
        "vm_page_free(m)",
        """
        from vmsmp.vm.vm_map.flags import VM_PROT_NONE
        from vmsmp.vm.vm_page.protect import vm_page_protect

        vm_page_protect(m, VM_PROT_NONE)
        vm_page_free(m)
        """,
        "a page that could not be read is unmapped before it is freed",
    ),
)
