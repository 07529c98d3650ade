"""Which pages of an object have swap, and freeing it.

Models: the metadata and the external operations of sys/vm/swap_pager.c.
Locks: the object's token for `swblock_root`, exclusively to change it; vm_token for the blocks.
Deviations:
  * a block of metadata describes one page, so `swblock_count` counts pages.
  * blocks are numbers, each taken alone; swap has no devices, bitmaps, watermarks or counters of its users.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.vm_object.hold import ASSERT_OBJECT_HELD, vm_object_drop, vm_object_hold
from vmsmp.vm.vm_object.object import OBJT_DEFAULT, OBJT_SWAP
from vmsmp.vm.vm_object.paging import vm_object_pip_wait
from vmsmp.vm.vm_page.busy import vm_page_flag_clear, vm_page_flag_set
from vmsmp.vm.vm_page.flags import PG_SWAPPED

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_object.object import VmObject
    from vmsmp.vm.vm_page.page import VmPage


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


# -- external operations --------------------------------------------------------------------------


def swap_pager_freespace(obj: VmObject, start: int, size: int) -> None:
    """Free the blocks of `size` pages from `start` on.  Sleeps: for tokens."""
    if obj.hint("swblock_count") == 0:
        return
    vm_object_hold(obj)
    for pindex in sorted(n for n in obj.swblock_root if start <= n < start + size):
        swp_pager_meta_ctl(obj, pindex, free=True)
    vm_object_drop(obj)


def swap_pager_freespace_all(obj: VmObject) -> None:
    """Free all blocks of an object.  Sleeps: for tokens."""
    if obj.hint("swblock_count") == 0:
        return
    vm_object_hold(obj)
    while obj.swblock_root:
        swp_pager_meta_ctl(obj, min(obj.swblock_root), free=True)
    vm_object_drop(obj)


def swap_pager_dealloc(obj: VmObject) -> None:
    """Free all blocks of an object that is terminated.  Sleeps: for its activity, too."""
    vm_object_hold(obj)
    vm_object_pip_wait(obj, "swpdea")
    while obj.swblock_root:
        swp_pager_meta_ctl(obj, min(obj.swblock_root), free=True)
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

    Locks: the page hard-busied.  Sleeps: for tokens.
    """
    if m.flags.bits(PG_SWAPPED):
        obj = m.object
        vm_object_hold(obj)
        swp_pager_meta_ctl(obj, m.pindex, free=True)
        vm_page_flag_clear(m, PG_SWAPPED)
        vm_object_drop(obj)
