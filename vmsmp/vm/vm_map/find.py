"""Finding room in a map.

Models: vm_map_findspace, vm_map_freehint_find, _update and _hole, vm_map_find and vm_map_hint of
sys/vm/vm_map.c.
Locks: the map exclusively, from the search to the insertion.
Deviations:
  * the random number of a hint is drawn by the machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.pmap.kernel import pmap_growkernel
from vmsmp.vm.vm_map.flags import (
    ADDRESS_MASK,
    COWF_32BIT,
    KERN_NO_SPACE,
    LPMAP,
    MAP_32BIT,
    MAP_ENTRY_STACK,
    MAP_RESERVE_COUNT,
    MAP_TRYFIXED,
    UPMAP,
    VM_MAP_FFMASK,
    VM_MAPTYPE_UKSMAP,
    round_page,
)
from vmsmp.vm.vm_map.insert import Mapping, vm_map_insert
from vmsmp.vm.vm_map.link import vm_map_entry_after, vm_map_lookup_entry
from vmsmp.vm.vm_map.lock import ASSERT_VM_MAP_LOCKED, vm_map_lock, vm_map_unlock
from vmsmp.vm.vm_map.map import VmMapFreehint
from vmsmp.vm.vm_map.supply import vm_map_entry_release, vm_map_entry_reserve
from vmsmp.vm.vm_object.hold import vm_object_drop, vm_object_hold_shared

if TYPE_CHECKING:
    from typing import Any

    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_map.map import VmMap

_4G = 1 << 32


def vm_map_findspace(map: VmMap, start: int, length: int, align: int, flags: int = 0) -> int | None:
    """Return the first address from `start` on at which `length` bytes are free, or None.

    Locks: the map exclusively.  Sleeps: possibly, for page tables of the kernel.
    """
    ASSERT_VM_MAP_LOCKED(map)
    start = max(start, map.min_addr)
    if start > map.max_addr:
        return None
    whole = _is_whole(map, start, length, align, flags)
    if not flags & MAP_32BIT:
        start = max(start, vm_map_freehint_find(map, length, align))
    limit = min(map.max_addr, _4G) if flags & MAP_32BIT else map.max_addr
    hit, entry = vm_map_lookup_entry(map, start)
    if hit and entry is not None:
        start = entry.ba.end
    while True:
        aligned = _aligned(start, align)
        end = aligned + length
        if aligned < start or end > limit or end > ADDRESS_MASK:
            return None
        start = aligned
        entry = vm_map_entry_after(map, entry)
        if entry is None:
            break
        if entry.ba.start >= end and (
            not entry.eflags & MAP_ENTRY_STACK or flags & MAP_TRYFIXED or entry.ba.start - entry.aux >= end
        ):
            break
        start = entry.ba.end
    vm_map_freehint_update(map, start, length, align, whole=whole)
    vm = map.vm
    if map is vm.map.kernel_map and round_page(start + length) > vm.pmap.kernel_vm_end:
        pmap_growkernel(vm, start, round_page(start + length))
    return start


def _is_whole(map: VmMap, start: int, length: int, align: int, flags: int) -> bool:
    """Return whether a search from `start` on misses no hole of the map (for the ghost of a hint)."""
    for hint in map.peek("freehint") if not flags & MAP_32BIT else ():
        if (hint.length, hint.align) == (length, align) and hint.start > start:
            return bool(hint.whole)
    return start == map.min_addr


def _aligned(address: int, align: int) -> int:
    """Return the first aligned address from `address` on; beyond the highest address it wraps around."""
    if align & align - 1:
        return -(-address // align) * align & ADDRESS_MASK
    mask = align - 1 & ADDRESS_MASK
    return address + mask & ~mask & ADDRESS_MASK


def vm_map_freehint_find(map: VmMap, length: int, align: int) -> int:
    """Return where a search for that length and alignment may begin.  Locks: the map exclusively."""
    for hint in map.freehint:
        if hint.length == length and hint.align == align:
            return hint.start
    return 0


def vm_map_freehint_update(map: VmMap, start: int, length: int, align: int, *, whole: bool = False) -> None:
    """Note where a search for that length and alignment ended.  Locks: the map exclusively."""
    hints = map.changing("freehint")
    for hint in hints:
        if hint.length == length and hint.align == align:
            hint.start = start
            hint.whole = whole
            return
    hints[map.freehint_newindex & VM_MAP_FFMASK] = VmMapFreehint(start, length, align, whole=whole)
    map.freehint_newindex = map.freehint_newindex + 1 & 0xFF


def vm_map_freehint_hole(map: VmMap, start: int, length: int) -> None:
    """Note a new hole: searches that it might satisfy begin there.  Locks: the map exclusively."""
    for hint in map.changing("freehint"):
        if hint.length <= length and hint.start > start:
            hint.start = start


def vm_map_find(
    map: VmMap, address: int, length: int, align: int, fitit: bool, what: Mapping
) -> tuple[int, int]:
    """Map `length` bytes somewhere from `address` on (`fitit`), or exactly there.

    Returns: KERN_SUCCESS or an error, and the address.  After an error the caller still has its reference to
    the object.  Locks: none; takes the map exclusively, and holds the object shared.  Sleeps: yes.
    """
    vm = map.vm
    if what.maptype == VM_MAPTYPE_UKSMAP:
        if what.aux is None or what.object is None:
            vm.panic("vm_map_find: a device is mapped without a device or its function")
        what = what._replace(aux_info=_whose(vm, what.aux))
        obj = None
    else:
        obj = what.object
    reserved = vm_map_entry_reserve(vm, MAP_RESERVE_COUNT)
    vm_map_lock(map)
    if obj is not None:
        vm_object_hold_shared(obj)
    if fitit:
        found = vm_map_findspace(map, address, length, align, MAP_32BIT if what.cow & COWF_32BIT else 0)
        if found is None:
            vm_object_drop(obj)
            vm_map_unlock(map)
            vm_map_entry_release(vm, reserved)
            return KERN_NO_SPACE, address
        address = found
    result = vm_map_insert(map, reserved, address, address + length, what)
    vm_object_drop(obj)
    vm_map_unlock(map)
    vm_map_entry_release(vm, reserved)
    return result, address


def _whose(vm: VmSystem, dev: Any) -> Any:
    """Return the process or thread that a device's mapping shows, or None."""
    if dev.minor == UPMAP:
        return vm.mycpu().proc
    return vm.mycpu().lwp if dev.minor == LPMAP else None


def vm_map_hint(vm: VmSystem, space: Any, address: int, data_limit: int | None = None) -> int:
    """Return where mmap looks for room: at `address` if that is clear of text and data, else behind the data.

    `space` is the process' address space, with its text and data; `data_limit` is its RLIMIT_DATA.
    Locks: none.
    """
    dsiz = vm.config.maxdsiz if data_limit is None else data_limit
    end = space.vm_daddr + dsiz
    if address or not vm.map.randomize_mmap:
        if address == 0 or round_page(space.vm_taddr) <= address < round_page(end):
            return round_page(end)
        return address
    if dsiz:
        end += vm.machine.rng.randrange(1 << 63) % dsiz
    return round_page(end)
