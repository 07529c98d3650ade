"""Changing an object's flags.

Models: vm_object_set_flag and vm_object_clear_flag of sys/vm/vm_object.h, vm_object_set_writeable_dirty of
sys/vm/vm_object.c.
Locks: none; each change is one atomic operation.
Deviations: none known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.vm_object.object import OBJ_MIGHTBEDIRTY, OBJ_WRITEABLE, OBJT_VNODE
from vmsmp.vm.vnode import VOBJDIRTY, vsetflags, vsetobjdirty

if TYPE_CHECKING:
    from vmsmp.vm.vm_object.object import VmObject


def vm_object_set_flag(obj: VmObject, bits: int) -> None:
    """Set flags."""
    obj.flags.setbits(bits)


def vm_object_clear_flag(obj: VmObject, bits: int) -> None:
    """Clear flags."""
    obj.flags.clearbits(bits)


def vm_object_set_writeable_dirty(obj: VmObject) -> None:
    """Mark the object as having writeable or dirty pages, and its vnode, if it has one.

    Locks: none; a busied page keeps the object and its vnode.  Nothing is stored if the marks are set.
    """
    both = OBJ_WRITEABLE | OBJ_MIGHTBEDIRTY
    if obj.flags.load() & both != both:
        vm_object_set_flag(obj, both)
    if obj.hint("type") == OBJT_VNODE:
        vp = obj.hint("handle")
        if vp is not None and not vp.v_flag.load() & VOBJDIRTY:
            if vp.mnt_thr_sync:
                vsetobjdirty(vp)
            else:
                vsetflags(vp, VOBJDIRTY)
