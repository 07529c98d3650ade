"""Allocating an object.

Models: vm_quickcolor, _vm_object_allocate and its front ends in sys/vm/vm_object.c.
Locks: an object is initialised and held before it is published on its bucket's list, which needs the
bucket's token.
Deviations:
  * the functions take the type last; it defaults to anonymous memory.
  * the colour is made of the CPU's number instead of the thread's address.
  * stores to the words of an object that no other CPU knows are not visible operations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.vm_object.hold import vm_object_drop, vm_object_hold
from vmsmp.vm.vm_object.object import (
    ANONYMOUS,
    OBJ_ONEMAPPING,
    OBJT_DEFAULT,
    REF,
    VM_MEMATTR_DEFAULT,
    VmObject,
)
from vmsmp.vm.vm_object.startup import vm_object_hash
from vmsmp.vm.vm_page.flags import PQ_PRIME2

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem


def vm_quickcolor(vm: VmSystem) -> int:
    """Return a colour for a new object: derived from the thread, and different each time."""
    gd = vm.mycpu()
    pg_color = gd.cpu.index + gd.gd_quick_color
    gd.gd_quick_color += PQ_PRIME2
    return pg_color & 0xFFFF


def _vm_object_allocate(obj: VmObject, objt: int, size: int) -> None:
    """Initialise an object, publish it, and leave it held.  Sleeps: for the bucket's token."""
    obj.type = objt
    obj.size = size
    obj.ref_count.value = 1
    obj.took(REF)
    obj.memattr = VM_MEMATTR_DEFAULT
    obj.flags.value = OBJ_ONEMAPPING if objt in ANONYMOUS else 0
    obj.pg_color = vm_quickcolor(obj.vm)
    obj.handle = None
    vm_object_hold(obj)
    bucket = vm_object_hash(obj.vm.objects, obj)
    bucket.token.acquire()
    bucket.changing("list")[obj.code] = obj
    obj.object_entry = bucket
    bucket.token.release()


def _kmalloc(vm: VmSystem, name: str | None) -> VmObject:
    """Return memory for an object.  Sleeps: possibly."""
    gd = vm.mycpu()
    vm.pause_tokens("kmalloc")
    obj = vm.objects.make(_name=name or f"obj[{1000 * gd.cpu.index + gd.objects}]")
    gd.objects += 1
    return obj


def vm_object_allocate(
    vm: VmSystem, size: int, name: str | None = None, objt: int = OBJT_DEFAULT
) -> VmObject:
    """Allocate an object of `size` pages with one reference; return it neither held nor locked.

    Sleeps: for memory, and for the bucket's token.
    """
    obj = vm_object_allocate_hold(vm, size, name, objt)
    vm_object_drop(obj)
    return obj


def vm_object_allocate_hold(
    vm: VmSystem, size: int, name: str | None = None, objt: int = OBJT_DEFAULT
) -> VmObject:
    """Allocate an object as `vm_object_allocate`, and return it held."""
    obj = _kmalloc(vm, name)
    _vm_object_allocate(obj, objt, size)
    return obj


def vm_object_init(obj: VmObject, size: int) -> None:
    """Make anonymous memory of an object that is part of something else.

    Sleeps: as `_vm_object_allocate`.
    """
    _vm_object_allocate(obj, OBJT_DEFAULT, size)
    vm_object_drop(obj)
