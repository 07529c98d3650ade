"""The objects of a machine, and how they boot.

Models: vm_object_init of sys/vm/vm_object.c.
Locks: none; only the boot CPU runs.
Deviations:
  * no kernel object; objects are kept in order of creation, without hash buckets.
"""

from __future__ import annotations

from vmsmp.records.home import Home
from vmsmp.records.pool import RecordPool
from vmsmp.vm.config import BootConfig
from vmsmp.vm.vm_object.object import VmObject


def startup(vm: Home, _config: BootConfig) -> RecordPool[VmObject]:
    """vm_object_init: start with no objects."""
    pool: RecordPool[VmObject] = vm.pool(VmObject)
    return pool
