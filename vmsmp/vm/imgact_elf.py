"""Loading one file of a program, such as its interpreter; and walking what a dump of a process has.

Models: the load_file and load_section functions of sys/kern/imgact_elf.c, for one segment of whole pages, and
each_segment.
A file that is loaded is text from then on, and cannot be opened for writing.  The flag says so (VTEXT); it
is set when the file has been looked at, and cleared when the last mapping of the file goes.
Locks: the vnode's lock shared, only while the flag is set; then the map's.  A dump takes none of the map's.
Deviations:
  * permissions, headers and the part of a segment beyond the file (bss) are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.sync.errno import EIO, LK_SHARED
from vmsmp.vm.vm_map.counters import entries_unlocked
from vmsmp.vm.vm_map.flags import (
    COWF_COPY_ON_WRITE,
    COWF_PREFAULT,
    KERN_SUCCESS,
    MAP_ENTRY_NOCOREDUMP,
    MAP_RESERVE_COUNT,
    PAGE_SHIFT,
    VM_MAPTYPE_NORMAL,
    VM_PROT_ALL,
    VM_PROT_EXECUTE,
    VM_PROT_READ,
    VM_SUBSYS_IMGACT,
)
from vmsmp.vm.vm_map.insert import Mapping, vm_map_insert
from vmsmp.vm.vm_map.lock import vm_map_lock, vm_map_unlock
from vmsmp.vm.vm_map.supply import vm_map_entry_release, vm_map_entry_reserve
from vmsmp.vm.vm_object.deallocate import vm_object_deallocate_locked
from vmsmp.vm.vm_object.hold import vm_object_drop, vm_object_hold, vm_object_hold_shared
from vmsmp.vm.vm_object.object import ANONYMOUS, OBJT_VNODE
from vmsmp.vm.vm_object.reference import vm_object_reference_locked
from vmsmp.vm.vnode import VTEXT, vget, vput, vsetflags

if TYPE_CHECKING:
    from collections.abc import Callable

    from vmsmp.vm.vm_map.entry import VmMapBacking, VmMapEntry
    from vmsmp.vm.vm_map.map import VmMap
    from vmsmp.vm.vm_object.object import VmObject
    from vmsmp.vm.vnode import Vnode


def elf_load_file(map: VmMap, vp: Vnode, address: int, pages: int) -> int:
    """Make the file text, and map its first pages to be executed; return an errno.

    Locks: the vnode referenced by the caller; takes its lock shared, and then the map's.  Sleeps: yes.
    """
    error = vget(vp, LK_SHARED)
    if error:
        return error
    vsetflags(vp, VTEXT)
    vput(vp)
    return elf_load_section(map, vp, address, pages)


def elf_load_section(map: VmMap, vp: Vnode, address: int, pages: int) -> int:
    """Map pages of the file from its first one on, so that writes go to a copy; return an errno.

    Locks: takes the object's token and the map's lock.  Sleeps: yes.
    """
    obj: VmObject | None = vp.hint("v_object")
    if obj is None:
        return EIO
    what = Mapping(
        object=obj,
        prot=VM_PROT_READ | VM_PROT_EXECUTE,
        max=VM_PROT_ALL,
        id=VM_SUBSYS_IMGACT,
        cow=COWF_COPY_ON_WRITE | COWF_PREFAULT,
    )
    vm_object_hold(obj)
    count = vm_map_entry_reserve(map.vm, MAP_RESERVE_COUNT)
    vm_map_lock(map)
    vm_object_reference_locked(obj)
    rv = vm_map_insert(map, count, address, address + (pages << PAGE_SHIFT), what)
    vm_map_unlock(map)
    vm_map_entry_release(map.vm, count)
    if rv != KERN_SUCCESS:
        vm_object_deallocate_locked(obj)
    vm_object_drop(obj)
    return 0 if rv == KERN_SUCCESS else EIO


def each_segment(map: VmMap, func: Callable[[VmMapEntry], int]) -> int:
    """Call `func` for each entry of memory or files that a dump has, until it fails; return its last errno.

    Memory that may not be accessed, or that the process has left out, is none of these.
    Locks: none of the map's; holds the first and the last object of the entry.  Sleeps: for their tokens.
    """
    error = 0
    for entry in entries_unlocked(map):
        left_out = entry.hint("eflags") & MAP_ENTRY_NOCOREDUMP or not entry.hint("protection")
        obj: VmObject | None = entry.ba.hint("object")
        if left_out or entry.hint("maptype") != VM_MAPTYPE_NORMAL or obj is None:
            continue
        last: VmMapBacking = entry.ba
        while last.hint("backing_ba") is not None:
            last = last.hint("backing_ba")
        lobj: VmObject = last.hint("object")
        vm_object_hold_shared(obj)
        if lobj is not obj:
            vm_object_hold_shared(lobj)
        if lobj.hint("type") in (*ANONYMOUS, OBJT_VNODE):
            error = func(entry)
        if lobj is not obj:
            vm_object_drop(lobj)
        vm_object_drop(obj)
        if error:
            break
    return error
