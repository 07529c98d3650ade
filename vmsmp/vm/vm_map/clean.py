"""Writing a range of a map back to its files, and removing their pages from memory.

Models: vm_map_clean of sys/vm/vm_map.c.
Locks: the map shared, and its token, through all I/O; the token is lost whenever the I/O sleeps.  A vnode is
locked under the object's token, which is lost while the CPU waits for the vnode; the vnode that is unlocked
is the one that the object has by then.
Deviations: none known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.pmap.remove import pmap_remove
from vmsmp.vm.vm_map.flags import (
    ADDRESS_MASK,
    KERN_INVALID_ADDRESS,
    KERN_INVALID_ARGUMENT,
    KERN_SUCCESS,
    PAGE_MASK,
    PAGE_SHIFT,
    VM_MAPTYPE_NORMAL,
    VM_MAPTYPE_SUBMAP,
    VM_PROT_WRITE,
)
from vmsmp.vm.vm_map.link import vm_map_entry_after, vm_map_lookup_entry
from vmsmp.vm.vm_map.lock import VM_MAP_RANGE_CHECK, vm_map_lock_read, vm_map_unlock
from vmsmp.vm.vm_object.clean import vm_object_page_clean
from vmsmp.vm.vm_object.deallocate import vm_object_deallocate_locked
from vmsmp.vm.vm_object.hold import vm_object_drop, vm_object_hold
from vmsmp.vm.vm_object.object import (
    OBJ_NOMSYNC,
    OBJPC_INVAL,
    OBJPC_SYNC,
    OBJT_DEVICE,
    OBJT_MGTDEVICE,
    OBJT_VNODE,
)
from vmsmp.vm.vm_object.reference import vm_object_reference_locked
from vmsmp.vm.vm_object.remove import vm_object_page_remove
from vmsmp.vm.vnode import vn_lock, vn_unlock

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_map.entry import VmMapEntry
    from vmsmp.vm.vm_map.map import VmMap
    from vmsmp.vm.vm_object.object import VmObject
    from vmsmp.vm.vnode import Vnode


def vm_map_clean(map: VmMap, start: int, end: int, syncio: bool, invalidate: bool) -> int:
    """Write the dirty pages of a range to their files; return a KERN_* code.

    `syncio`: wait for it.  `invalidate`: remove the mappings, and clean pages from memory.  The range must
    be mapped throughout.
    Locks: takes the map's shared, and its token.  Sleeps: for vnodes, busy pages and I/O.
    """
    vm_map_lock_read(map)
    start, end = VM_MAP_RANGE_CHECK(map, start, end)
    hit, entry = vm_map_lookup_entry(map, start)
    if not hit or entry is None:
        vm_map_unlock(map)
        return KERN_INVALID_ADDRESS
    map.token.acquire()
    rv = _whole(map, entry, end)
    if rv == KERN_SUCCESS:
        if invalidate:
            pmap_remove(map.pmap, start, end)
        _clean(map, entry, start, end, syncio=syncio, invalidate=invalidate)
    map.token.release()
    vm_map_unlock(map)
    return rv


def _whole(map: VmMap, entry: VmMapEntry, end: int) -> int:
    """Return KERN_SUCCESS if there are neither holes nor submaps from `entry` up to `end`."""
    current: VmMapEntry | None = entry
    while current is not None and current.ba.start < end:
        if current.maptype == VM_MAPTYPE_SUBMAP:
            return KERN_INVALID_ARGUMENT
        following = vm_map_entry_after(map, current)
        if end > current.ba.end and (following is None or current.ba.end != following.ba.start):
            return KERN_INVALID_ADDRESS
        current = following
    return KERN_SUCCESS


def _clean(map: VmMap, entry: VmMapEntry, start: int, end: int, *, syncio: bool, invalidate: bool) -> None:
    """Clean the parts of the range, entry by entry; each begins where the one before has ended.

    If the head of a chain has an element behind it, that one is cleaned, as far as its object reaches.
    """
    flags = OBJPC_SYNC * (syncio or invalidate) | OBJPC_INVAL * invalidate
    current: VmMapEntry | None = entry
    while current is not None and current.ba.start < end:
        ba = current.ba
        offset = start - ba.start + ba.offset
        size = min(end, ba.end) - start
        obj: VmObject | None = ba.object if current.maptype == VM_MAPTYPE_NORMAL else None
        if obj is not None:
            vm_object_hold(obj)
        below = ba.backing_ba if current.maptype == VM_MAPTYPE_NORMAL else None
        if below is not None:
            offset += below.offset - ba.offset
            tobj: VmObject = below.object
            if tobj.hint("size") < (offset + size & ADDRESS_MASK) >> PAGE_SHIFT:
                size = (tobj.hint("size") << PAGE_SHIFT) - offset
            if tobj is not obj:
                vm_object_drop(obj)
                obj = tobj
                vm_object_hold(obj)
        if obj is not None:
            first = (offset & ADDRESS_MASK) >> PAGE_SHIFT
            last = (offset + size + PAGE_MASK & ADDRESS_MASK) >> PAGE_SHIFT
            _clean_object(obj, first, last, flags, write=bool(current.protection & VM_PROT_WRITE))
            if invalidate:
                _forget(obj, first, last)
        start += size
        vm_object_drop(obj)
        current = vm_map_entry_after(map, current)


def _clean_object(obj: VmObject, first: int, last: int, flags: int, *, write: bool) -> None:
    """Write dirty pages of a file that may be written to.  Locks: the object's token exclusively."""
    if obj.type == OBJT_VNODE and write and not obj.flags.load() & OBJ_NOMSYNC:
        vm_object_reference_locked(obj)
        vn_lock(obj.handle)
        vm_object_page_clean(obj, first, last, flags)
        vp: Vnode | None = obj.handle
        if vp is None:
            vm: VmSystem = obj.vm
            vm.panic("vn_unlock: page fault: the object has lost its vnode")
        vn_unlock(vp)
        vm_object_deallocate_locked(obj)


def _forget(obj: VmObject, first: int, last: int) -> None:
    """Remove pages of a file that are clean, or those of a device.  Locks: the object's token exclusively."""
    if obj.type in (OBJT_VNODE, OBJT_DEVICE, OBJT_MGTDEVICE):
        vm_object_reference_locked(obj)
        vm_object_page_remove(obj, first, last, obj.type == OBJT_VNODE)
        vm_object_deallocate_locked(obj)
