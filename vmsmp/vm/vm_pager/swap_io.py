"""Swap I/O: writing pages out and reading them in, and the completion of a transfer.

Models: swap_pager_putpages, swap_pager_getpage and swp_pager_async_iodone of sys/vm/swap_pager.c.
Locks: writing needs the pages soft-busied and the object's activity raised; both pass to the CPU that
completes the transfer.  Reading needs the page hard-busied, and that busy stays the reader's; the busies of
pages that are read ahead pass to the CPU that completes the transfer.
Deviations:
  * those of `swap_meta`; each write is of one page, and no transfer waits for a buffer.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from vmsmp.engine.clock import HZ
from vmsmp.sync.errno import PINTERLOCKED
from vmsmp.vm.vm_meter.paging import vm_paging_severe
from vmsmp.vm.vm_object.hold import vm_object_drop, vm_object_hold
from vmsmp.vm.vm_object.object import OBJPC_SYNC, OBJPC_TRY_TO_CACHE, OBJT_SWAP
from vmsmp.vm.vm_object.paging import vm_object_pip_add, vm_object_pip_wakeup_n
from vmsmp.vm.vm_page.activity import vm_page_activate, vm_page_deactivate, vm_page_unqueue_nowakeup
from vmsmp.vm.vm_page.alloc import vm_page_alloc
from vmsmp.vm.vm_page.busy import (
    vm_page_busy_wait,
    vm_page_flag_clear,
    vm_page_flag_set,
    vm_page_flash,
    vm_page_io_finish,
    vm_page_wakeup,
)
from vmsmp.vm.vm_page.dirty import vm_page_dirty, vm_page_undirty
from vmsmp.vm.vm_page.flags import (
    PBUSY_SWAPINPROG,
    PBUSY_WANTED,
    PG_RAM,
    PG_REFERENCED,
    PG_SWAPPED,
    VM_ALLOC_QUICK,
    VM_PAGE_BITS_ALL,
)
from vmsmp.vm.vm_page.free import vm_page_try_to_cache
from vmsmp.vm.vm_page.lookup import vm_page_lookup_busy_try
from vmsmp.vm.vm_page.page import HARD
from vmsmp.vm.vm_pager.bio import Bio, started, transfer, vn_strategy
from vmsmp.vm.vm_pager.result import VM_PAGER_ERROR, VM_PAGER_FAIL, VM_PAGER_OK, VM_PAGER_PEND
from vmsmp.vm.vm_pager.swap_meta import (
    swp_pager_getswapblocks,
    swp_pager_meta_build,
    swp_pager_meta_convert,
    swp_pager_meta_ctl,
)
from vmsmp.vm.vm_pager.vnode_lock import vnode_pager_freepage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vmsmp.vm.vm_object.object import VmObject
    from vmsmp.vm.vm_page.page import VmPage

#: The most pages that are given blocks at once.
MAX_PAGEOUT_CLUSTER: Final = 16
#: The most pages of one read, and the bits of a block number that are equal within a stripe.
MAX_BURST: Final = 32
_STRIPE: Final = ~63


# -- writing --------------------------------------------------------------------------------------


def swap_pager_putpages(obj: VmObject, pages: Sequence[VmPage], flags: int) -> list[int]:
    """Begin to write the pages of an object out; return what became of each.

    Adjacent blocks are taken for many pages, or for fewer where there are none; four pages that there are no
    adjacent blocks for are given up.
    Only the pagers return at once: other threads wait for the end, unless vm.swap_user_async is set.
    Locks: the pages soft-busied by the caller, the object's activity raised by their number.
    Sleeps: for the object's token, and for the device.
    """
    vm = obj.vm
    vm_object_hold(obj)
    if pages[0].object is not obj:
        vm.panic("swap_pager_putpages: object mismatch")
    swp_pager_meta_convert(obj)
    pager = vm.engine.current in (vm.pageout.pagethread, vm.pageout.emergpager)
    if not pager and not vm.pager.swap_user_async:
        flags |= OBJPC_SYNC
    rtvals: list[int] = []
    while len(rtvals) < len(pages):
        n = min(len(pages) - len(rtvals), MAX_PAGEOUT_CLUSTER)
        blks = swp_pager_getswapblocks(vm, n)
        while not blks and n > 4:
            n >>= 1
            blks = swp_pager_getswapblocks(vm, n)
        chunk = pages[len(rtvals) : len(rtvals) + n]
        if not blks:
            rtvals += [VM_PAGER_FAIL for _ in chunk]
        else:
            rtvals += [_put(obj, m, blk, flags) for m, blk in zip(chunk, blks, strict=True)]
    vm_object_drop(obj)
    return rtvals


def _put(obj: VmObject, m: VmPage, blk: int, flags: int) -> int:
    """Begin to write one page out, into a new block."""
    swp_pager_meta_build(obj, m.pindex, blk)
    if obj.type == OBJT_SWAP:
        vm_page_dirty(m)
    m.busy_count.setbits(PBUSY_SWAPINPROG)
    contents = obj.vm.memory.read_pieces(m.phys)
    bio = started(obj.vm, Bio([m], write=True, done=swp_pager_async_iodone, blk=blk, contents=contents))
    if flags & OBJPC_SYNC:
        bio.ttc = bool(flags & OBJPC_TRY_TO_CACHE)
        obj.vm.pause_tokens("swwrt")
        transfer(obj.vm, bio)
    else:
        vn_strategy(obj.vm, bio)
    return VM_PAGER_PEND


# -- reading --------------------------------------------------------------------------------------


def swap_pager_getpage(obj: VmObject, m: VmPage, _seqaccess: int = -1) -> int:
    """Read a page in, and with vm.swap_burst_read those behind it; return what became of it.

    A page that is valid is where an earlier read-ahead has ended (PG_RAM): then the pages behind it are read,
    without waiting for them.
    Locks: the page hard-busied by the caller, who has raised the object's activity, too.
    Sleeps: for the object's token, and for the device.
    """
    vm = obj.vm
    vm_object_hold(obj)
    if m.object is not obj:
        vm.panic("swap_pager_getpage: object mismatch")
    mreq: VmPage | None = m
    raonly = m.valid == VM_PAGE_BITS_ALL
    if raonly:
        mreq = _next_ahead(obj, m.pindex + 1)
    if mreq is None:
        vm_object_drop(obj)
        return VM_PAGER_OK
    pages = _burst(obj, mreq)
    if not pages:
        if raonly:
            vnode_pager_freepage(mreq)
        vm_object_drop(obj)
        return VM_PAGER_OK if raonly else VM_PAGER_FAIL
    for page in pages:
        page.busy_count.setbits(PBUSY_SWAPINPROG)
    vm_object_pip_add(obj, len(pages))
    for page in pages:
        page.handed(HARD)
    vn_strategy(vm, Bio(pages, write=False, done=swp_pager_async_iodone, awaited=None if raonly else m))
    if raonly:
        vm_object_drop(obj)
        return VM_PAGER_OK
    while True:
        busy_count = m.busy_count.load()
        if not busy_count & PBUSY_SWAPINPROG:
            break
        vm.machine.tsleep_interlock(m)
        if m.busy_count.cmpset(busy_count, busy_count | PBUSY_SWAPINPROG | PBUSY_WANTED):
            vm_page_flag_set(m, PG_REFERENCED)
            vm.machine.tsleep(m, PINTERLOCKED, "swread", 20 * HZ, overdue=partial(_overdue, m))
    m.taken_over(HARD)
    vm_object_drop(obj)
    return VM_PAGER_OK if m.valid == VM_PAGE_BITS_ALL else VM_PAGER_ERROR


def _next_ahead(obj: VmObject, pindex: int) -> VmPage | None:
    """Return the next page to read ahead behind a resident one; None if there is none, or not at once."""
    wanted = obj.vm.pager.swap_burst_read and pindex < obj.size
    if not wanted or swp_pager_meta_ctl(obj, pindex) is None:
        return None
    return _page_ahead(obj, pindex)


def _page_ahead(obj: VmObject, pindex: int) -> VmPage | None:
    """Return the page at an index, invalid and hard-busied; allocate it if it is missing.

    None if it is valid or busy, or memory is short.
    """
    m, busy = vm_page_lookup_busy_try(obj, pindex, True)
    if m is None:
        return vm_page_alloc(obj.vm, obj, pindex, VM_ALLOC_QUICK)
    if busy:
        return None
    if m.valid:
        vm_page_wakeup(m)
        return None
    vm_page_unqueue_nowakeup(m)
    return m


def _burst(obj: VmObject, mreq: VmPage) -> list[VmPage]:
    """Return the page and those behind it that can be read in the same transfer; none if it has no swap.

    Their blocks are adjacent, and in one stripe.  The last of several is marked (PG_RAM).
    """
    pindex = mreq.pindex
    blk = swp_pager_meta_ctl(obj, pindex)
    if blk is None:
        return []
    marray = [mreq]
    for i in range(1, min(obj.vm.pager.swap_burst_read + 1, MAX_BURST)):
        if (
            pindex + i >= obj.size
            or swp_pager_meta_ctl(obj, pindex + i) != blk + i
            or (blk ^ blk + i) & _STRIPE
        ):
            break
        m = _page_ahead(obj, pindex + i)
        if m is None:
            break
        marray.append(m)
    if len(marray) > 1:
        vm_page_flag_set(marray[-1], PG_RAM)
    return marray


def _overdue(m: VmPage) -> str | None:
    """Return why a wait should be over, or None if it should not."""
    if m.peek("busy_count") & PBUSY_SWAPINPROG:
        return None
    return "the page has been read, and nobody will wake the waiter"


# -- completion -----------------------------------------------------------------------------------


def swp_pager_async_iodone(bio: Bio) -> None:
    """Finish a transfer.

    Locks: none held; takes over the soft busies.  Sleeps: while a page is hard-busied.
    """
    obj = bio.pages[0].hint("object")
    for m in bio.pages:
        if bio.write:
            _written(m, bio)
        else:
            _read(m, bio)
    vm_object_pip_wakeup_n(obj, len(bio.pages))


def _read(m: VmPage, bio: Bio) -> None:
    """Set the page's bits and wake its reader, who has it hard-busied; drop the busy of a page read ahead."""
    m.taken_over(HARD)
    if bio.error:
        m.publish("valid", 0)
    else:
        blk = m.raw_object.peek("swblock_root")[m.raw_pindex]
        m.vm.memory.write_pieces(m.phys, m.vm.pager.contents[blk])
        m.publish("valid", VM_PAGE_BITS_ALL)
        vm_page_undirty(m)
        vm_page_flag_set(m, PG_SWAPPED)
    if m is bio.awaited:
        m.handed(HARD)
    m.busy_count.clearbits(PBUSY_SWAPINPROG)
    if m is bio.awaited:
        vm_page_flash(m)
    else:
        vm_page_deactivate(m)
        vm_page_wakeup(m)


def _written(m: VmPage, bio: Bio) -> None:
    """Mark the page clean, or dirty again after an error; drop its soft busy.

    A block that could not be written is free again, and the first one that is taken next.
    """
    vm_page_busy_wait(m, False, "swadpg")
    if bio.error:
        obj = m.object
        vm_object_hold(obj)
        swp_pager_meta_ctl(obj, m.pindex, free=True)
        vm_page_flag_clear(m, PG_SWAPPED)
        vm_object_drop(obj)
        if obj.type == OBJT_SWAP:
            vm_page_dirty(m)
            vm_page_activate(m)
        vm_page_io_finish(m)
        m.busy_count.clearbits(PBUSY_SWAPINPROG)
        vm_page_wakeup(m)
        return
    if m.object.type == OBJT_SWAP:
        vm_page_undirty(m)
    vm_page_flag_set(m, PG_SWAPPED)
    m.busy_count.clearbits(PBUSY_SWAPINPROG)
    if vm_paging_severe(m.vm):
        vm_page_deactivate(m)
    vm_page_io_finish(m)
    if bio.ttc:
        vm_page_try_to_cache(m)
    else:
        vm_page_wakeup(m)
