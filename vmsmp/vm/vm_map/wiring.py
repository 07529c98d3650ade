"""Wiring a range of a map, so that its pages stay in memory: for a user (mlock), or for the kernel.

Models: vm_map_unwire and vm_map_wire, which the newer tree calls vm_map_user_wiring and vm_map_kernel_wiring,
and vm_map_set_wired_quick of sys/vm/vm_map.c.
Locks: the map exclusively.  It is unlocked while pages are faulted in, since a thread that has one of them
busied may wait for the map; the range is in transition meanwhile.
Deviations: none known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.vm_fault.wire import vm_fault_unwire, vm_fault_wire
from vmsmp.vm.vm_map.clip import vm_map_entry_allocate_object
from vmsmp.vm.vm_map.flags import (
    KERN_INVALID_ADDRESS,
    KERN_INVALID_ARGUMENT,
    KERN_SUCCESS,
    KM_KRESERVE,
    KM_PAGEABLE,
    MAP_CLIP_NO_HOLES,
    MAP_ENTRY_NEEDS_COPY,
    MAP_ENTRY_USER_WIRED,
    MAP_RESERVE_COUNT,
    VM_MAPTYPE_NORMAL,
    VM_PROT_WRITE,
)
from vmsmp.vm.vm_map.lock import (
    VM_MAP_RANGE_CHECK,
    vm_map_lock,
    vm_map_unlock,
)
from vmsmp.vm.vm_map.shadow import vm_map_entry_shadow
from vmsmp.vm.vm_map.supply import (
    vm_map_entry_krelease,
    vm_map_entry_kreserve,
    vm_map_entry_release,
    vm_map_entry_reserve,
)
from vmsmp.vm.vm_map.transition import (
    CLIP_CHECK_BACK,
    CLIP_CHECK_FWD,
    vm_map_clip_range,
    vm_map_unclip_range,
)

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_map.entry import VmMapEntry
    from vmsmp.vm.vm_map.map import VmMap
    from vmsmp.vm.vm_map.supply import Reserved


def vm_map_user_wiring(map: VmMap, start: int, real_end: int, new_pageable: bool) -> int:
    """Wire a range for a user, or (`new_pageable`) unwire it; return a KERN_* code.

    A range with holes is refused, and so is unwiring a range of which a part is not wired.
    Locks: takes the map's; it is unlocked while pages are faulted in.  Sleeps: yes.
    """
    vm = map.vm
    count = vm_map_entry_reserve(vm, MAP_RESERVE_COUNT)
    vm_map_lock(map)
    start, real_end = VM_MAP_RANGE_CHECK(map, start, real_end)
    start_entry = vm_map_clip_range(map, start, real_end, count, MAP_CLIP_NO_HOLES)
    if start_entry is None:
        vm_map_unlock(map)
        vm_map_entry_release(vm, count)
        return KERN_INVALID_ADDRESS
    rv, end = KERN_SUCCESS, real_end
    if not new_pageable:
        rv, end = _user_wire(map, start_entry, end)
        start_entry = CLIP_CHECK_BACK(map, start_entry, start)
    if new_pageable or rv != KERN_SUCCESS:
        rv = _user_unwire(map, start_entry, end) or rv
    vm_map_unclip_range(map, start_entry, start, real_end, count, MAP_CLIP_NO_HOLES)
    vm_map_unlock(map)
    vm_map_entry_release(vm, count)
    return rv


def _own_object(map: VmMap, entry: VmMapEntry) -> None:
    """Give an entry that is about to be wired an object of its own, if it has none or needs a copy."""
    if entry.maptype != VM_MAPTYPE_NORMAL:
        return
    if entry.eflags & MAP_ENTRY_NEEDS_COPY and entry.protection & VM_PROT_WRITE:
        vm_map_entry_shadow(entry)
    elif entry.ba.object is None and not map.system_map:
        vm_map_entry_allocate_object(entry)


def _user_wire(map: VmMap, start_entry: VmMapEntry, end: int) -> tuple[int, int]:
    """Wire the entries for a user; return a KERN_* code and the address up to which they are wired.

    The pieces of an entry that is cut while the map is unlocked are met again, and are wired already.
    """
    entry: VmMapEntry | None = start_entry
    while entry is not None and entry.ba.start < end:
        if entry.eflags & MAP_ENTRY_USER_WIRED:
            pass
        elif entry.wired_count:
            entry.wired_count += 1
            entry.eflags |= MAP_ENTRY_USER_WIRED
        else:
            _own_object(map, entry)
            entry.wired_count += 1
            entry.eflags |= MAP_ENTRY_USER_WIRED
            save_start, save_end = entry.ba.start, entry.ba.end
            rv = vm_fault_wire(map, entry, True, 0)
            if rv != KERN_SUCCESS:
                _take_back(map, entry, save_start, save_end)
                return rv, save_start
        entry = map.rb_root.next(entry)
    return KERN_SUCCESS, end


def _take_back(map: VmMap, entry: VmMapEntry, save_start: int, save_end: int) -> None:
    """Undo the wiring of an entry whose pages could not be faulted in, in all of its pieces."""
    vm: VmSystem = map.vm
    entry = CLIP_CHECK_BACK(map, entry, save_start)
    while True:
        if entry.wired_count != 1:
            vm.panic("vm_map: bad wired_count on entry")
        entry.eflags &= ~MAP_ENTRY_USER_WIRED
        entry.wired_count = 0
        if entry.ba.end == save_end:
            return
        following = map.rb_root.next(entry)
        if following is None:
            vm.panic("vm_map: bad entry clip during backout")
        entry = following


def _user_unwire(map: VmMap, start_entry: VmMapEntry, end: int) -> int:
    """Unwire the entries for a user, unless one of them is not wired; return a KERN_* code."""
    entry: VmMapEntry | None = start_entry
    while entry is not None and entry.ba.start < end:
        if not entry.eflags & MAP_ENTRY_USER_WIRED:
            return KERN_INVALID_ARGUMENT
        if entry.wired_count == 0:
            map.vm.panic("vm_map_user_wiring: wired count was 0 with USER_WIRED set!")
        entry = map.rb_root.next(entry)
    entry = start_entry
    while entry is not None and entry.ba.start < end:
        entry.eflags &= ~MAP_ENTRY_USER_WIRED
        entry.wired_count -= 1
        if entry.wired_count == 0:
            vm_fault_unwire(map, entry)
        entry = map.rb_root.next(entry)
    return KERN_SUCCESS


def vm_map_kernel_wiring(map: VmMap, start: int, real_end: int, kmflags: int) -> int:
    """Wire a range for the kernel, or (KM_PAGEABLE) unwire it; return a KERN_* code.

    Locks: takes the map's; it is unlocked while pages are faulted in.  Sleeps: yes.
    """
    vm = map.vm
    reserved = kmflags & KM_KRESERVE
    count = (vm_map_entry_kreserve if reserved else vm_map_entry_reserve)(vm, MAP_RESERVE_COUNT)
    vm_map_lock(map)
    start, real_end = VM_MAP_RANGE_CHECK(map, start, real_end)
    start_entry = vm_map_clip_range(map, start, real_end, count, MAP_CLIP_NO_HOLES)
    rv = KERN_INVALID_ADDRESS
    if start_entry is not None:
        rv, end = KERN_SUCCESS, real_end
        if not kmflags & KM_PAGEABLE:
            rv, end = _kernel_wire(map, start_entry, end, kmflags)
            start_entry = CLIP_CHECK_BACK(map, start_entry, start)
        if kmflags & KM_PAGEABLE or rv != KERN_SUCCESS:
            rv = _kernel_unwire(map, start_entry, end) or rv
        vm_map_unclip_range(map, start_entry, start, real_end, count, MAP_CLIP_NO_HOLES)
    vm_map_unlock(map)
    (vm_map_entry_krelease if reserved else vm_map_entry_release)(vm, count)
    return rv


def _kernel_wire(map: VmMap, start_entry: VmMapEntry, end: int, kmflags: int) -> tuple[int, int]:
    """Count a wiring of all entries, and then fault in those that had none; return as `_user_wire` does."""
    entry: VmMapEntry | None = start_entry
    while entry is not None and entry.ba.start < end:
        if not entry.wired_count:
            _own_object(map, entry)
        entry.wired_count += 1
        entry = map.rb_root.next(entry)
    entry = start_entry
    while entry is not None and entry.ba.start < end:
        save_start, save_end = entry.ba.start, entry.ba.end
        rv = vm_fault_wire(map, entry, False, kmflags) if entry.wired_count == 1 else KERN_SUCCESS
        if rv != KERN_SUCCESS:
            _take_back(map, entry, save_start, save_end)
            return rv, save_start
        entry = map.rb_root.next(CLIP_CHECK_FWD(map, entry, save_end))
    return KERN_SUCCESS, end


def _kernel_unwire(map: VmMap, start_entry: VmMapEntry, end: int) -> int:
    """Count one wiring less of all entries, unless one has none; return a KERN_* code."""
    entry: VmMapEntry | None = start_entry
    while entry is not None and entry.ba.start < end:
        if entry.wired_count == 0:
            return KERN_INVALID_ARGUMENT
        entry = map.rb_root.next(entry)
    entry = start_entry
    while entry is not None and entry.ba.start < end:
        entry.wired_count -= 1
        if entry.wired_count == 0:
            vm_fault_unwire(map, entry)
        entry = map.rb_root.next(entry)
    return KERN_SUCCESS


def vm_map_set_wired_quick(map: VmMap, addr: int, size: int, count: Reserved) -> None:
    """Mark a mapped range as wired; the caller wires its pages.

    Locks: the map exclusively; it is unlocked only to wait for a transition.
    """
    vm: VmSystem = map.vm
    end = addr + size
    start_entry = vm_map_clip_range(map, addr, end, count, MAP_CLIP_NO_HOLES)
    if start_entry is None:
        vm.panic("vm_map_set_wired_quick: the range is not mapped")
    entry: VmMapEntry | None = start_entry
    while entry is not None and entry.ba.start < end:
        if entry.wired_count:
            vm.panic("vm_map_set_wired_quick: wired already")
        entry.wired_count = 1
        entry = map.rb_root.next(entry)
    vm_map_unclip_range(map, start_entry, addr, end, count, MAP_CLIP_NO_HOLES)
