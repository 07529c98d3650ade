"""Allocating an object.

Models: _vm_object_allocate of sys/vm/vm_object.c.
Locks: none; no other CPU can reach the object yet.
Deviations:
  * those of `object`.
  * colours of objects follow one another; the kernel steps by PQ_PRIME2 and adds the thread's address.
  * memory for the object is always there at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.vm_object.object import REF, VmObject

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem


def vm_object_allocate(vm: VmSystem, size: int, name: str | None = None) -> VmObject:
    """Allocate an object of `size` pages with one reference; return it neither held nor locked."""
    gd = vm.mycpu()
    obj = vm.objects.make(
        _name=name or f"obj[{1000 * gd.cpu.index + gd.objects}]",
        size=size,
        pg_color=gd.objects & vm.page.l2_mask,
    )
    gd.objects += 1
    obj.took(REF)
    return obj
