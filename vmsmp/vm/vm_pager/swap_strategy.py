"""Block I/O on the swap of an object, swap that is given up again, and files that have pages in swap.

Models: swap_pager_strategy, swap_chain_iodone, swap_pager_condfree and swp_pager_fault_page of
sys/vm/swap_pager.c, of which the first two read for the swap cache and for disks in memory, the third frees
what the cache has, and the last gives up a device.
Locks: the object's token, which is lost wherever a block is freed.
Deviations:
  * those of `swap_meta`; a request is one to read pages, and each page that has swap is a part of it.
  * of `swp_pager_fault_page` the case of files alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vmsmp.sync.errno import EINVAL, EIO, LK_CANRECURSE, LK_SHARED
from vmsmp.vm.vm_object.hold import vm_object_drop, vm_object_hold
from vmsmp.vm.vm_object.remove import vm_object_page_remove
from vmsmp.vm.vm_page.flags import PAGE_SIZE
from vmsmp.vm.vm_page.lookup import vm_page_lookup
from vmsmp.vm.vm_pager.swap_meta import SWAP_META_PAGES, swap_pager_freespace, swp_pager_meta_ctl
from vmsmp.vm.vnode import vget, vput

if TYPE_CHECKING:
    from vmsmp.vm.vm_object.object import VmObject


def swap_pager_strategy(obj: VmObject, pindex: int) -> dict[int, Any] | None:
    """Read the page at an index of an object from swap; what has no swap is zero.  None if that fails.

    Sleeps: for the object's token, and for the device.
    """
    pager = obj.vm.pager
    vm_object_hold(obj)
    blk = swp_pager_meta_ctl(obj, pindex)
    vm_object_drop(obj)
    if blk is None:
        return {}
    return None if blk in pager.device.bad_blocks else dict(pager.contents[blk])


@dataclass(slots=True)
class Cluster:
    """struct buf of a request of several parts: how many are left, and what is known of the end.

    `failed` is B_ERROR; `b_resid` bytes have not been transferred.
    """

    parts: int
    b_resid: int
    b_error: int = 0
    failed: bool = False


def swap_pager_read(obj: VmObject, start: int, count: int) -> Cluster:
    """Read pages from index `start` on from swap, for a disk in memory; return how that has ended.

    Sleeps: for the object's token, and for the device.
    """
    device = obj.vm.pager.device
    vm_object_hold(obj)
    blks = [swp_pager_meta_ctl(obj, pindex) for pindex in range(start, start + count)]
    vm_object_drop(obj)
    parts = [blk for blk in blks if blk is not None]
    cluster = Cluster(len(parts), len(parts) * PAGE_SIZE)
    for blk in parts:
        swap_chain_iodone(cluster, EIO if device.failing or blk in device.bad_blocks else 0)
    return cluster


def swap_chain_iodone(cluster: Cluster, error: int, resid: int = 0) -> None:
    """End one part of a request, and with the last one the request.

    As in the kernel, a part that has failed marks itself as failed, which it is, and not the request.
    """
    if error:
        cluster.b_error = error
    elif resid:
        cluster.b_error = EINVAL
    else:
        cluster.b_resid -= PAGE_SIZE
    cluster.parts -= 1
    if cluster.parts == 0 and cluster.b_resid and not cluster.failed:
        cluster.failed = True
        cluster.b_error = EINVAL


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
