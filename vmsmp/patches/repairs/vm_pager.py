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
            if m.raw_pindex < end:
                vm_page_undirty(m)
        vp.v_track_write.fetchadd(1)
        """,
        "a page is marked clean before it is transferred, and what is stored meanwhile makes it dirty again",
        also=(
            Edit(
                f"{_MODULE}:vnode_pager_putpages",
                """
                if known and not failed:
                    vm_page_undirty(m)
                """,
                """
                if known and failed:
                    from vmsmp.vm.vm_page.dirty import vm_page_dirty

                    vm_page_dirty(m)
                """,
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
        if end
        """,
        "if end",
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
        "mmap-locks-the-vnode",
        f"{_MODULE}:vnode_pager_reference",
        """
        obj: VmObject | None = vp.hint("v_object")
        if obj is not None:
            vm_object_reference_quick(obj)
        """,
        """
        from vmsmp.sync.errno import LK_EXCLUSIVE, LK_SHARED
        from vmsmp.sync.lockmgr.status import lockstatus
        from vmsmp.sync.thread import curthread
        from vmsmp.vm.vnode import vget, vput

        ours = lockstatus(vp.v_lock, curthread(vp.vm.machine)) == LK_EXCLUSIVE
        if not ours and vget(vp, LK_SHARED):
            return None
        obj: VmObject | None = vp.hint("v_object")
        if obj is not None:
            vm_object_reference_quick(obj)
        if not ours:
            vput(vp)
        """,
        "the vnode is locked while its object is referenced, so that it is not reclaimed",
    ),
    Repair(
        "first-buffer-wakes",
        f"{_MODULE}.pbuf:relpbuf",
        "wake_limit = pfreecnt.fetchadd(1) == 1",
        "wake_limit = pfreecnt.fetchadd(1) in (0, 1)",
        "who waits for a client's buffers is woken as soon as there is one again",
    ),
    Repair(
        "device-forgets-its-own",
        f"{_MODULE}.device:dev_pager_dealloc",
        "devp.ops.cdev_pg_dtor(vm, devp.dev)",
        """
        if devp.ops is not old_dev_pager_ops or devp.dev.si_object is obj:
            devp.ops.cdev_pg_dtor(vm, devp.dev)
        """,
        "a device forgets an object only if it is the one that ends",
    ),
    Repair(
        "device-is-begun-once",
        f"{_MODULE}.device:cdev_pager_allocate",
        "vm_object_hold(obj)",
        """
        if ops is not None and ops is not old_dev_pager_ops:
            ops.cdev_pg_dtor(vm, handle)
        vm_object_hold(obj)
        """,
        "a constructor whose object was there already is undone by the destructor",
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
    Repair(
        "index-has-its-length",
        f"{_MODULE}:vnode_pager_putpages",
        "if pages[0].raw_pindex & _SIGN:",
        "if pages[0].raw_pindex & 1 << 63:",
        "an index is asked for its sign in all of its bits",
    ),
    Repair(
        "each-free-buffer-wakes",
        f"{_MODULE}.pbuf:relpbuf",
        "wake_pool = pool.count.fetchadd(1) == pool.size // 4",
        "wake_pool = pool.count.fetchadd(1) <= pool.size // 4",
        "who waits for the pool is woken as soon as a buffer is free",
    ),
    Repair(
        "buffers-are-counted-before",
        f"{_MODULE}.pbuf:_take",
        "allowed = not tested or (pfreecnt is not None and pfreecnt.load() > 0)",
        """
        allowed = bool(pool.lists[home])
        while allowed and pfreecnt is not None:
            count = pfreecnt.load()
            allowed = count > 0
            if allowed and pfreecnt.cmpset(count, count - 1):
                break
        """,
        "the client's count is tested and lowered in one step, before a buffer is taken",
        also=(
            Edit(
                f"{_MODULE}.pbuf:_take",
                """
                if pfreecnt is not None:
                    pfreecnt.fetchadd(-1)
                """,
                "pass",
            ),
        ),
    ),
    Repair(
        "device-may-refuse",
        f"{_MODULE}.device:old_dev_pager_fault",
        "if obj.type != OBJT_DEVICE:",
        """
        if frame == -1 & _FRAMES:
            from vmsmp.vm.vm_pager.result import VM_PAGER_ERROR

            return VM_PAGER_ERROR
        if obj.type != OBJT_DEVICE:
        """,
        "what the device shows nothing at cannot be read",
    ),
    Repair(
        "truncation-spares-wirings",
        f"{_MODULE}.vnode_size:_cut_last_page",
        "vm_page_protect(m, VM_PROT_NONE)",
        "vm_page_protect(m, 1 if m.wire_count.load() else VM_PROT_NONE)",
        "the last page of a file that is cut stays mapped, read-only, if it is wired",
    ),
    Repair(
        "buffer-truncation-spares-wirings",
        f"{_MODULE}.vnode_size:_unmap",
        "vm_page_protect(m, VM_PROT_NONE)",
        "vm_page_protect(m, 1 if m.wire_count.load() else VM_PROT_NONE)",
        "a page of the last buffer stays mapped, read-only, if it is wired",
    ),
    Repair(
        "fault-sleeps-on-a-vnode",
        f"{_MODULE}.vnode_lock:_lock",
        """
        if handle is None:
            vm.panic("tsleep: no ident")
        """,
        """
        if handle is None:
            continue
        """,
        "an object that has lost its vnode is looked at again at once",
    ),
    Repair(
        "device-waits-for-holds",
        f"{_MODULE}.device:dev_pager_dealloc",
        "vm_page_putfake(devp.devp_pglist.pop(0))",
        """
        m = devp.devp_pglist[0]
        while m.hold_count.load():
            vm.machine.tsleep(m, 0, "dvheld", 1, overdue=lambda: None)
        devp.devp_pglist.remove(m)
        vm_page_putfake(m)
        """,
        "a page of a device is freed once nobody holds it",
    ),
    Repair(
        "reservation-gives-back-blocks",
        f"{_MODULE}.swap_meta:swap_pager_reserve",
        "swp_pager_meta_free(obj, start + size, len(blks))",
        """
        for blk in blks:
            swp_pager_freeswapspace(vm, blk)
        """,
        "the blocks that are left of the last ones are given back, and other pages keep theirs",
    ),
    Repair(
        "short-write-is-no-write",
        f"{_MODULE}:vnode_pager_putpages",
        "failed = obj.vm.pager.device.failing",
        """
        short = obj.vm.pager.device.short
        failed = obj.vm.pager.device.failing or (short is not None and short < len(pages))
        """,
        "pages that are not all written are written again",
    ),
    Repair(
        "failed-block-waits",
        f"{_MODULE}.swap_io:_written",
        "swp_pager_meta_ctl(obj, m.pindex, free=True)",
        """
        swp_pager_meta_ctl(obj, m.pindex, free=True)
        pager = m.vm.pager
        unused = pager.vm_swap_max - pager.vm_swap_size + len(pager.free_blocks)
        if pager.free_blocks:
            pager.free_blocks.insert(0, pager.free_blocks.pop())
        if unused < pager.vm_swap_max:
            pager.free_blocks.append(unused)
        """,
        "a block that could not be written is not the next one that is taken, if there is another one",
    ),
    Repair(
        "failed-part-fails-the-request",
        f"{_MODULE}:swap_chain_iodone",
        "cluster.b_error = error",
        """
        cluster.b_error = error
        cluster.failed = True
        """,
        "a request of which a part has failed is marked as failed, and keeps that part's error",
    ),
    Repair(
        "short-write-to-swap-has-failed",
        f"{_MODULE}.bio:transfer",
        "bio.error = vm.pager.device.failing or bio.blk in vm.pager.device.bad_blocks",
        """
        device = vm.pager.device
        bio.error = device.failing or bio.blk in device.bad_blocks or bio.blk in device.short_blocks
        """,
        "what a transfer of swap has left out has not been written",
    ),
    Repair(
        "swap-is-taken-in-single-blocks",
        f"{_MODULE}.swap_io:swap_pager_putpages",
        "while not blks and n > 4:",
        "while not blks and n > 1:",
        "a page is given any free block if there are no adjacent ones for several",
    ),
    Repair(
        "buffer-truncation-waits-for-bypass",
        f"{_MODULE}.vnode_size:_unmap",
        'vm_page_lookup_busy_wait(obj, pindex, False, "vmpg")',
        'vm_page_lookup_busy_wait(obj, pindex, True, "vmpg")',
        "a page that a fault has soft-busied is waited for before its mappings are forgotten",
    ),
    Repair(
        "copy-waits-for-no-vnode",
        f"{_MODULE}.vnode_lock:_lock",
        "if vget(vp, LK_SHARED | LK_CANRECURSE):",
        """
        from vmsmp.sync.errno import LK_NOWAIT
        from vmsmp.sync.thread import TDF_DEADLKTREAT, curthread
        from vmsmp.vm.vnode import vref

        if curthread(vm.machine).td_flags & TDF_DEADLKTREAT:
            if vp.v_lock.lock(LK_SHARED | LK_CANRECURSE | LK_NOWAIT):
                return None
            vref(vp)
        elif vget(vp, LK_SHARED | LK_CANRECURSE):
        """,
        "a fault while the kernel copies from a process does not wait for a vnode",
    ),
)
