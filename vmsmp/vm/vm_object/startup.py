"""The objects of a machine, and how they boot.

Models: vm_object_init1 and vm_object_init2 of sys/vm/vm_object.c, and what startup keeps in globals.
Locks: none; only the boot CPU runs.
Deviations:
  * the hash has as many buckets as BootConfig.object_hash says; the kernel's has VMOBJ_HSIZE.
  * vm_object_init2 has nothing to do: there is no limit on the memory of objects.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from vmsmp.records.home import Home
from vmsmp.records.pool import RecordPool
from vmsmp.vm.config import BootConfig
from vmsmp.vm.vm_object.object import OBJ_ONEMAPPING, OBJT_DEFAULT, REF, VmObject, VmObjectHash

#: OFF_TO_IDX(KvaEnd): the kernel's addresses end with the address space.
KERNEL_PAGES: Final = 1 << 52


class Objects:
    """The globals of vm_object.c: the hash of all objects, the kernel's object, and vm.object_debug."""

    def __init__(self, vm: Home, config: BootConfig) -> None:
        self._pool: RecordPool[VmObject] = vm.pool(VmObject)
        buckets = vm.pool(VmObjectHash, config.object_hash)
        self.vm_object_hash: list[VmObjectHash] = [
            buckets.make(n, index=n) for n in range(config.object_hash)
        ]
        self.vm_object_debug = 0
        self.kernel_object = vm_object_init1(self)

    def make(self, **values: Any) -> VmObject:
        """Return new memory for an object."""
        return self._pool.make(**values)

    def __iter__(self) -> Iterator[VmObject]:
        """Iterate over the objects ever made, but for the kernel's, in order of creation."""
        return (obj for obj in self._pool if obj is not self.kernel_object)


def vm_object_hash(objects: Objects, obj: VmObject) -> VmObjectHash:
    """VMOBJ_HASH: return the bucket of an object, by its address."""
    address = obj.code
    first = (address + (address >> 18)) % 66555444443333333
    second = ((address >> 8) + (address >> 24)) % 989042931893
    return objects.vm_object_hash[(first ^ second) & len(objects.vm_object_hash) - 1]


def vm_object_init1(objects: Objects) -> VmObject:
    """Make the kernel's object, which all of the kernel's memory is in; nobody else runs yet."""
    obj = objects.make(_name="kernel_object", type=OBJT_DEFAULT, size=KERNEL_PAGES)
    obj.flags.value = OBJ_ONEMAPPING
    obj.took(REF)
    bucket = vm_object_hash(objects, obj)
    bucket.raw_list[obj.code] = obj
    obj.raw_object_entry = bucket
    return obj


def vm_object_init2(_vm: Home) -> None:
    """Lift the limit on the memory of objects."""


def startup(vm: Home, config: BootConfig) -> Objects:
    """Start with the kernel's object."""
    return Objects(vm, config)
