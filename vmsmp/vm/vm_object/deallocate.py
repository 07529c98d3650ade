"""Dropping references to an object; the last one terminates it, unless it is a vnode's.

Models: vm_object_deallocate, vm_object_deallocate_locked and vm_object_vndeallocate of sys/vm/vm_object.c.
Locks: none while enough references are left, else the object's token exclusively.  A vnode's reference is
dropped after the object's; its object without references stays until the vnode is reclaimed.
Deviations: none known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.vm_object.hold import (
    ASSERT_OBJECT_HELD,
    ASSERT_OBJECT_HELD_EXCL,
    vm_object_drop,
    vm_object_hold,
    vm_object_upgrade,
)
from vmsmp.vm.vm_object.object import OBJ_DEAD, OBJT_VNODE, REF
from vmsmp.vm.vm_object.terminate import vm_object_terminate
from vmsmp.vm.vnode import VTEXT, vclrflags, vrele

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_object.object import VmObject
    from vmsmp.vm.vnode import Vnode


def vm_object_deallocate(obj: VmObject | None) -> None:
    """Drop a reference, if there is an object; the last one terminates it.

    Locks: none while there are more than three references, else takes the token exclusively.  Sleeps: yes.
    """
    if obj is None:
        return
    count = obj.ref_count.load()
    while True:
        if count <= 3:
            vm_object_hold(obj)
            vm_object_deallocate_locked(obj)
            vm_object_drop(obj)
            return
        if obj.hint("type") == OBJT_VNODE:
            vp = obj.hint("handle")
            dropped, count = obj.ref_count.fcmpset(count, count - 1)
            if dropped:
                obj.gave(REF)
                if vp is None:
                    obj.vm.panic("vrele: page fault: the object has lost its vnode")
                vrele(vp)
                return
        else:
            dropped, count = obj.ref_count.fcmpset(count, count - 1)
            if dropped:
                obj.gave(REF)
                return


def vm_object_deallocate_locked(obj: VmObject | None) -> None:
    """Drop a reference under the token, if there is an object; the last one terminates it.

    Each test of the count and its decrement are separate steps: references may come and go without the
    token while there are others.
    Locks: the token exclusively, of a vnode's object in any mode.
    """
    if obj is None:
        return
    if obj.type == OBJT_VNODE:
        vm_object_vndeallocate(obj)
        return
    ASSERT_OBJECT_HELD_EXCL(obj)
    if obj.ref_count.load() == 0:
        obj.vm.panic("vm_object_deallocate: object deallocated too many times")
    if obj.ref_count.load() > 2:
        _drop_reference(obj)
        return
    if obj.ref_count.load() == 0:
        obj.vm.panic("vm_object_deallocate: object lost its references")
    if obj.ref_count.load() >= 2:
        _drop_reference(obj)
        return
    _drop_reference(obj)
    if not obj.flags.bits(OBJ_DEAD):
        vm_object_terminate(obj)


def _drop_reference(obj: VmObject) -> None:
    obj.ref_count.fetchadd(-1)
    obj.gave(REF)


def vm_object_vndeallocate(obj: VmObject, keep: bool = False) -> Vnode | None:
    """Drop a reference to a vnode's object, and the vnode's unless `keep`; return the vnode that is kept.

    The last reference waits for the exclusive token, and then clears VTEXT: the file is not running text.
    Locks: the token in any mode.  Sleeps: for the token, and in `vrele`.
    """
    vm: VmSystem = obj.vm
    ASSERT_OBJECT_HELD(obj)
    vp: Vnode | None = obj.handle
    if obj.type != OBJT_VNODE or vp is None:
        vm.panic("vm_object_vndeallocate: not a vnode object")
    if obj.ref_count.load() == 0:
        vm.panic("vm_object_vndeallocate: bad object reference count")
    count = obj.ref_count.load()
    while True:
        if count == 1:
            vm_object_upgrade(obj)
            dropped, count = obj.ref_count.fcmpset(1, 0)
            if dropped:
                obj.gave(REF)
                vclrflags(vp, VTEXT)
                break
        else:
            dropped, count = obj.ref_count.fcmpset(count, count - 1)
            if dropped:
                obj.gave(REF)
                break
    if keep:
        return vp
    vrele(vp)
    return None
