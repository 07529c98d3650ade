"""The maps of a machine, and how they boot.

Models: vm_map_startup of sys/vm/vm_map.c; kmem_init of sys/vm/vm_kern.c.
Locks: none; only the boot CPU runs.
Deviations:
  * the kernel's addresses are one range, so kmem_init has no range outside to reserve.
  * a CPU's supply of entries is made when it first asks for one.
  * the maps are kept in order of creation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vmsmp.engine import ops
from vmsmp.records.pool import RecordPool
from vmsmp.vm.config import BootConfig
from vmsmp.vm.vm_fault.fault import vm_fault
from vmsmp.vm.vm_map.entry import VmMapBacking, VmMapEntry
from vmsmp.vm.vm_map.flags import (
    VM_MAP_BACKING_LIMIT,
    VM_MAX_KERNEL_ADDRESS,
    VM_MIN_KERNEL_ADDRESS,
)
from vmsmp.vm.vm_map.interlock import VmMapIlock
from vmsmp.vm.vm_map.map import VmMap
from vmsmp.vm.vm_map.mapentzone import mapentzone_refill
from vmsmp.vm.vm_map.supply import VmMapEntrySupply, vm_map_entry_reserve_cpu_init
from vmsmp.vm.vm_map.vmspace import Vmspaces
from vmsmp.vm.vm_zone import VmZone

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem


class Maps:
    """The globals of vm_map.c and vm_kern.c: the kernel's map, the zone of entries, and switches."""

    def __init__(self, vm: VmSystem, config: BootConfig) -> None:
        self._vm = vm
        self.maps: RecordPool[VmMap] = vm.pool(VmMap)
        self.entries: RecordPool[VmMapEntry] = vm.pool(VmMapEntry)
        self.backings: RecordPool[VmMapBacking] = vm.pool(VmMapBacking)
        self.ilocks: RecordPool[VmMapIlock] = vm.pool(VmMapIlock)
        self.vmspaces = Vmspaces(vm)
        self.supplies: RecordPool[VmMapEntrySupply] = vm.pool(VmMapEntrySupply, ops.MAX_CPUS)
        self.mapentzone = VmZone(vm, "mapentzone", config.map_entries, mapentzone_refill)
        #: vm_fault: wiring calls it through this attribute, since a fault may wire, too (a stack that grows).
        self.fault: Callable[[VmMap, int, int, int], int] = vm_fault
        self.randomize_mmap = 0
        self.map_relock_enable = 1
        self.map_partition_enable = 1
        self.map_backing_limit = VM_MAP_BACKING_LIMIT
        self.map_backing_shadow_test = 1
        self.kernel_map = self.maps.make(
            _name="kernel_map",
            min_addr=VM_MIN_KERNEL_ADDRESS,
            max_addr=VM_MAX_KERNEL_ADDRESS,
            pmap=vm.pmap.kernel_pmap,
            system_map=1,
        )

    def supply(self) -> VmMapEntrySupply:
        """The running CPU's entries."""
        index = self._vm.engine.current.index
        supplies = self.supplies.records
        return supplies[index] if index in supplies else vm_map_entry_reserve_cpu_init(self._vm, index)

    def new_supply(self, index: int, **values: Any) -> VmMapEntrySupply:
        """Return the record of a CPU's entries with these values."""
        return self.supplies.make(index, index=index, **values)


def startup(vm: VmSystem, config: BootConfig) -> Maps:
    """vm_map_startup and kmem_init: start with the kernel's map, which is empty."""
    return Maps(vm, config)
