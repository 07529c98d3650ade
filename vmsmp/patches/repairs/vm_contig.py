"""Repairs of contiguous memory (sys/vm/vm_contig.c, sys/kern/subr_alist.c)."""

from __future__ import annotations

from vmsmp.patches.patch import Repair

_MODULE = "vmsmp.vm.vm_contig"

REPAIRS = (
    Repair(
        "contig-gives-back-something",
        f"{_MODULE}:_take",
        "vm_contig_pg_free(vm, start, (i - start) * PAGE_SIZE)",
        """
        if i > start:
            vm_contig_pg_free(vm, start, (i - start) * PAGE_SIZE)
        """,
        "a run of which not even the first page could be had is given back by doing nothing",
    ),
    Repair(
        "contig-ends-with-the-array",
        f"{_MODULE}:_goes_on",
        'wanted.vm.panic("vm_contig_pg_alloc: page fault: behind the end of vm_page_array")',
        "return False",
        "a run that does not end within the array is none",
    ),
    Repair(
        "contig-cleans-all-colours",
        f"{_MODULE}:_clean",
        "if m.queue_base() != queue or",
        'if m.hint("queue") != queue or',
        "a page that is cleaned must still be on the queue itself, whatever its colour",
    ),
    Repair(
        "contig-references-the-vnode",
        f"{_MODULE}:_launder",
        """
        vn_lock(_handle(obj))
        vm_object_page_clean(obj, 0, 0, OBJPC_SYNC)
        vn_unlock(_handle(obj))
        """,
        """
        from vmsmp.vm.vnode import vget, vput

        vp = _handle(obj)
        if not vget(vp):
            vm_object_page_clean(obj, 0, 0, OBJPC_SYNC)
            vput(vp)
        """,
        "the vnode is referenced and locked unless it was reclaimed, and it is that one which is unlocked",
    ),
    Repair(
        "search-asks-where-it-began",
        "vmsmp.vm.subr_alist:Leaf.alloc",
        "start %= ALIST_BMAP_RADIX",
        "start = 0 if start <= blk else blk + 1",
        "a leaf lowers its hint only if the search began before it",
    ),
    Repair(
        "alist-gives-all",
        "vmsmp.vm.subr_alist:alist_alloc",
        "if count >= bl.bl_radix:",
        "if count > bl.bl_radix:",
        "a run as long as the tree is looked for, too",
    ),
    Repair(
        "contig-leaves-its-own-file",
        f"{_MODULE}:_launder",
        "if obj.type == OBJT_VNODE:",
        """
        from vmsmp.sync.errno import LK_EXCLUSIVE
        from vmsmp.sync.lockmgr.status import lockstatus
        from vmsmp.sync.thread import curthread

        mine = obj.type == OBJT_VNODE and (
            lockstatus(_handle(obj).v_lock, curthread(m.vm.machine)) == LK_EXCLUSIVE
        )
        if mine:
            vm_page_wakeup(m)
        elif obj.type == OBJT_VNODE:
        """,
        "the page of a file whose vnode the thread has locked itself is left",
    ),
    Repair(
        "contig-passes-markers",
        f"{_MODULE}:vm_contig_pg_clean",
        """
        m: VmPage | None = marker.hint("tqe_next")
        if m is None:
            break
        """,
        """
        pq.spin.acquire()
        m: VmPage | None = marker.tqe_next
        if m is not None and is_marker(m):
            TAILQ_REMOVE(pq, marker)
            TAILQ_INSERT_AFTER(pq, m, marker)
            pq.spin.release()
            count -= 1
            continue
        pq.spin.release()
        if m is None:
            break
        """,
        "the next page is read with the queue locked, and the marker of another scan is passed there",
    ),
)
