"""Free entries of each CPU, so that an operation has the entries it needs before it locks a map.

Models: vm_map_entry_reserve_cpu_init, _reserve, _release, _kreserve, _krelease and _create of
sys/vm/vm_map.c.
`gd_vme_avail` is the length of the CPU's list less the entries that are reserved.
Locks: none; a CPU has its list to itself, and no thread leaves its CPU.
Deviations:
  * the list of free entries is their number, since a new record is made for each use of an entry.
  * the lists are as long as BootConfig says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.engine import ops
from vmsmp.records.field import plain
from vmsmp.records.record import Record, record
from vmsmp.vm.vm_map.entry import VmMapBacking, VmMapEntry
from vmsmp.vm.vm_map.flags import MAP_RESERVE_COUNT
from vmsmp.vm.vm_zone import zalloc, zfree

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_map.map import VmMap


class Reserved:
    """The `count` of an operation: how many of the entries that it reserved are left."""

    __slots__ = ("count",)

    def __init__(self, count: int) -> None:
        self.count = count


@record()
class VmMapEntrySupply(Record):
    """The part of struct globaldata that keeps free entries.

    `gd_vme_base` is the length of the CPU's list, `outstanding` the reservations under way (a ghost).
    """

    kind = "supply"

    # invariant: gd_vme_base - gd_vme_avail - the sum of the outstanding reservations is `booted`
    gd_vme_base: int = plain()
    gd_vme_avail: int = plain()
    outstanding: list[Reserved] = plain()
    booted: int = plain()
    #: How many entries and backings the CPU has made.
    made: int = plain(0)
    index: int = plain()

    @property
    def name(self) -> str:
        return f"cpu{self.index}.gd_vme"

    @property
    def klass(self) -> str:
        return "gd_vme"

    def reserved(self) -> int:
        """The entries of the list that the CPU's operations have reserved."""
        return sum(reserved.count for reserved in self.outstanding)

    def state(self) -> str:
        return f"{self.gd_vme_base} entries, {self.gd_vme_avail} available, {self.reserved()} reserved"

    def next_number(self) -> int:
        """Number what the CPU makes, so that a name does not depend on what other CPUs do."""
        self.made += 1
        return ops.MAX_CPUS * (self.made - 1) + self.index


def vm_map_entry_reserve_cpu_init(vm: VmSystem, index: int) -> VmMapEntrySupply:
    """Give a CPU its static entries.

    It starts with a debt, which its first reservation pays: these entries stay on the list for zalloc.
    """
    entries = vm.config.map_entry_cache[1 if index else 0]
    debt = MAP_RESERVE_COUNT * 2
    return vm.map.new_supply(
        index, gd_vme_base=entries, gd_vme_avail=-debt, outstanding=[], booted=entries + debt
    )


def vm_map_entry_reserve(vm: VmSystem, count: int) -> Reserved:
    """Reserve `count` entries, and make those that the CPU lacks.  Sleeps: for the zone's memory.

    The count of available entries falls only once they are there: making them may need some itself.
    """
    gd = vm.map.supply()
    while gd.gd_vme_avail < count:
        zalloc(vm, vm.map.mapentzone)
        gd.gd_vme_base += 1
        gd.gd_vme_avail += 1
    return _take(gd, count)


def vm_map_entry_release(vm: VmSystem, reserved: Reserved) -> None:
    """Give back what is left of a reservation; a CPU with too many entries frees some."""
    gd = vm.map.supply()
    _give(gd, reserved)
    if gd.gd_vme_avail > vm.config.map_reserve_slop:
        spare = 0
        while gd.gd_vme_avail > vm.config.map_reserve_hyst:
            if not gd.gd_vme_base:
                vm.panic("vm_map_entry_release: gd_vme_base NULL")
            gd.gd_vme_base -= 1
            gd.gd_vme_avail -= 1
            spare += 1
        for _ in range(spare):
            zfree(vm, vm.map.mapentzone)


def vm_map_entry_kreserve(vm: VmSystem, count: int) -> Reserved:
    """Reserve `count` entries out of those kept for zalloc, without making any.  Never sleeps."""
    gd = vm.map.supply()
    if not gd.gd_vme_base:
        vm.panic("no reserved entries left")
    return _take(gd, count)


def vm_map_entry_krelease(vm: VmSystem, reserved: Reserved) -> None:
    """Give back what is left of a reservation of `vm_map_entry_kreserve`."""
    _give(vm.map.supply(), reserved)


def vm_map_entry_create(map: VmMap, reserved: Reserved) -> VmMapEntry:
    """Take an entry out of the reservation; its fields are undefined.  Never sleeps."""
    vm = map.vm
    gd = vm.map.supply()
    if reserved.count <= 0:
        vm.panic("vm_map_entry_create: no entry reserved")
    reserved.count -= 1
    if not gd.gd_vme_base:
        vm.panic("vm_map_entry_create: gd_vme_base NULL")
    gd.gd_vme_base -= 1
    ba = new_backing(map)
    with vm.making:
        entry: VmMapEntry = vm.map.entries.make(map=map, ba=ba, number=gd.next_number())
    return entry


def new_backing(map: VmMap) -> VmMapBacking:
    """Return memory for a backing."""
    vm = map.vm
    with vm.making:
        ba: VmMapBacking = vm.map.backings.make(map=map, number=vm.map.supply().next_number())
    return ba


def return_entry(entry: VmMapEntry, reserved: Reserved) -> None:
    """Put an unused entry on the CPU's list; it belongs to the reservation again."""
    vm = entry.map.vm
    free_record(entry.ba)
    free_record(entry)
    reserved.count += 1
    vm.map.supply().gd_vme_base += 1


def free_record(thing: VmMapEntry | VmMapBacking) -> None:
    """Return the memory of an entry or a backing; any later access is a use after free."""
    for hook in thing.vm.hooks.freed:
        hook(thing.vm.engine.current, thing)
    thing.freed = True


def _take(gd: VmMapEntrySupply, count: int) -> Reserved:
    reserved = Reserved(count)
    gd.gd_vme_avail -= count
    gd.outstanding.append(reserved)
    return reserved


def _give(gd: VmMapEntrySupply, reserved: Reserved) -> None:
    gd.gd_vme_avail += reserved.count
    gd.outstanding.remove(reserved)
