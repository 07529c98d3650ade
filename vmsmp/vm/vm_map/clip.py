"""Cutting an entry in two, and joining entries that map the same thing.

Models: vm_map_clip_start, vm_map_clip_end, vm_map_simplify_entry, vm_map_entry_allocate_object and
vm_map_entry_partition of sys/vm/vm_map.c.
Locks: the map exclusively; it stays locked, so callers may keep their pointers.  Every address stays covered
by a backing on the object's list: the new one is attached before the old one is cut, and the one that
survives is extended before its neighbour is detached.
Deviations: none known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.vm_map.backing import (
    copy_entry,
    vm_map_backing_adjust_end,
    vm_map_backing_adjust_start,
    vm_map_backing_attach,
    vm_map_backing_replicated,
    vm_map_entry_dispose,
)
from vmsmp.vm.vm_map.flags import (
    MAP_BACK_CLIPPED,
    MAP_ENTRY_PARTITION_MASK,
    MAP_ENTRY_PARTITION_SIZE,
    PAGE_SHIFT,
    VM_MAP_ENTRY_WITHIN_PARTITION,
    VM_MAPTYPE_SUBMAP,
    VM_MAPTYPE_UKSMAP,
)
from vmsmp.vm.vm_map.link import vm_map_entry_link, vm_map_entry_unlink
from vmsmp.vm.vm_map.lock import ASSERT_VM_MAP_LOCKED
from vmsmp.vm.vm_map.supply import vm_map_entry_create
from vmsmp.vm.vm_object.allocate import vm_object_allocate

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_map.entry import VmMapBacking, VmMapEntry
    from vmsmp.vm.vm_map.map import VmMap
    from vmsmp.vm.vm_map.supply import Reserved


def vm_map_clip_start(map: VmMap, entry: VmMapEntry, address: int, reserved: Reserved) -> None:
    """Cut an entry that begins before the address there: `entry` stays the part behind.

    Locks: the map exclusively.  Sleeps: yes.
    """
    if address > entry.ba.start:
        _vm_map_clip_start(map, entry, address, reserved)


def vm_map_clip_end(map: VmMap, entry: VmMapEntry, address: int, reserved: Reserved) -> None:
    """Cut an entry that ends behind the address there: `entry` stays the part before.

    Locks: the map exclusively.  Sleeps: yes.
    """
    if address < entry.ba.end:
        _vm_map_clip_end(map, entry, address, reserved)


def _vm_map_clip_start(map: VmMap, entry: VmMapEntry, address: int, reserved: Reserved) -> None:
    ASSERT_VM_MAP_LOCKED(map)
    vm_map_simplify_entry(map, entry, reserved)
    _give_both_an_object(map, entry)
    new = vm_map_entry_create(map, reserved)
    copy_entry(new, entry)
    new.ba.end = address
    vm_map_backing_replicated(map, new, MAP_BACK_CLIPPED)
    vm_map_backing_adjust_start(entry, address)
    vm_map_entry_link(map, new)


def _vm_map_clip_end(map: VmMap, entry: VmMapEntry, address: int, reserved: Reserved) -> None:
    ASSERT_VM_MAP_LOCKED(map)
    _give_both_an_object(map, entry)
    new = vm_map_entry_create(map, reserved)
    copy_entry(new, entry)
    new.ba.start = address
    new.ba.offset += address - entry.ba.start
    vm_map_backing_replicated(map, new, MAP_BACK_CLIPPED)
    vm_map_backing_adjust_end(entry, address)
    vm_map_entry_link(map, new)


def _give_both_an_object(map: VmMap, entry: VmMapEntry) -> None:
    """Allocate the object of an entry that is about to be cut, unless the kernel delays that."""
    ba = entry.ba
    if ba.object is None and not map.system_map and VM_MAP_ENTRY_WITHIN_PARTITION(ba.start, ba.end):
        vm_map_entry_allocate_object(entry)


def vm_map_entry_allocate_object(entry: VmMapEntry) -> None:
    """Give an entry without an object an anonymous one.  Locks: the map exclusively.  Sleeps: yes.

    The object can be found through the entry before the backing is on its list.
    """
    ba = entry.ba
    ba.offset = 0
    obj = vm_object_allocate(entry.vm, ba.end - ba.start >> PAGE_SHIFT)
    ba.publish("object", obj)
    vm_map_backing_attach(entry, ba)


def vm_map_entry_partition(map: VmMap, entry: VmMapEntry, address: int, reserved: Reserved) -> None:
    """Cut an entry down to the partition that the address is in.  Locks: the map exclusively."""
    start = address & ~MAP_ENTRY_PARTITION_MASK
    vm_map_clip_start(map, entry, start, reserved)
    vm_map_clip_end(map, entry, start + MAP_ENTRY_PARTITION_SIZE, reserved)


def vm_map_simplify_entry(map: VmMap, entry: VmMapEntry, reserved: Reserved) -> None:
    """Join an entry with its neighbours if they map the same thing; `entry` survives.

    Locks: the map exclusively.  Sleeps: yes.
    """
    if entry.in_transition:
        map.vm.mycpu().v_intrans_coll += 1
        return
    if entry.maptype in (VM_MAPTYPE_SUBMAP, VM_MAPTYPE_UKSMAP):
        return
    ba = entry.ba
    prev = map.rb_root.prev(entry)
    if (
        prev is not None
        and prev.ba.end == ba.start
        and prev.maptype == entry.maptype
        and prev.ba.object is ba.object
        and prev.ba.backing_ba is ba.backing_ba
        and _continues(prev, entry)
    ):
        vm_map_entry_unlink(map, prev)
        vm_map_backing_adjust_start(entry, prev.ba.start)
        if ba.object is None:
            ba.offset = 0
        vm_map_entry_dispose(prev, reserved)
    following = map.rb_root.next(entry)
    if (
        following is not None
        and ba.end == following.ba.start
        and following.maptype == entry.maptype
        and following.ba.object is ba.object
        and _backing_below(map, prev) is ba.backing_ba
        and _continues(entry, following)
    ):
        vm_map_entry_unlink(map, following)
        vm_map_backing_adjust_end(entry, following.ba.end)
        vm_map_entry_dispose(following, reserved)


def _backing_below(map: VmMap, prev: VmMapEntry | None) -> VmMapBacking | None:
    """Return what the entry before has below its head, even if it has just been disposed of.

    The kernel tests this where it means the entry behind, and follows a null pointer if there is none before.
    An entry's memory is only reused for entries, and one that was disposed of has nothing below its head.
    """
    vm: VmSystem = map.vm
    if prev is None:
        vm.panic("vm_map_simplify_entry: page fault, prev is NULL")
    below: VmMapBacking | None = prev.ba.peek("backing_ba")
    return below


def _continues(before: VmMapEntry, after: VmMapEntry) -> bool:
    """Return whether two adjacent entries map adjacent parts of one object in the same way."""
    return (
        (before.ba.object is None or before.ba.offset + before.ba.end - before.ba.start == after.ba.offset)
        and before.eflags == after.eflags
        and before.protection == after.protection
        and before.max_protection.load() == after.max_protection.load()
        and before.inheritance == after.inheritance
        and before.id == after.id
        and before.wired_count == after.wired_count
    )
