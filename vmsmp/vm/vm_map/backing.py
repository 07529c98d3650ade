"""The chains of backings of entries: attaching, copying and moving them, and freeing entries.

Models: vm_map_backing_attach, _detach, _replicated, _adjust_start and _adjust_end, vm_map_entry_dispose_ba,
vm_map_entry_dispose and vm_map_entry_delete of sys/vm/vm_map.c.
Locks: the map's lock exclusively.  Fields that a scan of an object's backings reads change under the lock of
that list, in one section for each element, the head first.
Deviations:
  * kmalloc always has memory, after a point where it may block.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vmsmp.vm.vm_map.flags import (
    MAP_BACK_BASEOBJREFD,
    MAP_BACK_CLIPPED,
    UKSMAPOP_ADD,
    UKSMAPOP_REM,
    VM_MAPTYPE_NORMAL,
    VM_MAPTYPE_UKSMAP,
)
from vmsmp.vm.vm_map.link import vm_map_entry_unlink
from vmsmp.vm.vm_map.supply import Reserved, free_record, new_backing, return_entry
from vmsmp.vm.vm_object.backing import vm_object_backing_insert, vm_object_backing_remove
from vmsmp.vm.vm_object.deallocate import vm_object_deallocate
from vmsmp.vm.vm_object.flags import vm_object_clear_flag
from vmsmp.vm.vm_object.object import OBJ_ONEMAPPING
from vmsmp.vm.vm_object.reference import vm_object_reference_quick

if TYPE_CHECKING:
    from vmsmp.vm.vm_map.entry import VmMapBacking, VmMapEntry
    from vmsmp.vm.vm_map.map import VmMap

#: What `*new = *old` copies of a backing, and of an entry beside its head.
_BACKING: Final = (
    "start",
    "end",
    "offset",
    "pmap",
    "object",
    "backing_ba",
    "backing_count",
    "aux_info",
    "flags",
)
_ENTRY: Final = ("aux", "eflags", "maptype", "protection", "inheritance", "wired_count", "id")


def copy_backing(new: VmMapBacking, old: VmMapBacking) -> None:
    """`*new = *old`, for a new backing that is on no list."""
    for name in _BACKING:
        setattr(new, name, getattr(old, name))


def copy_entry(new: VmMapEntry, old: VmMapEntry) -> None:
    """`*new = *old`, for a new entry: its flags, its wirings and the head of its chain, too."""
    copy_backing(new.ba, old.ba)
    for name in _ENTRY:
        setattr(new, name, getattr(old, name))
    new.max_protection.store(old.max_protection.load())


def vm_map_backing_attach(entry: VmMapEntry, ba: VmMapBacking) -> None:
    """Put a backing on its object's list.  Sleeps: for the list's lock."""
    if entry.maptype == VM_MAPTYPE_NORMAL:
        vm_object_backing_insert(ba.object, ba)
        ba.listed = ba.object
    elif entry.maptype == VM_MAPTYPE_UKSMAP:
        ba.object(ba, UKSMAPOP_ADD, entry.aux, None)


def vm_map_backing_detach(entry: VmMapEntry, ba: VmMapBacking) -> None:
    """Take a backing off its object's list.  Sleeps: for the list's lock."""
    if entry.maptype == VM_MAPTYPE_NORMAL:
        vm_object_backing_remove(ba.object, ba)
        ba.listed = None
    elif entry.maptype == VM_MAPTYPE_UKSMAP:
        ba.object(ba, UKSMAPOP_REM, entry.aux, None)


def vm_map_backing_replicated(map: VmMap, entry: VmMapEntry, flags: int) -> None:
    """Give a copied entry a chain of its own: copy each element, reference its object, attach it.

    MAP_BACK_BASEOBJREFD: the caller's reference to the first object becomes the entry's.  MAP_BACK_CLIPPED:
    the copy covers what the original gives up, so the object is not mapped more often than before.
    Sleeps: yes.
    """
    ba = entry.ba
    while True:
        ba.pmap = map.pmap
        obj = ba.object
        if obj is not None and entry.maptype == VM_MAPTYPE_NORMAL:
            if ba is not entry.ba or not flags & MAP_BACK_BASEOBJREFD:
                vm_object_reference_quick(obj)
            vm_map_backing_attach(entry, ba)
            if not flags & MAP_BACK_CLIPPED and obj.ref_count.load() > 1:
                vm_object_clear_flag(obj, OBJ_ONEMAPPING)
        elif obj is not None:
            vm_map_backing_attach(entry, ba)
        if ba.backing_ba is None:
            break
        map.vm.pause_tokens("kmalloc")
        nba = new_backing(map)
        copy_backing(nba, ba.backing_ba)
        nba.offset += ba.start - nba.start
        nba.start, nba.end = ba.start, ba.end
        ba.backing_ba = nba
        ba = nba


def vm_map_backing_adjust_start(entry: VmMapEntry, start: int) -> None:
    """Move the start of an entry of objects.  Sleeps: for the locks of their lists."""
    if entry.maptype != VM_MAPTYPE_NORMAL:
        return
    ba: VmMapBacking | None = entry.ba
    while ba is not None:
        obj = ba.object
        if obj is not None:
            obj.backing_lk.acquire()
        before = ba.start
        ba.offset += start - ba.start
        ba.publish("start", start)
        if entry.linked and ba is entry.ba:
            entry.map.changing("rb_root").moved(entry, before)
        if obj is not None:
            obj.backing_lk.release()
        ba = ba.backing_ba


def vm_map_backing_adjust_end(entry: VmMapEntry, end: int) -> None:
    """Move the end of an entry of objects.  Sleeps: for the locks of their lists."""
    if entry.maptype != VM_MAPTYPE_NORMAL:
        return
    ba: VmMapBacking | None = entry.ba
    while ba is not None:
        obj = ba.object
        if obj is not None:
            obj.backing_lk.acquire()
        ba.publish("end", end)
        if obj is not None:
            obj.backing_lk.release()
        ba = ba.backing_ba


def vm_map_entry_dispose_ba(entry: VmMapEntry, ba: VmMapBacking | None) -> None:
    """Free the elements of a chain from `ba` on.  Sleeps: in `vm_object_deallocate`, and for list locks."""
    while ba is not None:
        if ba.object is not None:
            vm_map_backing_detach(entry, ba)
            vm_object_deallocate(ba.object)
        below = ba.backing_ba
        free_record(ba)
        ba = below


def vm_map_entry_dispose(entry: VmMapEntry, reserved: Reserved) -> None:
    """Free an entry that is in no tree, and its chain.  Sleeps: as `vm_map_entry_dispose_ba`."""
    ba = entry.ba
    if entry.maptype == VM_MAPTYPE_NORMAL and ba.object is not None:
        vm_map_backing_detach(entry, ba)
        vm_object_deallocate(ba.object)
    elif entry.maptype == VM_MAPTYPE_UKSMAP:
        vm_map_backing_detach(entry, ba)
    vm_map_entry_dispose_ba(entry, ba.backing_ba)
    ba.backing_ba = None
    ba.object = None
    ba.offset = 0
    return_entry(entry, reserved)


def vm_map_entry_delete(map: VmMap, entry: VmMapEntry, reserved: Reserved) -> None:
    """Take an entry out of the map and free it.  Sleeps: as `vm_map_entry_dispose`."""
    vm_map_entry_unlink(map, entry)
    map.publish("size", map.size - (entry.ba.end - entry.ba.start))
    vm_map_entry_dispose(entry, reserved)
