"""Removing a range from a map.

Models: vm_map_delete, vm_map_remove and vm_map_entry_unwire of sys/vm/vm_map.c.
Locks: the map exclusively; its token is taken inside.  The mappings of a range are removed first, then its
pages, and its entries last, since disposing of an entry may free pages.
Deviations: none known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.pmap.remove import pmap_remove
from vmsmp.vm.vm_fault.wire import vm_fault_unwire
from vmsmp.vm.vm_map.backing import vm_map_entry_delete
from vmsmp.vm.vm_map.clip import vm_map_clip_end, vm_map_clip_start
from vmsmp.vm.vm_map.find import vm_map_freehint_hole
from vmsmp.vm.vm_map.flags import (
    ADDRESS_MASK,
    KERN_SUCCESS,
    MAP_ENTRY_USER_WIRED,
    MAP_RESERVE_COUNT,
    PAGE_SHIFT,
    VM_MAPTYPE_NORMAL,
    VM_MAPTYPE_SUBMAP,
    VM_MAPTYPE_UKSMAP,
)
from vmsmp.vm.vm_map.link import vm_map_lookup_entry
from vmsmp.vm.vm_map.lock import (
    ASSERT_VM_MAP_LOCKED,
    VM_MAP_RANGE_CHECK,
    vm_map_lock,
    vm_map_unlock,
)
from vmsmp.vm.vm_map.supply import vm_map_entry_release, vm_map_entry_reserve
from vmsmp.vm.vm_map.transition import vm_map_entry_wait
from vmsmp.vm.vm_object.hold import vm_object_drop, vm_object_hold, vm_object_hold_shared
from vmsmp.vm.vm_object.object import (
    OBJ_NOSPLIT,
    OBJ_ONEMAPPING,
    OBJT_DEFAULT,
    OBJT_SWAP,
)
from vmsmp.vm.vm_object.remove import vm_object_page_remove
from vmsmp.vm.vm_pager.swap_meta import swap_pager_freespace

if TYPE_CHECKING:
    from vmsmp.vm.vm_map.entry import VmMapEntry
    from vmsmp.vm.vm_map.map import VmMap
    from vmsmp.vm.vm_map.supply import Reserved
    from vmsmp.vm.vm_object.object import VmObject


def vm_map_delete(map: VmMap, start: int, end: int, reserved: Reserved) -> int:
    """Remove the range from the map; return KERN_SUCCESS.

    Locks: the map exclusively; it is unlocked to wait for an entry in transition.  Sleeps: yes.
    """
    ASSERT_VM_MAP_LOCKED(map)
    map.token.acquire()
    hole_start, entry = _first(map, start, reserved)
    while entry is not None and entry.ba.start < end:
        if entry.in_transition:
            start = entry.ba.start
            vm_map_entry_wait(map, entry)
            hole_start, entry = _first(map, start, reserved)
            continue
        vm_map_clip_end(map, entry, end, reserved)
        following = map.rb_root.next(entry)
        if entry.wired_count:
            vm_map_entry_unwire(map, entry)
        _remove_pages(map, entry)
        vm_map_entry_delete(map, entry, reserved)
        entry = following
    hole_end = map.max_addr if entry is None else entry.ba.start
    vm_map_freehint_hole(map, hole_start, hole_end - hole_start & ADDRESS_MASK)
    map.token.release()
    return KERN_SUCCESS


def _first(map: VmMap, start: int, reserved: Reserved) -> tuple[int, VmMapEntry | None]:
    """Return where the hole will begin, and the first entry of the range, cut to begin there."""
    hit, entry = vm_map_lookup_entry(map, start)
    if hit and entry is not None:
        vm_map_clip_start(map, entry, start, reserved)
        return start, entry
    if entry is not None:
        following = map.rb_root.next(entry)
        return (entry.ba.end if following is not None else entry.ba.start), following
    first = map.rb_root.first()
    return (map.max_addr if first is not None else map.min_addr), first


def vm_map_entry_unwire(map: VmMap, entry: VmMapEntry) -> None:
    """Clear an entry's wirings and unwire its pages, which must still be mapped.  Sleeps: for busy pages."""
    entry.eflags &= ~MAP_ENTRY_USER_WIRED
    entry.wired_count = 0
    vm_fault_unwire(map, entry)


def _remove_pages(map: VmMap, entry: VmMapEntry) -> None:
    """Remove an entry's mappings and, if no other entry can map them, its pages.

    The mappings of an entry without an object stay: its users remove them.  Deleting a submap panics, since
    the kernel would take the map for an object.
    """
    vm, ba = map.vm, entry.ba
    start, end = ba.start, ba.end
    first = ba.offset >> PAGE_SHIFT
    last = first + (end - start >> PAGE_SHIFT)
    if entry.maptype == VM_MAPTYPE_SUBMAP:
        vm.panic("vm_map_delete: page fault: the submap of an entry is taken for an object")
    obj = ba.object if entry.maptype == VM_MAPTYPE_NORMAL else None
    pmap = map.pmap
    if obj is vm.objects.kernel_object:
        pmap_remove(pmap, start, end)
        vm_object_hold(obj)
        vm_object_page_remove(obj, first, last, False)
        vm_object_drop(obj)
    elif obj is None:
        if entry.maptype == VM_MAPTYPE_UKSMAP:
            pmap_remove(pmap, start, end)
    elif obj.hint("type") not in (OBJT_DEFAULT, OBJT_SWAP):
        vm_object_hold_shared(obj)
        pmap_remove(pmap, start, end)
        vm_object_drop(obj)
    else:
        vm_object_hold(obj)
        pmap_remove(pmap, start, end)
        _free_pages(obj, first, last)
        vm_object_drop(obj)


def _free_pages(obj: VmObject, first: int, last: int) -> None:
    """Free pages of anonymous memory, unless other entries may map them or the object is freed anyway."""
    if obj.ref_count.load() == 1 or obj.type not in (OBJT_DEFAULT, OBJT_SWAP):
        return
    if obj.flags.load() & (OBJ_NOSPLIT | OBJ_ONEMAPPING) != OBJ_ONEMAPPING:
        return
    vm_object_page_remove(obj, first, last, False)
    if obj.type == OBJT_SWAP:
        swap_pager_freespace(obj, first, last - first)
    if last >= obj.size and first < obj.size:
        obj.publish("size", first)


def vm_map_remove(map: VmMap, start: int, end: int) -> int:
    """Remove the range from the map; return KERN_SUCCESS.  Locks: none; takes the map.  Sleeps: yes."""
    vm = map.vm
    reserved = vm_map_entry_reserve(vm, MAP_RESERVE_COUNT)
    vm_map_lock(map)
    start, end = VM_MAP_RANGE_CHECK(map, start, end)
    vm_map_delete(map, start, end, reserved)
    vm_map_unlock(map)
    vm_map_entry_release(vm, reserved)
    return KERN_SUCCESS
