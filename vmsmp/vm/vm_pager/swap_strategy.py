"""Block I/O on the swap of an object, swap that is given up again, and files that have pages in swap.

Models: swap_pager_strategy, swap_pager_condfree and swp_pager_fault_page of sys/vm/swap_pager.c, of which the
first reads for the swap cache, the second frees what that has, and the last gives up a device.
Locks: the object's token, which is lost wherever a block is freed.
Deviations:
  * those of `swap_meta`; a request is one to read a page.
  * of `swp_pager_fault_page` the case of files alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vmsmp.sync.errno import LK_CANRECURSE, LK_SHARED
from vmsmp.vm.vm_object.hold import vm_object_drop, vm_object_hold
from vmsmp.vm.vm_object.remove import vm_object_page_remove
from vmsmp.vm.vm_page.lookup import vm_page_lookup
from vmsmp.vm.vm_pager.swap_meta import SWAP_META_PAGES, swap_pager_freespace, swp_pager_meta_ctl
from vmsmp.vm.vnode import vget, vput

if TYPE_CHECKING:
    from vmsmp.vm.vm_object.object import VmObject


def swap_pager_strategy(obj: VmObject, pindex: int) -> dict[int, Any]:
    """Read the page at an index of an object from swap; what has no swap is zero.

    Sleeps: for the object's token, and for the device.
    """
    vm = obj.vm
    vm_object_hold(obj)
    blk = swp_pager_meta_ctl(obj, pindex)
    vm_object_drop(obj)
    return {} if blk is None else dict(vm.pager.contents[blk])


def swap_pager_condfree(obj: VmObject, basei: int, count: int) -> tuple[int, int]:
    """Free the swap of about `count` pages from index `basei` on; return what was done, and where to go on.

    The swap of pages that share a block of metadata is freed if none of them is resident.
    Locks: the object's token exclusively; it is lost as blocks are freed.
    """
    pages, blocks = count, count * 8
    for group in sorted({pindex // SWAP_META_PAGES for pindex in obj.swblock_root}):
        first = group * SWAP_META_PAGES
        held = sum(pindex // SWAP_META_PAGES == group for pindex in obj.swblock_root)
        if first < basei or not held:
            continue
        basei = first + SWAP_META_PAGES
        if not any(vm_page_lookup(obj, pindex) for pindex in range(first, basei) if pindex in obj.rb_memq):
            pages -= held
            swap_pager_freespace(obj, first, SWAP_META_PAGES)
        blocks -= 1
        if pages < 0 or blocks < 0:
            break
        obj.vm.pause_tokens("lwkt_yield")
    return max(count - pages, count * 8 - blocks, 1), basei


def swp_pager_fault_page(obj: VmObject, pindex: int) -> None:
    """Give up the swap of a page of a file; a page that is not dirty is removed with it.

    Locks: the object's token; takes the vnode's lock.  Sleeps: for both.
    """
    vp = obj.handle
    if not vget(vp, LK_SHARED | LK_CANRECURSE):
        vm_object_page_remove(obj, pindex, pindex + 1, clean_only=True)
        vput(vp)
