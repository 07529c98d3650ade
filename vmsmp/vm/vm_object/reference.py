"""References to an object.

Models: the vm_object_reference family of sys/vm/vm_object.c.
Locks: see each function.  Every reference to the object of a vnode is one to the vnode, too.
Deviations: none known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.vm_object.hold import ASSERT_OBJECT_HELD
from vmsmp.vm.vm_object.object import OBJT_VNODE, REF
from vmsmp.vm.vnode import vref

if TYPE_CHECKING:
    from vmsmp.vm.vm_object.object import VmObject


def vm_object_reference_locked(obj: VmObject) -> None:
    """Add a reference.  Locks: the object's token, any mode."""
    ASSERT_OBJECT_HELD(obj)
    obj.ref_count.fetchadd(1)
    obj.took(REF)
    if obj.type == OBJT_VNODE:
        _vref(obj)


def vm_object_reference_quick(obj: VmObject) -> None:
    """Add a reference to an object that the caller already references, or that a vnode has.

    Locks: none.
    """
    if obj.hint("type") != OBJT_VNODE and obj.ref_count.load() <= 0:
        obj.vm.panic("vm_object_reference_quick: object without references")
    obj.ref_count.fetchadd(1)
    obj.took(REF)
    if obj.hint("type") == OBJT_VNODE:
        _vref(obj)


def _vref(obj: VmObject) -> None:
    """Reference the object's vnode; panic, as the kernel faults, if the object has just lost it."""
    vp = obj.hint("handle")
    if vp is None:
        obj.vm.panic("vref: page fault: the object has lost its vnode")
    vref(vp)
