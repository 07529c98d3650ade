"""Changing and testing the protection of a range, and setting its inheritance.

Models: vm_map_protect, vm_map_inherit and vm_map_check_protection of sys/vm/vm_map.c.
Locks: the map, exclusively to change; the map's token is not taken.  Entries in transition are changed like
any others.
Deviations: none known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.sync.errno import LK_EXCLUSIVE, LK_NOWAIT
from vmsmp.vm.pmap.remove import pmap_protect
from vmsmp.vm.vm_map.clip import vm_map_clip_end, vm_map_clip_start, vm_map_simplify_entry
from vmsmp.vm.vm_map.flags import (
    KERN_INVALID_ARGUMENT,
    KERN_PROTECTION_FAILURE,
    KERN_SUCCESS,
    MAP_ENTRY_COW,
    MAP_ENTRY_NEEDS_COPY,
    MAP_RESERVE_COUNT,
    VM_INHERIT_COPY,
    VM_INHERIT_NONE,
    VM_INHERIT_SHARE,
    VM_MAPTYPE_NORMAL,
    VM_MAPTYPE_SUBMAP,
    VM_PROT_ALL,
    VM_PROT_WRITE,
)
from vmsmp.vm.vm_map.link import vm_map_entry_after, vm_map_lookup_entry
from vmsmp.vm.vm_map.lock import (
    VM_MAP_RANGE_CHECK,
    vm_map_lock,
    vm_map_lock_read,
    vm_map_unlock,
    vm_map_unlock_read,
)
from vmsmp.vm.vm_map.supply import vm_map_entry_release, vm_map_entry_reserve
from vmsmp.vm.vm_object.object import OBJT_VNODE
from vmsmp.vm.vnode import VLASTWRITETS, vn_unlock, vsetflags

if TYPE_CHECKING:
    from vmsmp.vm.vm_map.entry import VmMapEntry
    from vmsmp.vm.vm_map.map import VmMap
    from vmsmp.vm.vm_map.supply import Reserved
    from vmsmp.vm.vnode import Vnode


def vm_map_range_first(map: VmMap, start: int, reserved: Reserved) -> VmMapEntry | None:
    """Return the first entry of the range from `start` on, cut to begin there if it began before."""
    hit, entry = vm_map_lookup_entry(map, start)
    if not hit or entry is None:
        return vm_map_entry_after(map, entry)
    vm_map_clip_start(map, entry, start, reserved)
    return entry


def vm_map_protect(map: VmMap, start: int, end: int, new_prot: int, set_max: bool) -> int:
    """Give the range these rights, or limit them to these; return KERN_SUCCESS or an error.

    Holes are skipped.  An error changes nothing, but for a cut at `start`.  Locks: none; takes the map
    exclusively.  Sleeps: yes.
    """
    vm = map.vm
    reserved = vm_map_entry_reserve(vm, MAP_RESERVE_COUNT)
    vm_map_lock(map)
    start, end = VM_MAP_RANGE_CHECK(map, start, end)
    first = vm_map_range_first(map, start, reserved)
    result = _may_protect(map, first, end, new_prot)
    if result == KERN_SUCCESS:
        current = first
        while current is not None and current.ba.start < end:
            vm_map_clip_end(map, current, end, reserved)
            _protect_entry(map, current, new_prot, set_max)
            vm_map_simplify_entry(map, current, reserved)
            current = map.rb_root.next(current)
    vm_map_unlock(map)
    vm_map_entry_release(vm, reserved)
    return result


def _may_protect(map: VmMap, first: VmMapEntry | None, end: int, new_prot: int) -> int:
    """Return whether every entry up to `end` may have these rights."""
    current = first
    while current is not None and current.ba.start < end:
        if current.maptype == VM_MAPTYPE_SUBMAP:
            return KERN_INVALID_ARGUMENT
        if new_prot & current.max_protection.load() != new_prot:
            return KERN_PROTECTION_FAILURE
        if (
            new_prot & VM_PROT_WRITE
            and not current.eflags & MAP_ENTRY_NEEDS_COPY
            and current.maptype == VM_MAPTYPE_NORMAL
            and current.ba.object is not None
            and current.ba.object.hint("type") == OBJT_VNODE
        ):
            _file_is_written(current.ba.object.hint("handle"))
        current = map.rb_root.next(current)
    return KERN_SUCCESS


def _file_is_written(vp: Vnode | None) -> None:
    """Note that a file may be written from now on, if its lock can be taken without waiting."""
    if vp is not None and vp.v_lock.lock(LK_EXCLUSIVE | LK_NOWAIT) == 0:
        vp.v_lastwrite_ts = vp.vm.machine.ticks
        vsetflags(vp, VLASTWRITETS)
        vn_unlock(vp)


def _protect_entry(map: VmMap, entry: VmMapEntry, new_prot: int, set_max: bool) -> None:
    """Give an entry these rights, and take away those of its mappings that exceed them."""
    old = entry.protection
    if set_max:
        entry.max_protection.store(new_prot)
        entry.protection = new_prot & old
    else:
        entry.protection = new_prot
    if entry.protection != old:
        mask = ~VM_PROT_WRITE if entry.eflags & MAP_ENTRY_COW else VM_PROT_ALL
        pmap_protect(map.pmap, entry.ba.start, entry.ba.end, entry.protection & mask)


def vm_map_inherit(map: VmMap, start: int, end: int, value: int) -> int:
    """Set how a child inherits the range; return KERN_SUCCESS or KERN_INVALID_ARGUMENT.

    Locks: none; takes the map exclusively.  Sleeps: yes.
    """
    if value not in (VM_INHERIT_NONE, VM_INHERIT_COPY, VM_INHERIT_SHARE):
        return KERN_INVALID_ARGUMENT
    vm = map.vm
    reserved = vm_map_entry_reserve(vm, MAP_RESERVE_COUNT)
    vm_map_lock(map)
    start, end = VM_MAP_RANGE_CHECK(map, start, end)
    entry = vm_map_range_first(map, start, reserved)
    while entry is not None and entry.ba.start < end:
        vm_map_clip_end(map, entry, end, reserved)
        entry.inheritance = value
        vm_map_simplify_entry(map, entry, reserved)
        entry = map.rb_root.next(entry)
    vm_map_unlock(map)
    vm_map_entry_release(vm, reserved)
    return KERN_SUCCESS


def vm_map_check_protection(map: VmMap, start: int, end: int, prot: int, have_lock: bool) -> bool:
    """Return whether the whole range is mapped with these rights, or mapped at all for VM_PROT_NONE.

    Locks: the map in any mode (`have_lock`), or none; takes it shared.  Sleeps: for it.
    """
    if not have_lock:
        vm_map_lock_read(map)
    allowed = _allows(map, start, end, prot)
    if not have_lock:
        vm_map_unlock_read(map)
    return allowed


def _allows(map: VmMap, start: int, end: int, prot: int) -> bool:
    hit, entry = vm_map_lookup_entry(map, start)
    if not hit:
        return False
    while start < end:
        if entry is None or start < entry.ba.start or entry.protection & prot != prot:
            return False
        start = entry.ba.end
        entry = map.rb_root.next(entry)
    return True
