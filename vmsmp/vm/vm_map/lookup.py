"""Looking up an address for a fault: its entry, and the object, index and protection of its page.

Models: vm_map_lookup and vm_map_lookup_done of sys/vm/vm_map.c.
Locks: none on entry.  The map is locked shared, or exclusively if the entry has to change; a success returns
with it locked shared.  If an upgrade fails, or after a wait for a transition, the lookup starts over, but its
`fault_type` stays as the attempt before has left it.
Deviations:
  * no page tables with emulated accessed and modified bits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from vmsmp.sync.thread import curthread
from vmsmp.vm.vm_map.clip import vm_map_entry_allocate_object, vm_map_entry_partition
from vmsmp.vm.vm_map.flags import (
    FW_DIDCOW,
    FW_WIRED,
    KERN_FAILURE_NOFAULT,
    KERN_INVALID_ADDRESS,
    KERN_PROTECTION_FAILURE,
    KERN_SUCCESS,
    MAP_ENTRY_COW,
    MAP_ENTRY_IN_TRANSITION,
    MAP_ENTRY_NEEDS_COPY,
    MAP_ENTRY_USER_WIRED,
    MAP_RESERVE_COUNT,
    PAGE_SHIFT,
    VM_MAP_ENTRY_WITHIN_PARTITION,
    VM_MAPTYPE_NORMAL,
    VM_MAPTYPE_SUBMAP,
    VM_PROT_ALL,
    VM_PROT_OVERRIDE_WRITE,
    VM_PROT_WRITE,
    trunc_page,
)
from vmsmp.vm.vm_map.link import vm_map_lookup_entry
from vmsmp.vm.vm_map.lock import (
    vm_map_lock,
    vm_map_lock_downgrade,
    vm_map_lock_read,
    vm_map_lock_upgrade,
    vm_map_unlock,
)
from vmsmp.vm.vm_map.shadow import vm_map_entry_shadow
from vmsmp.vm.vm_map.supply import Reserved, vm_map_entry_release, vm_map_entry_reserve
from vmsmp.vm.vm_map.transition import vm_map_entry_wait

if TYPE_CHECKING:
    from vmsmp.vm.vm_map.entry import VmMapBacking, VmMapEntry
    from vmsmp.vm.vm_map.map import VmMap

#: In `td_flags`: a fault must fail where it would have to change the map.
TDF_NOFAULT: Final = 0x10000000


class Lookup(NamedTuple):
    """What a lookup has found: KERN_SUCCESS, the map, locked shared, and the page's place there.

    `prot` are the rights that a mapping of the page may have, `wflags` FW_WIRED and FW_DIDCOW.  The page is
    looked for in the objects of `ba` and of the backings behind it; `pcount` pages of the entry are left.
    After a failure `rv` is its KERN_* code, and the other fields mean nothing.
    """

    rv: int
    map: VmMap
    entry: VmMapEntry | None = None
    ba: VmMapBacking | None = None
    pindex: int = 0
    pcount: int = 0
    prot: int = 0
    wflags: int = 0


def vm_map_lookup(map: VmMap, vaddr: int, fault_typea: int) -> Lookup:
    """Find what is mapped at `vaddr`, and prepare the entry for that kind of access.

    A write to an entry that needs a copy gives it an object of its own; an entry without an object gets one.
    Locks: none; on success the map of the result is locked shared.
    Sleeps: for entries, the map, a transition, and what shadowing sleeps for.
    """
    gd = map.vm.mycpu()
    nested = gd.td_nest_count != 0
    if nested:
        count = Reserved(0)
    else:
        gd.td_nest_count += 1
        count = vm_map_entry_reserve(map.vm, MAP_RESERVE_COUNT)
        gd.td_nest_count -= 1
    lookup = _Lookup(map, vaddr, fault_typea, count)
    rv = lookup.attempt()
    while rv is None:
        rv = lookup.attempt()
    found = lookup.done(rv)
    if not nested:
        vm_map_entry_release(map.vm, count)
    return found


def vm_map_lookup_done(map: VmMap, _entry: VmMapEntry | None, count: Reserved | None) -> None:
    """Unlock the map that a lookup has left locked, and give back what is left of a reservation."""
    vm_map_unlock(map)
    if count is not None:
        vm_map_entry_release(map.vm, count)


class _Lookup:
    """A lookup in progress.  `fault_type` keeps its value when the lookup starts over."""

    __slots__ = (
        "_count",
        "ba",
        "entry",
        "fault_type",
        "fault_typea",
        "map",
        "prot",
        "use_read_lock",
        "vaddr",
        "wflags",
    )

    def __init__(self, map: VmMap, vaddr: int, fault_typea: int, count: Reserved) -> None:
        self.map = map
        self.vaddr = vaddr
        self.fault_typea = fault_typea
        self.fault_type = fault_typea
        self.use_read_lock = True
        self.entry: VmMapEntry | None = None
        self.ba: VmMapBacking | None = None
        self.prot = 0
        self.wflags = 0
        self._count = count

    def attempt(self) -> int | None:
        """RetryLookup: lock the map and go through all steps; None if it must be tried again."""
        map = self.map
        if self.use_read_lock:
            vm_map_lock_read(map)
        else:
            vm_map_lock(map)
        self.entry = self.ba = None
        hit, entry = vm_map_lookup_entry(map, self.vaddr)
        if not hit or entry is None:
            return KERN_INVALID_ADDRESS
        self.entry = entry
        if entry.maptype == VM_MAPTYPE_SUBMAP:
            self.map = entry.ba.object
            vm_map_unlock(map)
            self.use_read_lock = True
            return None
        override = self.fault_type & VM_PROT_OVERRIDE_WRITE
        self.prot = entry.max_protection.load() if override else entry.protection
        self.fault_type &= VM_PROT_ALL
        if self.fault_type & ~self.prot:
            return KERN_PROTECTION_FAILURE
        if (
            entry.eflags & MAP_ENTRY_USER_WIRED
            and entry.eflags & MAP_ENTRY_COW
            and self.fault_type & VM_PROT_WRITE
            and not self.fault_typea & VM_PROT_OVERRIDE_WRITE
        ):
            return KERN_PROTECTION_FAILURE
        self.wflags = 0
        if entry.wired_count:
            self.wflags |= FW_WIRED
            self.prot = self.fault_type = entry.protection
        if entry.maptype != VM_MAPTYPE_NORMAL:
            return KERN_SUCCESS
        return self._prepare(entry)

    def _prepare(self, entry: VmMapEntry) -> int | None:
        """Give the entry an object, or one of its own if it is written to."""
        if entry.eflags & MAP_ENTRY_NEEDS_COPY:
            if self.fault_type & VM_PROT_WRITE:
                if curthread(self.map.vm.machine).td_flags & TDF_NOFAULT:
                    return KERN_FAILURE_NOFAULT
                if not self._upgrade():
                    return None
                vm_map_entry_shadow(entry)
                self.wflags |= FW_DIDCOW
            else:
                self.prot &= ~VM_PROT_WRITE
        if entry.ba.object is None and not self.map.system_map:
            if not self._upgrade() or not self._partition(entry):
                return None
            vm_map_entry_allocate_object(entry)
        self.ba = entry.ba
        return KERN_SUCCESS

    def _upgrade(self) -> bool:
        """Lock the map exclusively; return False if its lock was lost meanwhile: all must start over."""
        if self.use_read_lock:
            self.use_read_lock = False
            return not vm_map_lock_upgrade(self.map)
        return True

    def _partition(self, entry: VmMapEntry) -> bool:
        """Cut the address's partition out of a large entry; return False after a wait for a transition."""
        map = self.map
        vm = map.vm
        if (
            map is vm.map.kernel_map
            or VM_MAP_ENTRY_WITHIN_PARTITION(entry.ba.start, entry.ba.end)
            or not vm.map.map_partition_enable
        ):
            return True
        if entry.eflags & MAP_ENTRY_IN_TRANSITION:
            vm_map_entry_wait(map, entry, relock=False)
            return False
        vm_map_entry_partition(map, entry, self.vaddr, self._count)
        return True

    def done(self, rv: int) -> Lookup:
        """Leave the map locked shared after a success, and unlocked after a failure."""
        map, entry = self.map, self.entry
        if rv != KERN_SUCCESS or entry is None:
            vm_map_unlock(map)
            return Lookup(rv, map)
        found = Lookup(
            rv,
            map,
            entry,
            self.ba,
            (self.vaddr - entry.ba.start + entry.ba.offset) >> PAGE_SHIFT,
            (entry.ba.end - trunc_page(self.vaddr)) >> PAGE_SHIFT,
            self.prot,
            self.wflags,
        )
        if not self.use_read_lock:
            vm_map_lock_downgrade(map)
        return found
