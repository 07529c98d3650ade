"""Inserting a range into a map.

Models: vm_map_insert of sys/vm/vm_map.c.
Locks: the map exclusively; the object's token, if there is an object.  The map's token is taken inside.
Deviations:
  * pmap_object_init_pt does nothing, as in the kernel; what is done around it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from vmsmp.vm.vm_map.backing import vm_map_backing_adjust_end, vm_map_backing_replicated
from vmsmp.vm.vm_map.clip import vm_map_simplify_entry
from vmsmp.vm.vm_map.flags import (
    COWF_COPY_ON_WRITE,
    COWF_DISABLE_COREDUMP,
    COWF_DISABLE_SYNCER,
    COWF_IS_KSTACK,
    COWF_IS_STACK,
    COWF_NOFAULT,
    COWF_PREFAULT,
    COWF_PREFAULT_PARTIAL,
    COWF_PREFAULT_RELOCK,
    KERN_INVALID_ADDRESS,
    KERN_NO_SPACE,
    KERN_SUCCESS,
    MAP_BACK_BASEOBJREFD,
    MAP_ENTRY_COW,
    MAP_ENTRY_KSTACK,
    MAP_ENTRY_NEEDS_COPY,
    MAP_ENTRY_NOCOREDUMP,
    MAP_ENTRY_NOFAULT,
    MAP_ENTRY_NOSYNC,
    MAP_ENTRY_STACK,
    PAGE_SHIFT,
    VM_INHERIT_DEFAULT,
    VM_MAPTYPE_NORMAL,
    VM_MAPTYPE_UKSMAP,
)
from vmsmp.vm.vm_map.link import vm_map_entry_after, vm_map_entry_link, vm_map_lookup_entry
from vmsmp.vm.vm_map.lock import ASSERT_VM_MAP_LOCKED
from vmsmp.vm.vm_map.supply import Reserved, vm_map_entry_create
from vmsmp.vm.vm_object.coalesce import vm_object_coalesce
from vmsmp.vm.vm_object.hold import (
    ASSERT_OBJECT_HELD,
    vm_object_drop,
    vm_object_hold,
    vm_object_lock_swap,
)
from vmsmp.vm.vm_object.reference import vm_object_reference_locked

if TYPE_CHECKING:
    from vmsmp.vm.vm_map.entry import VmMapEntry
    from vmsmp.vm.vm_map.map import VmMap

_PROTO_EFLAGS: Final = (
    (COWF_COPY_ON_WRITE, MAP_ENTRY_COW | MAP_ENTRY_NEEDS_COPY),
    (COWF_NOFAULT, MAP_ENTRY_NOFAULT),
    (COWF_DISABLE_SYNCER, MAP_ENTRY_NOSYNC),
    (COWF_DISABLE_COREDUMP, MAP_ENTRY_NOCOREDUMP),
    (COWF_IS_STACK, MAP_ENTRY_STACK),
    (COWF_IS_KSTACK, MAP_ENTRY_KSTACK),
)


class Mapping(NamedTuple):
    """What a range maps and how: the arguments of an insertion besides the range.

    `object` is a VmObject, a function of a device (UKSMAP) or None; `aux` is the device.
    """

    object: Any = None
    offset: int = 0
    aux: Any = None
    aux_info: Any = None
    maptype: int = VM_MAPTYPE_NORMAL
    id: int = 0
    prot: int = 0
    max: int = 0
    cow: int = 0


def vm_map_insert(map: VmMap, reserved: Reserved, start: int, end: int, what: Mapping) -> int:
    """Map the range from `start` up to `end`; return KERN_SUCCESS, _INVALID_ADDRESS or _NO_SPACE.

    If the entry before can be extended over the range, it is; or else the new entry may share its object.
    Locks: the map exclusively, and the object's token; the caller's reference to the object becomes the
    entry's.  Sleeps: yes, so tokens are lost.
    """
    ASSERT_VM_MAP_LOCKED(map)
    obj = what.object if what.maptype != VM_MAPTYPE_UKSMAP else None
    if obj is not None:
        ASSERT_OBJECT_HELD(obj)
    if start < map.min_addr or end > map.max_addr or start >= end:
        return KERN_INVALID_ADDRESS
    hit, prev = vm_map_lookup_entry(map, start)
    if hit:
        return KERN_NO_SPACE
    following = vm_map_entry_after(map, prev)
    if following is not None and following.ba.start < end:
        return KERN_NO_SPACE

    eflags = 0
    for cow, bits in _PROTO_EFLAGS:
        if what.cow & cow:
            eflags |= bits
    if what.cow & COWF_NOFAULT and obj is not None:
        map.vm.panic("vm_map_insert: paradoxical MAP_NOFAULT request")
    map.token.acquire()
    shared = None
    if obj is None and prev is not None and _coalesces(prev, what, eflags, start, end):
        if _alike(prev, what):
            map.publish("size", map.size + end - prev.ba.end)
            vm_map_backing_adjust_end(prev, end)
            vm_map_simplify_entry(map, prev, reserved)
            map.token.release()
            return KERN_SUCCESS
        shared = prev.ba.object
        what = what._replace(object=shared, offset=prev.ba.offset + prev.ba.end - prev.ba.start)
        if shared is not None:
            vm_object_hold(shared)
            vm_object_lock_swap(map.vm)  # so that the map's token can be released first
            vm_object_reference_locked(shared)

    entry = vm_map_entry_create(map, reserved)
    _fill(map, entry, start, end, what, eflags)
    vm_map_backing_replicated(map, entry, MAP_BACK_BASEOBJREFD)
    vm_map_entry_link(map, entry)
    map.publish("size", map.size + end - start)
    if what.cow & (COWF_PREFAULT | COWF_PREFAULT_PARTIAL) and what.maptype != VM_MAPTYPE_UKSMAP:
        _prefault(map, what)
    map.token.release()
    if shared is not None:
        vm_object_drop(shared)
    return KERN_SUCCESS


def _coalesces(prev: VmMapEntry, what: Mapping, eflags: int, start: int, end: int) -> bool:
    """Return whether the object of the entry before can grow over the range.  Sleeps: in `coalesce`."""
    ba = prev.ba
    return (
        prev.eflags == eflags
        and ba.end == start
        and prev.wired_count == 0
        and prev.id == what.id
        and prev.maptype == what.maptype
        and prev.maptype == VM_MAPTYPE_NORMAL
        and ba.backing_ba is None
        and vm_object_coalesce(ba.object, ba.offset >> PAGE_SHIFT, ba.end - ba.start, end - start)
    )


def _alike(prev: VmMapEntry, what: Mapping) -> bool:
    """Return whether the entry before can be extended over the range."""
    return (
        prev.inheritance == VM_INHERIT_DEFAULT
        and prev.protection == what.prot
        and prev.max_protection.load() == what.max
    )


def _fill(map: VmMap, entry: VmMapEntry, start: int, end: int, what: Mapping, eflags: int) -> None:
    """Describe the range in a new entry."""
    ba = entry.ba
    ba.pmap = map.pmap
    ba.start = start
    ba.end = end
    entry.id = what.id
    entry.maptype = what.maptype
    entry.eflags = eflags
    entry.aux = what.aux if what.aux is not None else 0
    ba.object = what.object
    ba.backing_ba = None
    ba.backing_count = 0
    ba.offset = what.offset
    ba.aux_info = what.aux_info
    ba.flags = 0
    entry.inheritance = VM_INHERIT_DEFAULT
    entry.protection = what.prot
    entry.max_protection.store(what.max)
    entry.wired_count = 0


def _prefault(map: VmMap, what: Mapping) -> None:
    """Enter the object's pages, which is a no-op on this machine, with the object released meanwhile."""
    vm, obj = map.vm, what.object
    if obj is not None and vm.map.map_relock_enable and what.cow & COWF_PREFAULT_RELOCK:
        vm_object_lock_swap(vm)
        vm_object_drop(obj)
        vm_object_hold(obj)
        vm_object_lock_swap(vm)
