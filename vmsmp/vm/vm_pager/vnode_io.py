"""The pager of files: a vnode's object, and transfers of its pages.

Models: sys/vm/vnode_pager.c.
Locks: see each function; a caller that writes or reads has the vnode locked.
Deviations:
  * no file system: a transfer is a pause in which the caller's tokens are lost, and fails while the device
    does.
  * there are no buffers, so a write is over when it returns.
  * an object is as large as the file; messages about sizes that differ are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vmsmp.vm.vm_object.allocate import vm_object_allocate_hold
from vmsmp.vm.vm_object.hold import vm_object_drop, vm_object_hold
from vmsmp.vm.vm_object.object import OBJ_DEAD, OBJT_DEAD, OBJT_VNODE, REF
from vmsmp.vm.vm_object.paging import vm_object_pip_wait
from vmsmp.vm.vm_object.reference import vm_object_reference_quick
from vmsmp.vm.vm_page.dirty import vm_page_undirty
from vmsmp.vm.vm_page.flags import PAGE_SIZE, VM_PAGE_BITS_ALL
from vmsmp.vm.vm_pager.result import VM_PAGER_AGAIN, VM_PAGER_BAD, VM_PAGER_ERROR, VM_PAGER_OK
from vmsmp.vm.vm_pager.swap_meta import swap_pager_freespace_all
from vmsmp.vm.vnode import (
    NOOFFSET,
    VOBJBUF,
    VRECLAIMED,
    VTEXT,
    track_ident,
    vclrflags,
    vref,
    vrele,
    vsetflags,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_object.object import VmObject
    from vmsmp.vm.vm_page.page import VmPage
    from vmsmp.vm.vnode import Vnode

#: What makes an index negative once it is cut to an int.
_SIGN: Final = 1 << 31


# -- the vnode's object ---------------------------------------------------------------------------


def vnode_pager_alloc(vp: Vnode, length: int) -> VmObject:
    """Return the vnode's object with another reference; make it if there is none.  `length` is in bytes.

    Locks: the vnode referenced by the caller; takes its token.  Sleeps: for tokens, and for memory.
    """
    vm = vp.vm
    vp.v_token.acquire()
    obj: VmObject | None = vp.hint("v_object")
    if obj is not None:
        vm_object_hold(obj)
        if obj.flags.bits(OBJ_DEAD):
            vm.panic("vnode_pager_alloc: the vnode's object is dead")
    if vp.v_refcnt.load() <= 0:
        vm.panic("vnode_pager_alloc: no vnode reference")
    if obj is None:
        obj = vm_object_allocate_hold(vm, -(-length // PAGE_SIZE), f"{vp.name}.object", OBJT_VNODE)
        obj.publish("handle", vp)
        vp.publish("v_object", obj)
        vp.publish("v_filesize", length)
        vref(vp)
    else:
        vm_object_reference_quick(obj)
    vm_object_drop(obj)
    vp.v_token.release()
    return obj


def vnode_pager_reference(vp: Vnode) -> VmObject | None:
    """Return the vnode's object with another reference, or None if it has none.  Locks: none."""
    obj: VmObject | None = vp.hint("v_object")
    if obj is not None:
        vm_object_reference_quick(obj)
    return obj


def vinitvmio(vp: Vnode, filesize: int) -> None:
    """Give a vnode an object that nobody references.  Sleeps: as `vnode_pager_alloc`."""
    obj: VmObject | None = vp.hint("v_object")
    if obj is not None:
        vm_object_hold(obj)
        if vp.hint("v_object") is not obj or obj.flags.bits(OBJ_DEAD):
            vp.vm.panic("vinitvmio: the vnode's object has changed")
    else:
        obj = vnode_pager_alloc(vp, filesize)
        vm_object_hold(obj)
        obj.ref_count.fetchadd(-1)
        obj.gave(REF)
        vrele(vp)
    vsetflags(vp, VOBJBUF)
    vm_object_drop(obj)


def vnode_pager_dealloc(obj: VmObject) -> None:
    """Detach the object from its vnode.  Locks: the object's token exclusively.  Sleeps: for its activity."""
    vm: VmSystem = obj.vm
    vp: Vnode | None = obj.handle
    if vp is None:
        vm.panic("vnode_pager_dealloc: pager already dealloced")
    vm_object_pip_wait(obj, "vnpdea")
    obj.publish("handle", None)
    obj.publish("type", OBJT_DEAD)
    vp.publish("v_object", None)
    vp.publish("v_filesize", NOOFFSET)
    vclrflags(vp, VTEXT | VOBJBUF)
    swap_pager_freespace_all(obj)


# -- transfers ------------------------------------------------------------------------------------


def vnode_pager_haspage(obj: VmObject, pindex: int) -> bool:
    """Return whether the file has that page.  Locks: none; the answer may be stale."""
    vp: Vnode | None = obj.hint("handle")
    if vp is None or vp.v_flag.load() & VRECLAIMED:
        return False
    filesize: int = vp.hint("v_filesize")
    return pindex * PAGE_SIZE < filesize


def vnode_pager_getpage(obj: VmObject, m: VmPage, _seqaccess: int = -1) -> int:
    """Read a page in.  Locks: the page hard-busied, the object's token.  Sleeps: for the file system."""
    vp: Vnode | None = obj.hint("handle")
    if vp is None:
        return VM_PAGER_BAD
    if m.pindex * PAGE_SIZE >= vp.hint("v_filesize"):
        return VM_PAGER_ERROR
    obj.vm.pause_tokens("VOP_GETPAGES")
    if obj.vm.pager.device.failing:
        return VM_PAGER_ERROR
    obj.vm.memory.write_pieces(m.phys, vp.contents.get(m.raw_pindex, {}))
    m.publish("valid", VM_PAGE_BITS_ALL)
    return VM_PAGER_OK


def vnode_pager_putpages(obj: VmObject, pages: Sequence[VmPage], _flags: int) -> list[int]:
    """Write pages out; return what became of each: VM_PAGER_BAD for those behind the end of the file.

    What could not be written stays dirty, to be tried again; as in the kernel, what a write without an error
    has left out is not told from what it has written.  An index is tested for being negative, as those
    of meta-data once were, and is taken for a number of 32 bits for that.
    Locks: the pages soft-busied, the vnode locked.  Sleeps: for the file system.
    """
    vp: Vnode | None = obj.hint("handle")
    if vp is None:
        return [VM_PAGER_BAD for _ in pages]
    if pages[0].raw_pindex & _SIGN:
        obj.vm.kprintf("vnode_pager_putpages: attempt to write meta-data!!!")
        return [VM_PAGER_BAD, *(VM_PAGER_AGAIN for _ in pages[1:])]
    end = -(-vp.hint("v_filesize") // PAGE_SIZE)
    vp.v_track_write.fetchadd(1)
    obj.vm.pause_tokens("VOP_PUTPAGES")
    failed = obj.vm.pager.device.failing
    if not failed:
        written_out = pages[: obj.vm.pager.device.short]
        if len(written_out) < len(pages):
            obj.vm.kprintf(f"vnode_pager_putpages: residual I/O at {pages[0].raw_pindex}")
        obj.vm.pager.device.transfers += len(written_out)
        for m in written_out:
            vp.contents[m.raw_pindex] = obj.vm.memory.read_pieces(m.phys)
    if vp.v_track_write.fetchadd(-1) == 1:
        obj.vm.machine.wakeup(track_ident(vp))
    inside = [m.pindex < end for m in pages]
    for m, known in zip(pages, inside, strict=True):
        if known and not failed:
            vm_page_undirty(m)
    written = VM_PAGER_AGAIN if failed else VM_PAGER_OK
    return [written if known else VM_PAGER_BAD for known in inside]
