"""Buffers: a page of a file, or a part of one, that is read, stored to, and written by system calls.

Models: getblk with allocbuf, bread, bwrite, bdwrite, brelse with vfs_vmio_release, vfs_busy_pages,
vfs_clean_one_page, vn_cache_strategy and bpdone of sys/kern/vfs_bio.c.
A buffer wires its page.  While it is transferred the page is soft-busied, as pages are that others write;
that does not keep a buffer from being made of it.  What is in swap is read from there.
Locks: the vnode's lock, in any mode, by the caller.
Deviations:
  * a buffer is of one page, which it lets go at the end; nobody else finds it.
  * only reads from swap fail, and a write does not wait for others to be over; a page for a buffer is not
    taken from what is reserved for the system.
  * where a buffer's part of a page is marked clean, what processes have stored there is not looked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vmsmp.engine.clock import HZ
from vmsmp.vm.vm_map.flags import VM_PROT_NONE, VM_PROT_READ
from vmsmp.vm.vm_object.hold import vm_object_drop, vm_object_hold
from vmsmp.vm.vm_object.paging import vm_object_pip_add, vm_object_pip_wakeup
from vmsmp.vm.vm_page.alloc import vm_page_alloc
from vmsmp.vm.vm_page.busy import (
    vm_page_busy_try,
    vm_page_busy_wait,
    vm_page_io_finish,
    vm_page_io_start,
    vm_page_sleep_busy,
    vm_page_wakeup,
)
from vmsmp.vm.vm_page.flags import (
    DEV_BSIZE,
    PAGE_SIZE,
    PG_SWAPPED,
    VM_ALLOC_NORMAL,
    VM_ALLOC_NULL_OK,
    VM_PAGE_BITS_ALL,
)
from vmsmp.vm.vm_page.holding import vm_page_unwire, vm_page_wire
from vmsmp.vm.vm_page.lookup import vm_page_lookup, vm_page_lookup_busy_try
from vmsmp.vm.vm_page.protect import vm_page_protect
from vmsmp.vm.vm_page.validity import vm_page_bits, vm_page_set_invalid, vm_page_set_validclean
from vmsmp.vm.vm_page.wait import vm_wait
from vmsmp.vm.vm_pager.swap_meta import swap_pager_unswapped
from vmsmp.vm.vm_pager.swap_strategy import swap_pager_strategy

if TYPE_CHECKING:
    from vmsmp.vm.vm_object.object import VmObject
    from vmsmp.vm.vm_page.page import VmPage
    from vmsmp.vm.vnode import Vnode


@dataclass(slots=True, eq=False)
class Buf:
    """struct buf: `size` bytes of a page of a file from `base` on.

    `cached` (B_CACHE) if all of them were valid; `failed` (B_ERROR) if they could not be read.
    """

    vp: Vnode
    page: VmPage
    cached: bool
    base: int
    size: int
    failed: bool = False

    @property
    def pieces(self) -> range:
        """The pieces of the page's contents that are the buffer's."""
        return range(self.base // DEV_BSIZE, (self.base + self.size) // DEV_BSIZE)


def getblk(vp: Vnode, pindex: int, base: int = 0, size: int = PAGE_SIZE) -> Buf:
    """Return a buffer of a page of a file, which may be invalid.  Sleeps: while it is hard-busied."""
    bits = vm_page_bits(base, size)
    obj: VmObject = vp.hint("v_object")
    vm_object_hold(obj)
    while True:
        m, busy = vm_page_lookup_busy_try(obj, pindex, False)
        if m is not None and not busy:
            break
        if m is not None:
            vm_page_sleep_busy(m, False, "pgtblk")
            continue
        m = vm_page_alloc(obj.vm, obj, pindex, VM_ALLOC_NORMAL | VM_ALLOC_NULL_OK)
        if m is not None:
            break
        if vm_page_lookup(obj, pindex) is None:
            vm_wait(obj.vm, HZ // 20 + 1)
    cached = m.valid & bits == bits
    vm_page_wire(m)
    vm_page_wakeup(m)
    vm_object_drop(obj)
    return Buf(vp, m, cached, base, size)


def bread(vp: Vnode, pindex: int, base: int = 0, size: int = PAGE_SIZE) -> Buf:
    """Return a buffer of a page of a file, with its contents.  Sleeps: yes."""
    bp = getblk(vp, pindex, base, size)
    if not bp.cached:
        bogus = vfs_busy_pages(bp, write=False)
        contents = _read(bp)
        bp.failed = contents is None
        if contents is not None and not bogus:
            _transfer(bp, contents)
        bpdone(bp, read=not bogus and not bp.failed)
    return bp


def _transfer(bp: Buf, contents: dict[int, Any]) -> None:
    """Write what was read to the page, as a device does."""
    memory = bp.vp.vm.memory
    if bp.size == PAGE_SIZE:
        memory.write_pieces(bp.page.phys, contents)
        return
    for piece in bp.pieces:
        memory.store(bp.page.phys, piece * DEV_BSIZE, contents.get(piece, 0))


def bwrite(bp: Buf) -> None:
    """Write a buffer to its file.  Sleeps: yes."""
    vfs_busy_pages(bp, write=True)
    contents = bp.vp.vm.memory.read_pieces(bp.page.phys)
    written = {piece: contents[piece] for piece in bp.pieces if piece in contents}
    bp.vp.contents.setdefault(bp.page.raw_pindex, {}).update(written)
    bpdone(bp, read=False)


def bdwrite(bp: Buf) -> None:
    """Note that a buffer is to be written later: its part of the page is valid and clean.

    As in the kernel, the page is not busied for that.
    """
    vfs_clean_one_page(bp)


def brelse(bp: Buf, *, nocache: bool = False) -> None:
    """Let a buffer and its page go; with `nocache`, or if it has failed, what is in it is not used any more.

    As in the kernel, the page is not busied where it is made invalid.
    Sleeps: while the page is hard-busied.
    """
    if nocache or bp.failed:
        vm_page_set_invalid(bp.page, bp.base, bp.size)
        swap_pager_unswapped(bp.page)
    vm_page_busy_wait(bp.page, False, "vmiopg")
    vm_page_unwire(bp.page, False)
    vm_page_wakeup(bp.page)


def vfs_busy_pages(bp: Buf, *, write: bool) -> bool:
    """Begin a transfer; return whether what is read is not to reach the page, since that is valid by now.

    What is written replaces what is in swap.  Sleeps: while the page is hard-busied.
    """
    m = bp.page
    while vm_page_busy_try(m, False):
        vm_page_sleep_busy(m, False, "vbpage")
    vm_object_pip_add(m.object, 1)
    vm_page_io_start(m)
    bogus = False
    if write:
        vm_page_protect(m, VM_PROT_READ)
        vfs_clean_one_page(bp)
        swap_pager_unswapped(m)
    elif m.valid == VM_PAGE_BITS_ALL:
        bogus = True
    else:
        vm_page_protect(m, VM_PROT_NONE)
    vm_page_wakeup(m)
    return bogus


def vfs_clean_one_page(bp: Buf) -> None:
    """Mark the buffer's part of the page valid and clean.  Locks: the page hard-busied, if it is busied."""
    vm_page_set_validclean(bp.page, bp.base, bp.size)


def vn_cache_strategy(bp: Buf) -> bool:
    """Return whether the buffer, if of a whole page, is to be read from swap: its page says it is there."""
    m = bp.page
    enabled = bp.vp.vm.pager.vm_swapcache_read_enable and bp.size == PAGE_SIZE
    return bool(enabled) and bool(m.flags.bits(PG_SWAPPED))


def _read(bp: Buf) -> dict[int, Any] | None:
    """Read the page from swap, or from the file; None if that fails.

    As in the kernel, what cannot be read from swap is not read from the file instead.
    """
    if vn_cache_strategy(bp):
        return swap_pager_strategy(bp.vp.hint("v_object"), bp.page.raw_pindex)
    return bp.vp.contents.get(bp.page.raw_pindex, {})


def bpdone(bp: Buf, *, read: bool) -> None:
    """End a transfer; with `read`, the page is valid now.  Sleeps: while the page is hard-busied."""
    m = bp.page
    obj = m.raw_object
    vm_object_hold(obj)
    vm_page_busy_wait(m, False, "bpdpgw")
    if read:
        vfs_clean_one_page(bp)
    vm_page_io_finish(m)
    vm_page_wakeup(m)
    vm_object_pip_wakeup(obj)
    vm_object_drop(obj)
