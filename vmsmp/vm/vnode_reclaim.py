"""Reclaiming a vnode: terminating its object, or separating the two.

Models: vclean_vxlocked of sys/kern/vfs_subr.c.
Locks: the vnode's lock exclusively, by the caller; takes the token of the object.
Deviations:
  * no file system, names or buffers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.vfs_subr import V_SAVE, vinvalbuf
from vmsmp.vm.vm_object.hold import vm_object_drop, vm_object_hold
from vmsmp.vm.vm_object.object import OBJ_DEAD
from vmsmp.vm.vm_object.terminate import vm_object_terminate
from vmsmp.vm.vm_pager.table import vm_pager_deallocate
from vmsmp.vm.vnode import (
    VINACTIVE,
    VOBJBUF,
    VOBJDIRTY,
    VRECLAIMED,
    vclrflags,
    vclrobjdirty,
    vsetflags,
)

if TYPE_CHECKING:
    from vmsmp.vm.vm_object.object import VmObject
    from vmsmp.vm.vnode import Vnode


def vclean_vxlocked(vp: Vnode) -> None:
    """Reclaim a vnode: terminate its object, or separate the two if the object has references.

    Locks: the vnode's lock exclusively, by the caller.  Sleeps: yes.
    """
    if vp.v_flag.load() & VRECLAIMED:
        return
    vsetflags(vp, VRECLAIMED)
    vinvalbuf(vp, V_SAVE)
    if not vp.v_flag.load() & VINACTIVE:
        vsetflags(vp, VINACTIVE)
        vinvalbuf(vp, V_SAVE)
    obj = _hold_object(vp)
    if obj is not None:
        if obj.ref_count.load() == 0:
            if not obj.flags.bits(OBJ_DEAD):
                vm_object_terminate(obj)
        else:
            vm_pager_deallocate(obj)
        vclrflags(vp, VOBJBUF)
        vm_object_drop(obj)
    if vp.v_flag.load() & VOBJDIRTY:
        vclrobjdirty(vp)


def _hold_object(vp: Vnode) -> VmObject | None:
    """Return the vnode's object, held, or None if it has none.  Sleeps: for the object's token."""
    while True:
        obj: VmObject | None = vp.hint("v_object")
        if obj is None:
            return None
        vm_object_hold(obj)
        again: VmObject | None = vp.hint("v_object")
        if again is obj:
            return obj
        vm_object_drop(obj)
