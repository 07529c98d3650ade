"""Objects that are found by a handle: those of devices.

Models: vm_pager_object_lookup of sys/vm/vm_pager.c; cdev_pager_allocate, cdev_pager_lookup and
dev_pager_dealloc of sys/vm/device_pager.c.
Locks: the list and a handle's object are protected by dev_pager_mtx, which is kept while the object's token
is waited for.
Deviations:
  * a device has no constructor, destructor or pages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vmsmp.vm.vm_object.allocate import vm_object_allocate_hold
from vmsmp.vm.vm_object.hold import vm_object_drop, vm_object_hold
from vmsmp.vm.vm_object.object import OBJ_DEAD, OBJT_DEVICE
from vmsmp.vm.vm_object.reference import vm_object_reference_locked

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_object.object import VmObject


def vm_pager_object_lookup(pg_list: list[VmObject], handle: Any) -> VmObject | None:
    """Return the object of that handle with another reference, or None; pass over one that is dead.

    Locks: the list's, by the caller.  Sleeps: for the object's token.
    """
    for obj in [*pg_list]:
        if obj.peek("handle") == handle:
            vm_object_hold(obj)
            if not obj.flags.load() & OBJ_DEAD:
                vm_object_reference_locked(obj)
                vm_object_drop(obj)
                return obj
            vm_object_drop(obj)
    return None


def cdev_pager_lookup(vm: VmSystem, handle: Any) -> VmObject | None:
    """Return the object of that handle with another reference, or None.

    Sleeps: for the mutex and the token.
    """
    pager = vm.pager
    pager.dev_pager_mtx.lock()
    obj = vm_pager_object_lookup(pager.dev_pager_object_list, handle)
    pager.dev_pager_mtx.unlock()
    return obj


def cdev_pager_allocate(vm: VmSystem, handle: Any, size: int) -> VmObject:
    """Return the object of that handle with another reference, made if there is none.

    One that is found gets two references, as in the kernel, and grows to `size` pages if it has fewer.
    Sleeps: for the mutex and the token.
    """
    pager = vm.pager
    pager.dev_pager_mtx.lock()
    obj = vm_pager_object_lookup(pager.dev_pager_object_list, handle)
    if obj is None:
        obj = vm_object_allocate_hold(vm, size, objt=OBJT_DEVICE)
        obj.publish("handle", handle)
        pager.dev_pager_object_list.append(obj)
        vm_object_drop(obj)
    else:
        vm_object_hold(obj)
        vm_object_reference_locked(obj)
        if size > obj.size:
            obj.publish("size", size)
        vm_object_drop(obj)
    pager.dev_pager_mtx.unlock()
    return obj


def dev_pager_dealloc(obj: VmObject) -> None:
    """Take the object off the list.  Locks: takes the mutex.  Sleeps: for it."""
    pager = obj.vm.pager
    pager.dev_pager_mtx.lock()
    if obj not in pager.dev_pager_object_list:
        obj.vm.panic("dev_pager_dealloc: TAILQ_REMOVE of an object that is not on the list")
    pager.dev_pager_object_list.remove(obj)
    pager.dev_pager_mtx.unlock()
