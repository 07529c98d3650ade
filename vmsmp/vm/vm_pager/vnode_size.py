"""A file becomes longer or shorter, and so does its object.

Models: vnode_pager_setsize and nvnode_pager_setsize of sys/vm/vnode_pager.c.
The size of the object changes first, so that a fault behind it is refused; then the pages behind the new end
go, and what is behind the end in the last page is made zero.
Locks: the vnode's lock exclusively, by the caller; takes the object's token, which is lost while a page is
busy.
Deviations:
  * what is made zero in the last page begins with a whole block.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.pmap.contents import pmap_zero_page_area
from vmsmp.vm.vm_map.flags import PAGE_MASK, PAGE_SHIFT, VM_PROT_NONE
from vmsmp.vm.vm_object.hold import vm_object_drop, vm_object_hold
from vmsmp.vm.vm_object.remove import vm_object_page_remove
from vmsmp.vm.vm_page.busy import vm_page_wakeup
from vmsmp.vm.vm_page.flags import DEV_BSIZE, PAGE_SIZE, VM_PAGE_BITS_ALL
from vmsmp.vm.vm_page.lookup import vm_page_lookup_busy_wait
from vmsmp.vm.vm_page.protect import vm_page_protect
from vmsmp.vm.vm_page.validity import vm_page_clear_dirty_beg_nonincl

if TYPE_CHECKING:
    from vmsmp.vm.vm_object.object import VmObject
    from vmsmp.vm.vm_page.page import VmPage
    from vmsmp.vm.vnode import Vnode


def vnode_pager_setsize(vp: Vnode, nsize: int) -> None:
    """Give the file `nsize` bytes.  Locks: the vnode exclusively.  Sleeps: while pages are busy."""
    obj: VmObject | None = vp.hint("v_object")
    if obj is None:
        return
    vm_object_hold(obj)
    if vp.hint("v_object") is not obj:
        vp.vm.panic("vnode_pager_setsize: the vnode's object has changed")
    filesize: int = vp.hint("v_filesize")
    if nsize != filesize:
        nobjsize, oobjsize = nsize + PAGE_MASK >> PAGE_SHIFT, obj.size
        obj.publish("size", nobjsize)
        vp.publish("v_filesize", nsize)
        if nsize < filesize:
            if nobjsize < oobjsize:
                vm_object_page_remove(obj, nobjsize, oobjsize, clean_only=False)
            if nsize & PAGE_MASK:
                _cut_last_page(obj, nsize)
    vm_object_drop(obj)


def nvnode_pager_setsize(vp: Vnode, length: int, blksize: int) -> None:
    """Give a file of buffers `length` bytes; its object has all of the last buffer.

    The pages of the last buffer that are behind the end stay, with what is in them, and are not mapped.
    Locks: the vnode exclusively.  Sleeps: while pages are busy.
    """
    obj: VmObject | None = vp.hint("v_object")
    if obj is None:
        return
    vm_object_hold(obj)
    if vp.hint("v_object") is not obj:
        vp.vm.panic("nvnode_pager_setsize: the vnode's object has changed")
    filesize: int = vp.hint("v_filesize")
    if length != filesize:
        nobjsize, oobjsize = -(-length // blksize) * blksize + PAGE_MASK >> PAGE_SHIFT, obj.size
        obj.publish("size", nobjsize)
        vp.publish("v_filesize", length)
        if length < filesize:
            if nobjsize < oobjsize:
                vm_object_page_remove(obj, nobjsize, oobjsize, clean_only=False)
            for pindex in range(length + PAGE_MASK >> PAGE_SHIFT, nobjsize):
                _unmap(obj, pindex)
    vm_object_drop(obj)


def _unmap(obj: VmObject, pindex: int) -> None:
    """Forget the mappings of a page.  Locks: the object's token.  Sleeps: while it is busy, and then."""
    m: VmPage | None = vm_page_lookup_busy_wait(obj, pindex, False, "vmpg")
    if m is not None:
        vm_page_protect(m, VM_PROT_NONE)
        vm_page_wakeup(m)
    obj.vm.pause_tokens("lwkt_yield")


def _cut_last_page(obj: VmObject, nsize: int) -> None:
    """Make zero what is behind the end in the last page, and forget its mappings.

    It is all dirty if something before the end is.  Locks: the object's token.  Sleeps: while it is busy.
    """
    m: VmPage | None = vm_page_lookup_busy_wait(obj, nsize >> PAGE_SHIFT, True, "vsetsz")
    if m is None:
        return
    if m.valid:
        base = nsize & PAGE_MASK
        block = -(-base // DEV_BSIZE) * DEV_BSIZE
        pmap_zero_page_area(obj.vm, m.phys, block, PAGE_SIZE - block)
        vm_page_protect(m, VM_PROT_NONE)
        vm_page_clear_dirty_beg_nonincl(m, base, PAGE_SIZE - base)
        if m.hint("dirty"):
            m.publish("dirty", VM_PAGE_BITS_ALL)
    vm_page_wakeup(m)
