"""Removals in the pageout, the pagers, contiguous memory and the kernel's own that change nothing."""

from __future__ import annotations

from typing import Final

from vmsmp.patches.equivalent.entry import Equivalent

_BUSIED = "the page is hard-busied: nobody sees what is between"
_OWN_ENTRIES = "what is left of a reservation is the CPU's own, whether the map is locked or not"
_LOCKED = "the map is locked: nobody sees what is between"
_IN_NO_TIME = "a transfer or a call that takes no time loses no token"
_ASKED_AGAIN = "what looks good is asked again when it is taken"
_NOT_MAPPED = "a cached page is not mapped"
_EMPTY = "an empty queue is gone through in no time"
_OWN_MARKER = "nobody looks at a marker before it is on the queue"
_ONLY_TOLD = "it is only told"
_BIO = "vm.vm_pager.bio"
_PBUF = "vm.vm_pager.pbuf"
_SIZE = "vm.vm_pager.vnode_size"
_DEVICE_LOOKS = "the device has announced its sleep, and is woken after that"
_SWAP_TABLE = "swap_mtx is held all the while"

EQUIVALENTS: Final = (
    # -- the pageout -----------------------------------------------------------------------------
    Equivalent("vm.vm_pageout.scan.vm_pageout_free_hold-never", "tqh_first", _EMPTY),
    Equivalent("vm.vm_pageout.scan.vm_pageout_free_hold-gone", "continue", _EMPTY),
    Equivalent("vm.vm_pageout.scan._scan-never", "tqh_first", _EMPTY),
    Equivalent("vm.vm_pageout.scan._marker-flag1", "", "a marker is known by PG_MARKER"),
    Equivalent("vm.vm_pageout.scan._marker-swap", "marker.queue = pq.index", _OWN_MARKER),
    Equivalent("vm.vm_pageout.scan._marker-swap", "pq.spin.acquire()", _OWN_MARKER),
    Equivalent(
        "vm.vm_pageout.scan._age-term2",
        "if used and",
        "a page whose object was given up since may keep its place until the next pass",
    ),
    Equivalent("vm.vm_pageout.page.vm_pageout_page-swap", "flag_clear(m, PG_REFERENCED)", _BUSIED),
    Equivalent("vm.vm_pageout.page._activate_used-swap", "", "no lock protects the credit"),
    Equivalent(
        "vm.vm_pageout.page.vm_pageout_page-always",
        'if m.hint("dirty") == 0',
        "of a page that is dirty already nothing is to be learned, and all of it is laundered",
    ),
    Equivalent(
        "vm.vm_pageout.page.vm_pageout_page-gone",
        "vm_page_dirty(m)",
        "a page that is dirty in parts is laundered whole",
    ),
    Equivalent("vm.vm_pageout.scan.vm_pageout_scan_cache-gone", "vm_page_protect", _NOT_MAPPED),
    Equivalent("vm.vm_pageout.scan._sweep-gone", "_tell(vm, ", "only observers are told"),
    Equivalent(
        "vm.vm_pageout.scan.vm_pageout_free_hold-swap", "_queue_spin_unlock", "both spinlocks are let go of"
    ),
    Equivalent(
        "vm.vm_pageout.page.vm_pageout_page-never",
        'if m.hint("dirty") == 0 and not committing',
        "a clean page that is laundered is cached, too",
    ),
    Equivalent("vm.vm_pageout.stats.vm_pageout_page_stats-always", "if pcount:", _EMPTY),
    Equivalent("vm.vm_pageout.stats._age-always", "if used:", "a flag that is clear is cleared"),
    *(
        Equivalent("vm.vm_pageout.stats._age-swap", text, _BUSIED)
        for text in ('m.publish("act_count"', "vm_page_protect(m, VM_PROT_NONE)")
    ),
    Equivalent(
        "vm.vm_pageout.vmdaemon.vm_req_vmdaemon-swap", "machine.wakeup(", "no lock protects when it was"
    ),
    Equivalent(
        "vm.vm_pageout.vmdaemon.vm_daemon-swap", "psleep", "what is asked for before it sleeps it does before"
    ),
    Equivalent(
        "vm.vm_pageout.vmdaemon.vm_daemon_turn-always", "if req_swapout", "nobody is to be swapped out then"
    ),
    Equivalent(
        "vm.vm_pageout.deactivate.vm_pageout_map_deactivate_pages-always",
        "if offset == VM_MAX_USER_ADDRESS",
        "who is stopped before the end has come to the limit",
    ),
    Equivalent("vm.vm_pageout.deactivate.vm_pageout_mdp_callback-swap", "actioncount", _ONLY_TOLD),
    Equivalent("vm.vm_pageout.deactivate.vm_pageout_mdp_callback-gone", "pause_tokens", _IN_NO_TIME),
    Equivalent("vm.vm_pageout.deactivate._act-never", "if used:", "the flag is cleared again below"),
    Equivalent(
        "vm.vm_pageout.deactivate._act-gone",
        "vm_page_flag_set(p, PG_REFERENCED)",
        "the flag is cleared again below",
    ),
    Equivalent("vm.vm_pageout.deactivate._act-always", "if inactive", "an active page stays where it is"),
    Equivalent(
        "vm.vm_pageout.deactivate._act-swap",
        "vm_page_flag_clear(p, PG_REFERENCED)",
        "whether a page is used is a hint",
    ),
    Equivalent(
        "vm.vm_pageout.deactivate._act-term1",
        "PG_MAPPED and pmap_mapped_sync",
        "who asks all mappings finds the same",
    ),
    Equivalent(
        "vm.vm_pageout.deactivate._act-always",
        "if p.queue_base() ==",
        "a page of a process is active or inactive",
    ),
    Equivalent("vm.vm_pageout.deactivate._act-gone", "info.cleancount += 1", _ONLY_TOLD),
    Equivalent("vm.vm_pageout.deactivate._act-swap", "vm_page_wakeup(p)", _ONLY_TOLD),
    Equivalent("vm.vm_pageout.deactivate._clean-gone", "WINATCFLS", "who writes the page sets the flag, too"),
    Equivalent(
        "vm.vm_pageout.deactivate._clean-never",
        "if not p.vm.pager.swap_user_async",
        "the pager of swap sees to that itself",
    ),
    Equivalent(
        "vm.vm_pageout.daemon._Pagedaemon._leave_idle-swap",
        "needed.store(1)",
        "nobody else sees the daemon's state",
    ),
    Equivalent(
        "vm.vm_pageout.daemon._Pagedaemon._try_again-swap",
        "needed.store(1)",
        "a request that is lost is made again",
    ),
    *(
        Equivalent(
            f"vm.vm_pageout.flush.vm_pageout_flush-{how}",
            text,
            "who had the page mapped may not write to it since the flush began, and what he did is known",
        )
        for how, text in (("gone", "pmap_clear_modify"), ("swap", "pmap_clear_modify"), ("swap", '"pgbad"'))
    ),
    # -- the pagers ------------------------------------------------------------------------------
    *(
        Equivalent(f"vm.vm_pager.{function}-*", f'pause_tokens("{what}")', _IN_NO_TIME)
        for function, what in (
            ("swap_io._put", "swwrt"),
            ("vnode_io.vnode_pager_getpage", "VOP_GETPAGES"),
            ("device.dev_dmmap", "d_mmap"),
            ("device.old_dev_pager_fault", "kmalloc"),
        )
    ),
    Equivalent("vm.vm_pager.vnode_io.vnode_pager_putpages-gone", "VOP_PUTPAGES", _IN_NO_TIME),
    Equivalent(
        "vm.vm_pager.swap_io.swap_pager_putpages-gone",
        "swp_pager_meta_convert(obj)",
        "whoever has the first block has it converted",
    ),
    Equivalent(
        "vm.vm_pager.swap_meta.swp_pager_meta_build-gone",
        "swp_pager_meta_convert(obj)",
        "who has the page written has converted the object",
    ),
    Equivalent("vm.vm_pager.swap_meta.swp_pager_meta_convert-always", "OBJT_DEFAULT", "it is one of the two"),
    Equivalent(
        "vm.vm_pager.swap_io._put-*",
        "if obj.type == OBJT_SWAP",
        "a page that is written out is dirty, and the end of the write says what it is then",
    ),
    Equivalent(
        "vm.vm_pager.swap_io._put-gone",
        "vm_page_dirty(m)",
        "a page that is written out is dirty, and the end of the write says what it is then",
    ),
    Equivalent(
        "vm.vm_pager.swap_io._put-swap",
        "PBUSY_SWAPINPROG",
        "the page is soft-busied and may not be written to meanwhile",
    ),
    Equivalent("vm.vm_pager.swap_io._put-swap", "bio.ttc", "nobody else has the request yet"),
    Equivalent(
        "vm.vm_pager.swap_io._read-gone",
        "vm_page_flag_set(m, PG_SWAPPED)",
        "a page whose index has a block has said so since it was inserted",
    ),
    *(
        Equivalent("vm.vm_pager.swap_io._read-swap", text, _BUSIED)
        for text in ("write_pieces", 'm.publish("valid", VM_PAGE_BITS_ALL)', "vm_page_undirty(m)")
    ),
    Equivalent(
        "vm.vm_pager.swap_io._written-always", "OBJT_SWAP", "only anonymous memory is written to swap here"
    ),
    Equivalent(
        "vm.vm_pager.swap_io._written-gone", "vm_page_dirty(m)", "it has been dirty since its write began"
    ),
    *(
        Equivalent("vm.vm_pager.swap_io._written-swap", text, _BUSIED)
        for text in ("vm_page_dirty(m)", "swp_pager_meta_ctl(obj, m.pindex, free=True)", "vm_page_flag_")
    ),
    *(
        Equivalent("vm.vm_pager.swap_meta.swp_pager_freeswapspace-swap", text, "with vm_token")
        for text in ("free_blocks", "vm_swap_size +=")
    ),
    Equivalent(
        "vm.vm_pager.swap_meta.*-swap",
        'obj.changing("swblock_root")[pindex]',
        "with the object's token, exclusively",
    ),
    Equivalent("vm.vm_pager.swap_meta.swap_pager_unswapped-swap", "", _BUSIED),
    Equivalent(
        "vm.vm_pager.swap_meta.swp_pager_freeswapspace-swap",
        "vm_token.acquire",
        "the blocks are a list here, and one more is one step",
    ),
    Equivalent(
        "vm.vm_pager.swap_meta.swp_pager_meta_ctl-swap",
        'obj.publish("swblock_count"',
        "a count that is too high for a moment costs a look",
    ),
    Equivalent("vm.vm_pager.swap_meta.swap_pager_dealloc-*", "swpdea", "the termination has waited for that"),
    Equivalent(
        "vm.vm_pager.swap_meta.swap_pager_dealloc-swap",
        "vm_object_hold(obj)",
        "its activity is waited for without its token",
    ),
    Equivalent(
        "vm.vm_pager.swap_io.swap_pager_getpage-*",
        "vm_page_flag_set(m, PG_REFERENCED)",
        "whether a page that is waited for is used is a hint",
    ),
    Equivalent("vm.vm_pager.swap_io._written-swap", "vm_page_io_finish(m)", _BUSIED),
    Equivalent(
        "vm.vm_pager.swap_io.swap_pager_getpage-flag2", "PBUSY_SWAPINPROG | PBUSY_WANTED", "it is set already"
    ),
    *(
        Equivalent(f"vm.vm_pager.swap_io.swap_pager_getpage-{how}", text, "it spins instead of sleeping")
        for how, text in (("never", "PBUSY_WANTED"), ("gone", '"swread"'))
    ),
    *(
        Equivalent(
            f"vm.vm_pager.swap_meta.{function}-never",
            'if obj.hint("swblock_count")',
            "it finds nothing to give back",
        )
        for function in ("swap_pager_freespace", "swap_pager_freespace_all")
    ),
    Equivalent(
        "vm.vm_pager.swap_meta.swap_pager_page_inserted-always",
        "swblock_count",
        "it finds no block of the page",
    ),
    # -- buffers ---------------------------------------------------------------------------------
    Equivalent(f"{_PBUF}.getpbuf_kva-gone", "continue", "who finds none begins anew"),
    Equivalent(f"{_PBUF}._take-never", "if not pool.lists", "it is looked at again with its spinlock"),
    Equivalent(f"{_PBUF}._take-gone", "continue", "it is looked at again with its spinlock"),
    Equivalent(f"{_PBUF}.relpbuf-[at]*", "if wake_", "who is woken too early looks again"),
    Equivalent(f"{_PBUF}.pbuf_adjcount-always", "if n:", "nothing is added then"),
    # -- requests to a device --------------------------------------------------------------------
    Equivalent(f"{_BIO}.vn_strategy-swap", "device.", _DEVICE_LOOKS),
    Equivalent(f"{_BIO}.device_detach-swap", "device.", _DEVICE_LOOKS),
    Equivalent(f"{_BIO}.device_attach-swap", "attached", "no CPU runs it yet"),
    Equivalent(f"{_BIO}.device_thread-edge1", "device.queue.pop(", "of one request the first is chosen"),
    Equivalent(f"{_BIO}.started-[at]*", "bio.write", "a ghost: what scenarios count"),
    # -- devices that are swapped to -------------------------------------------------------------
    Equivalent("vm.vm_swap.sys_swapo*-swap", "swap.swap_mtx.lock()", "references are counted by themselves"),
    *(
        Equivalent(f"vm.vm_swap.{function}-swap", text, _SWAP_TABLE)
        for function, text in (
            ("swaponvp", "swap.vm.pageout.vm_token.acquire()"),
            ("swaponvp", "swap.swdevt[slot] ="),
            ("swaponvp", "swap.vm_swap_size.store("),
            ("swapoff_one", "device.free = 0"),
            ("swapoff_one", "vrele("),
        )
    ),
    Equivalent("vm.vm_swap.swaponvp-swap", "swap.swap_mtx.unlock()", "both are let go, whichever is first"),
    Equivalent("vm.vm_swap.swapacctspace-swap", "device.free += count", "vm_token is held for both"),
    # -- files that get longer or shorter --------------------------------------------------------
    Equivalent(f"{_SIZE}.*setsize-always", "!= filesize", "an object has the size of its file already"),
    Equivalent(f"{_SIZE}.*setsize-edge1", "< filesize", "that it is another length has been asked"),
    Equivalent(
        f"{_SIZE}.*setsize-[ae]*", "nobjsize < oobjsize", "from a range without a page none is removed"
    ),
    Equivalent(f"{_SIZE}.*setsize-swap", 'obj.publish("size"', "the object's token is held for both"),
    Equivalent(
        f"{_SIZE}.vnode_pager_setsize-always", "nsize & PAGE_MASK", "a page behind the end is gone already"
    ),
    Equivalent(f"{_SIZE}._unmap-gone", "pause_tokens", _IN_NO_TIME),
    Equivalent(
        f"{_SIZE}._cut_last_page-swap",
        "pmap_zero_page_area(",
        "what a process writes behind the end of its file may stay or be zero",
    ),
    Equivalent(
        f"{_SIZE}._cut_last_page-swap",
        "vm_page_protect(m, ",
        "a page that was written to is all dirty: before its end, too",
    ),
    Equivalent("vm.vm_pager.vnode_io.vnode_pager_alloc-swap", "v_filesize", "the caller has a reference"),
    Equivalent("vm.vm_pager.vnode_io.vinitvmio-never", "if obj is not None", "the allocation finds it, too"),
    Equivalent(
        "vm.vm_pager.vnode_io.vinitvmio-swap", "vsetflags", "the flag is not protected by the object's token"
    ),
    Equivalent(
        "vm.vm_pager.vnode_io.vnode_pager_dealloc-*", "swap_pager_freespace_all", "a file has no swap here"
    ),
    Equivalent("vm.vm_pager.vnode_io.vnode_pager_dealloc-swap", "vclrflags", "a file has no swap here"),
    Equivalent("vm.vm_pager.vnode_io.vnode_pager_getpage-swap", "write_pieces", _BUSIED),
    Equivalent(
        "vm.vm_pager.vnode_io.vnode_pager_putpages-always",
        "if known",
        "a page behind the end of the file is cleaned by who had it written",
    ),
    Equivalent("vm.vm_pager.device.cdev_pager_allocate-swap", "dev_pager_object_list", "with dev_pager_mtx"),
    Equivalent(
        "vm.vm_pager.device.cdev_pager_allocate-gone",
        "vm_object_reference_locked(obj)",
        "the reference is one too many, which is a known finding",
    ),
    Equivalent(
        "vm.vm_pager.device.old_dev_pager_dtor-always",
        "dev is not None",
        "the memory of nothing is not shown",
    ),
    Equivalent("vm.vm_pager.device.old_dev_pager_fault-swap", "page.phys = frame", _BUSIED),
    *(
        Equivalent(
            "vm.vm_pager.device.old_dev_pager_fault-swap",
            text,
            "the list is looked at when the object ends, which the caller refers to",
        )
        for text in ("vm_object_hold(obj)", "devp_pglist")
    ),
    Equivalent("vm.vm_pager.table.*_pager_dealloc-gone", "_no_swap(obj)", "it only checks"),
    Equivalent(
        "vm.vm_pager.table.phys_pager_getpage-gone",
        'm.publish("valid", VM_PAGE_BITS_ALL)',
        "the caller zeroes what is not valid, and says that it is",
    ),
    Equivalent("vm.vm_pager.table.phys_pager_getpage-swap", "", _BUSIED),
    Equivalent(
        "vm.vm_pager.table.vm_pager_get_page-never",
        "if result == VM_PAGER_OK",
        "no pager here has read a page in part",
    ),
    # -- cleaning and terminating objects ---------------------------------------------------------
    Equivalent(
        "vm.vm_object.clean.vm_object_page_clean-flag*", "OBJPC_INVAL", "the pager of files does not ask how"
    ),
    Equivalent("vm.vm_object.clean.vm_object_page_clean-*", "OBJ_CLEANING", "nobody asks for that flag"),
    Equivalent(
        "vm.vm_object.clean._neighbour-never", "PQ_CACHE", "a cached page is clean, and passed over as such"
    ),
    *(
        Equivalent(f"vm.vm_object.clean.{function}-swap", "vm_page_flag_clear", _BUSIED)
        for function in ("vm_object_page_collect_flush", "_neighbour", "*pass2")
    ),
    *(
        Equivalent(
            f"vm.vm_object.terminate.vm_object_terminate-{how}",
            "vinvalbuf(obj.handle, V_SAVE)",
            "the scans free what is left of a file's pages",
        )
        for how in ("gone", "swap")
    ),
    Equivalent(
        "vm.vm_object.terminate.vm_object_terminate-swap",
        "vm_object_page_clean(obj, 0, 0, OBJPC_SYNC)",
        "the scans free what is left of a file's pages",
    ),
    Equivalent("vm.vm_object.terminate._tell-*", "", _ONLY_TOLD),
    Equivalent("vm.vm_object.terminate._Termination._visit-*", "PQ_NONE", _ONLY_TOLD),
    Equivalent("vm.vm_object.terminate._Termination._visit-gone", "_tell(m)", _ONLY_TOLD),
    Equivalent("vm.vm_object.terminate._unmap-*", "", "an object that nobody references is mapped nowhere"),
    Equivalent(
        "vm.vm_object.terminate._Termination._visit-*",
        "_unmap(m)",
        "an object that nobody references is mapped nowhere",
    ),
    # -- contiguous memory ------------------------------------------------------------------------
    Equivalent("vm.vm_contig._is_idle-*", "", _ASKED_AGAIN),
    *(Equivalent(f"vm.vm_contig._candidate-term{n}", "_is_free_or_cached", _ASKED_AGAIN) for n in (1, 3)),
    *(Equivalent(f"vm.vm_contig._goes_on-term{n}", "_is_free_or_cached", _ASKED_AGAIN) for n in (2, 3, 4)),
    Equivalent(
        "vm.vm_contig._take_page-term3",
        "m.hold_count.load() or",
        "a page that is freed while it is held is not free, and not taken",
    ),
    Equivalent(
        "vm.vm_contig._take_page-term5", "PG_NEED_COMMIT", "a page that is to be committed is not cached"
    ),
    Equivalent("vm.vm_contig._take_page-term2", "page.PQ_FREE", "a free page is held by nobody"),
    Equivalent("vm.vm_contig._free_cached-gone", "vm_page_protect", _NOT_MAPPED),
    Equivalent("vm.vm_contig._wire_free-swap", "", _BUSIED),
    Equivalent(
        "vm.vm_contig.vm_contig_pg_kmap-gone",
        "pmap_invalidate_range",
        "an address at which nothing was mapped is in no TLB",
    ),
    Equivalent("vm.vm_contig.contigfree-swap", "kmem_free(", "the pages are mapped no longer"),
    Equivalent("vm.vm_contig._make_room-*", 'pause_tokens("lwkt_yield")', _IN_NO_TIME),
    Equivalent("vm.vm_contig._make_room-swap", "vm_contig_pg_clean", _IN_NO_TIME),
    Equivalent("vm.vm_contig._launder-swap", "vm_page_wakeup(m)", "the object is held, whoever has the page"),
    Equivalent("vm.vm_contig._marker-flag1", "", "a marker is known by PG_MARKER"),
    Equivalent("vm.vm_contig._marker-swap", "marker.", _OWN_MARKER),
    *(
        Equivalent("vm.vm_contig._marker-gone", text, "a marker is known by PG_MARKER")
        for text in ("busy_count", "wire_count")
    ),
    Equivalent(
        "vm.vm_contig._clean-term1",
        "m.queue_base() != queue",
        "a page was busied on the queue, and stays there",
    ),
    Equivalent(
        "vm.vm_contig._clean-always", "elif m.hold_count", "the caching of a page asks for its holds itself"
    ),
    # -- the kernel's own -------------------------------------------------------------------------
    Equivalent("vm.vm_kern.kmem_free_wakeup-swap", "vm_map_unlock(map)", _OWN_ENTRIES),
    *(
        Equivalent(f"vm.vm_kern.{function}-swap", text, _OWN_ENTRIES)
        for function in ("kmem_alloc3", "kmem_alloc_attr", "kmem_alloc_wait")
        for text in ("vm_map_unlock(map)", "release(vm, count)")
    ),
    Equivalent("vm.vm_kern.kmem_free_wakeup-swap", "vm_map_unlock(map)", _OWN_ENTRIES),
    *(
        Equivalent(f"vm.vm_kern.{function}-swap", text, _LOCKED)
        for function in ("kmem_alloc3", "kmem_alloc_attr")
        for text in ("vm_object_hold(kernel_object)", "vm_object_reference_locked(kernel_object)")
    ),
    Equivalent("vm.vm_kern.kmem_alloc3-swap", "vm_object_drop(kernel_object)", "the object does not end"),
    *(
        Equivalent(f"vm.vm_kern.kmem_alloc3-{how}", "_grab_pages", "the wiring faults in what is not there")
        for how in ("gone", "swap")
    ),
    Equivalent(
        "vm.vm_kern._grab_pages-flag2",
        "VM_ALLOC_FORCE_ZERO",
        "a page that is not valid is zeroed by the fault that wires it",
    ),
    Equivalent("vm.vm_kern._grab_pages-*", "KM_CPU_SPEC", "a colour is a preference"),
    Equivalent("vm.vm_kern._grab_pages-*", "vm_page_unqueue_nowakeup", "a new page is on no queue"),
    # -- the vnode behind a chain ----------------------------------------------------------------
    Equivalent(
        "vm.vm_pager.vnode_lock._lock-term2",
        "OBJ_DEAD",
        "what a chain has is referenced, and so does not end",
    ),
    Equivalent(
        "vm.vm_pager.vnode_lock._lock-gone",
        "vm.machine.tsleep(",
        "how long it waits before it looks again is nobody's affair",
    ),
)
