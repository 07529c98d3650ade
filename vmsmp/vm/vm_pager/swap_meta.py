"""Which pages of an object have swap, and freeing it.

Models: the metadata and the external operations of sys/vm/swap_pager.c.
Locks: the object's token for `swblock_root`, exclusively to change it; vm_token for the blocks.
Deviations:
  * a block of metadata describes one page, so `swblock_count` counts pages; that those of SWAP_META_PAGES
    pages are one is told where it matters: in what frees them.
  * blocks are numbers; swap has no devices, bitmap, watermarks or counters of its users.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Final

from vmsmp.vm.vm_object.hold import ASSERT_OBJECT_HELD, vm_object_drop, vm_object_hold
from vmsmp.vm.vm_object.object import OBJT_DEFAULT, OBJT_SWAP
from vmsmp.vm.vm_object.paging import vm_object_pip_wait
from vmsmp.vm.vm_page.busy import vm_page_flag_clear, vm_page_flag_set
from vmsmp.vm.vm_page.flags import PG_SWAPPED

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_object.object import VmObject
    from vmsmp.vm.vm_page.page import VmPage

#: The most blocks that are taken at once, and the most pages that are written at once.
BLIST_MAX_ALLOC: Final = 64
#: The pages that share a block of metadata.
SWAP_META_PAGES: Final = 32


# -- blocks ---------------------------------------------------------------------------------------


def swp_pager_getswapspace(vm: VmSystem) -> int | None:
    """Return a free block, or None.  Locks: takes vm_token.  Sleeps: for it."""
    vm.pageout.vm_token.acquire()
    pager = vm.pager
    blk = None
    if pager.vm_swap_size:
        pager.vm_swap_size -= 1
        used = pager.vm_swap_max - pager.vm_swap_size - 1
        blk = pager.free_blocks.pop() if pager.free_blocks else used
    vm.pageout.vm_token.release()
    return blk


def swp_pager_getswapblocks(vm: VmSystem, npages: int) -> list[int]:
    """Return that many adjacent free blocks of one leaf of the bitmap, or none.

    Locks: takes vm_token.  Sleeps: for it.
    """
    if npages == 1:
        blk = swp_pager_getswapspace(vm)
        return [] if blk is None else [blk]
    vm.pageout.vm_token.acquire()
    pager = vm.pager
    unused = pager.vm_swap_max - pager.vm_swap_size + len(pager.free_blocks)
    blks = _run(pager.free_blocks, range(unused, pager.vm_swap_max), npages)
    if blks:
        pager.vm_swap_size -= npages
        passed = range(unused, max(unused, blks[-1] + 1))
        pager.free_blocks = [blk for blk in (*pager.free_blocks, *passed) if blk not in blks]
    vm.pageout.vm_token.release()
    return blks


def _run(freed: list[int], unused: range, npages: int) -> list[int]:
    """The lowest run of blocks, freed ones or those never used, that is within a leaf; or none."""
    again = set(freed)
    for blk in chain(sorted(again), unused):
        blks = [*range(blk, blk + npages)]
        if blk // BLIST_MAX_ALLOC == blks[-1] // BLIST_MAX_ALLOC and all(
            one in again or one in unused for one in blks
        ):
            return blks
    return []


def swp_pager_freeswapspace(vm: VmSystem, blk: int) -> None:
    """Free a block.  Locks: takes vm_token.  Sleeps: for it."""
    vm.pageout.vm_token.acquire()
    vm.pager.free_blocks.append(blk)
    vm.pager.vm_swap_size += 1
    vm.pageout.vm_token.release()


# -- metadata -------------------------------------------------------------------------------------


def swp_pager_meta_convert(obj: VmObject) -> None:
    """Turn an object of type OBJT_DEFAULT into OBJT_SWAP.  Locks: the object's token exclusively."""
    if obj.type == OBJT_DEFAULT:
        obj.publish("type", OBJT_SWAP)


def swp_pager_meta_build(obj: VmObject, pindex: int, blk: int) -> None:
    """Record that the page's contents are in that block, and free its old block.

    Locks: the object's token exclusively; it may be lost while the old block is freed.
    """
    swp_pager_meta_convert(obj)
    while pindex in obj.swblock_root:
        swp_pager_meta_ctl(obj, pindex, free=True)
    obj.changing("swblock_root")[pindex] = blk
    obj.publish("swblock_count", obj.swblock_count + 1)


def swp_pager_meta_ctl(obj: VmObject, pindex: int, *, free: bool = False) -> int | None:
    """Return the page's block, or None if it has none; with `free`, free it and return None."""
    ASSERT_OBJECT_HELD(obj)
    blk = obj.swblock_root.get(pindex)
    if blk is None or not free:
        return blk
    del obj.changing("swblock_root")[pindex]
    obj.publish("swblock_count", obj.swblock_count - 1)
    swp_pager_freeswapspace(obj.vm, blk)
    return None


def swp_pager_meta_free(obj: VmObject, pindex: int, count: int) -> None:
    """Free the blocks of `count` pages from `pindex` on.

    A page whose block is being freed is counted until it is free, so that its block of metadata stays.
    Locks: the object's token.  Sleeps: for tokens.
    """
    for at in sorted(n for n in obj.swblock_root if pindex <= n < pindex + count):
        if at in obj.swblock_root:
            obj.swb_freeing.append(at // SWAP_META_PAGES)
            swp_pager_meta_ctl(obj, at, free=True)
            obj.swb_freeing.remove(at // SWAP_META_PAGES)


def swp_pager_meta_free_all(obj: VmObject) -> None:
    """Free all blocks of an object, a block of metadata at a time; panic if somebody is freeing one of them.

    Locks: the object's token.  Sleeps: for tokens.
    """
    while obj.swblock_root:
        at = min(obj.swblock_root)
        if at // SWAP_META_PAGES in obj.swb_freeing:
            obj.vm.panic("swap_pager_meta_free_all: swb_count != 0")
        swp_pager_meta_ctl(obj, at, free=True)


# -- external operations --------------------------------------------------------------------------


def swap_pager_freespace(obj: VmObject, start: int, size: int) -> None:
    """Free the blocks of `size` pages from `start` on.  Sleeps: for tokens."""
    if obj.hint("swblock_count") == 0:
        return
    vm_object_hold(obj)
    swp_pager_meta_free(obj, start, size)
    vm_object_drop(obj)


def swap_pager_reserve(obj: VmObject, start: int, size: int) -> bool:
    """Give `size` pages from `start` on a block each; return False, with none, if there are not enough.

    Blocks are taken many at a time.  As in the kernel, those of the last ones that are left are not given
    back; instead, as many pages behind the range lose theirs.
    Sleeps: for tokens.
    """
    vm = obj.vm
    vm_object_hold(obj)
    blks: list[int] = []
    for pindex in range(start, start + size):
        n = BLIST_MAX_ALLOC
        while not blks:
            blks = swp_pager_getswapblocks(vm, n)
            n >>= 1
            if not blks and n == 0:
                swp_pager_meta_free(obj, start, pindex - start)
                vm_object_drop(obj)
                return False
        swp_pager_meta_build(obj, pindex, blks.pop(0))
    swp_pager_meta_free(obj, start + size, len(blks))
    vm_object_drop(obj)
    return True


def swap_pager_freespace_all(obj: VmObject) -> None:
    """Free all blocks of an object.  Sleeps: for tokens."""
    if obj.hint("swblock_count") == 0:
        return
    vm_object_hold(obj)
    swp_pager_meta_free_all(obj)
    vm_object_drop(obj)


def swap_pager_dealloc(obj: VmObject) -> None:
    """Free all blocks of an object that is terminated.  Sleeps: for its activity, too."""
    vm_object_hold(obj)
    vm_object_pip_wait(obj, "swpdea")
    swp_pager_meta_free_all(obj)
    vm_object_drop(obj)


def swap_pager_haspage(obj: VmObject, pindex: int) -> bool:
    """Return whether the page has a block.  Sleeps: for the object's token."""
    vm_object_hold(obj)
    found = pindex in obj.swblock_root
    vm_object_drop(obj)
    return found


def swap_pager_haspage_locked(obj: VmObject, pindex: int) -> bool:
    """Return whether the page has a block.  Locks: the object's token, in any mode."""
    return pindex in obj.swblock_root


def swap_pager_page_inserted(m: VmPage) -> None:
    """Set PG_SWAPPED if the page that was just inserted has a block.

    Locks: the page hard-busied, its object's token exclusively.
    """
    obj = m.object
    if obj.hint("swblock_count"):
        vm_object_hold(obj)
        if m.pindex in obj.swblock_root:
            vm_page_flag_set(m, PG_SWAPPED)
        vm_object_drop(obj)


def swap_pager_unswapped(m: VmPage) -> None:
    """Free the page's block, since the page is newer.

    Locks: the page hard-busied, so that nobody else does.  Sleeps: for tokens.
    """
    if m.flags.bits(PG_SWAPPED):
        obj = m.object
        vm_object_hold(obj)
        if not m.peek("flags") & PG_SWAPPED:
            obj.vm.panic("swap_pager_unswapped: PG_SWAPPED is no longer set")
        swp_pager_meta_ctl(obj, m.pindex, free=True)
        vm_page_flag_clear(m, PG_SWAPPED)
        vm_object_drop(obj)
