"""Copying an address space for a new process: entries are shared, copied on write, or left out.

Models: vmspace_fork, vmspace_fork_normal_entry, vmspace_fork_uksmap_entry and vm_map_copy_entry of
sys/vm/vm_map.c.
Memory that is copied on write is made read-only in the old address space, and both entries are marked: the
process that writes first puts an object of its own in front of the shared one.
Locks: the old map's token and lock exclusively from beginning to end, so that no fault and no change of that
map comes in between; inside them the new map's, which no other CPU can find yet.
Oddities of the kernel are kept: the new map's size is the old one's, whatever was left out; an entry that
another CPU has in transition is copied as it is; and a reference to the object of a wired entry that is
copied is leaked.
Deviations:
  * pmap_copy does nothing, as in the kernel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vmsmp.vm.pmap.remove import pmap_protect
from vmsmp.vm.vm_fault.collapse import vm_fault_collapse
from vmsmp.vm.vm_fault.copy_entry import vm_fault_copy_entry
from vmsmp.vm.vm_map.backing import (
    copy_entry,
    vm_map_backing_detach,
    vm_map_backing_replicated,
    vm_map_entry_dispose_ba,
)
from vmsmp.vm.vm_map.clip import vm_map_entry_allocate_object
from vmsmp.vm.vm_map.flags import (
    KERN_SUCCESS,
    KPMAP,
    LPMAP,
    MAP_ENTRY_COW,
    MAP_ENTRY_NEEDS_COPY,
    MAP_ENTRY_USER_WIRED,
    MAP_RESERVE_COUNT,
    UPMAP,
    VM_INHERIT_COPY,
    VM_INHERIT_SHARE,
    VM_MAPTYPE_NORMAL,
    VM_MAPTYPE_SUBMAP,
    VM_MAPTYPE_UKSMAP,
    VM_PROT_WRITE,
)
from vmsmp.vm.vm_map.link import vm_map_entry_link
from vmsmp.vm.vm_map.lock import vm_map_lock, vm_map_unlock
from vmsmp.vm.vm_map.shadow import vm_map_entry_shadow
from vmsmp.vm.vm_map.supply import vm_map_entry_create, vm_map_entry_release, vm_map_entry_reserve
from vmsmp.vm.vm_map.vmspace import COPIED, vmspace_alloc

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_map.entry import VmMapEntry
    from vmsmp.vm.vm_map.map import VmMap
    from vmsmp.vm.vm_map.supply import Reserved
    from vmsmp.vm.vm_map.vmspace import Vmspace
    from vmsmp.vm.vm_meter.meter import Lwp, Proc


def vmspace_fork(vm1: Vmspace, p2: Proc | None, lp2: Lwp | None) -> Vmspace:
    """Return a copy of the address space with one reference, for process `p2` and its first thread `lp2`.

    Locks: takes the old map's token and lock, and inside them the new map's.
    Sleeps: for them, for memory, and as copying an entry does; the old map stays locked.
    """
    vm: VmSystem = vm1.vm
    old = vm1.vm_map
    old.token.acquire()
    vm_map_lock(old)
    vm2 = vmspace_alloc(vm, old.min_addr, old.max_addr)
    new = vm2.vm_map
    new.token.acquire()
    for name in COPIED:
        setattr(vm2, name, getattr(vm1, name))
    new.timestamp = 1
    vm_map_lock(new)
    reserved = vm_map_entry_reserve(vm, old.nentries + MAP_RESERVE_COUNT)
    entry = old.rb_root.first()
    while entry is not None:
        if entry.maptype == VM_MAPTYPE_SUBMAP:
            vm.panic("vm_map_fork: encountered a submap")
        elif entry.maptype == VM_MAPTYPE_UKSMAP:
            vmspace_fork_uksmap_entry(p2, lp2, new, entry, reserved)
        elif entry.maptype == VM_MAPTYPE_NORMAL:
            vmspace_fork_normal_entry(old, new, entry, reserved)
        entry = old.rb_root.next(entry)
    new.publish("size", old.size)
    vm_map_unlock(new)
    vm_map_unlock(old)
    vm_map_entry_release(vm, reserved)
    new.token.release()
    old.token.release()
    return vm2


def vmspace_fork_normal_entry(old: VmMap, new: VmMap, entry: VmMapEntry, reserved: Reserved) -> None:
    """Share an entry of objects with the new map, copy it, or leave it out, according to its inheritance.

    A chain that is long, or whose first object has all its pages, is cut off before.
    Locks: both maps exclusively.  Sleeps: for memory, tokens, pages and the locks of backing lists.
    """
    if entry.ba.backing_ba is not None and _may_collapse(entry):
        _collapse(old, entry)
    if entry.inheritance == VM_INHERIT_SHARE:
        _share_entry(new, entry, reserved)
    elif entry.inheritance == VM_INHERIT_COPY:
        copy = _clone(new, entry, reserved)
        vm_map_backing_replicated(new, copy, 0)
        vm_map_entry_link(new, copy)
        vm_map_copy_entry(old, new, entry, copy)


def _may_collapse(entry: VmMapEntry) -> bool:
    """Return whether the chain is long, or seems not to be needed: a hint, read without a token."""
    vm: VmSystem = entry.vm
    if entry.ba.backing_count >= vm.map.map_backing_limit:
        return True
    obj = entry.ba.object
    if not vm.map.map_backing_shadow_test or obj is None:
        return False
    size: int = obj.hint("size")
    resident: int = obj.hint("resident_page_count")
    return size == resident


def _collapse(old: VmMap, entry: VmMapEntry) -> None:
    """Bring all pages of the entry into an object of its own, and release the objects behind that one."""
    if entry.eflags & MAP_ENTRY_NEEDS_COPY:
        vm_map_entry_shadow(entry)
    if entry.ba.object is None:
        vm_map_entry_allocate_object(entry)
    if vm_fault_collapse(old, entry) == KERN_SUCCESS:
        ba = entry.ba.backing_ba
        entry.ba.backing_ba = None
        entry.ba.backing_count = 0
        vm_map_entry_dispose_ba(entry, ba)


def _share_entry(new: VmMap, entry: VmMapEntry, reserved: Reserved) -> None:
    """Let both maps use the same object, which is first allocated or shadowed if it must be."""
    if entry.ba.object is None:
        vm_map_entry_allocate_object(entry)
    if entry.eflags & MAP_ENTRY_NEEDS_COPY:
        vm_map_entry_shadow(entry)
    copy = _clone(new, entry, reserved)
    vm_map_backing_replicated(new, copy, 0)
    vm_map_entry_link(new, copy)


def _clone(new: VmMap, entry: VmMapEntry, reserved: Reserved) -> VmMapEntry:
    """Copy an entry with all of its flags, but not its wirings; it has no chain of its own yet."""
    copy = vm_map_entry_create(new, reserved)
    copy_entry(copy, entry)
    copy.eflags &= ~MAP_ENTRY_USER_WIRED
    copy.wired_count = 0
    return copy


def vm_map_copy_entry(src_map: VmMap, dst_map: VmMap, src: VmMapEntry, dst: VmMapEntry) -> None:
    """Mark both entries to be copied on write, and make the source's mappings read-only.

    If the source needs a copy already, its mappings are read-only already.  Wired memory is copied at once,
    and stays writeable.
    Locks: both maps exclusively.  Sleeps: for page tables, or as copying the pages does.
    """
    vm: VmSystem = src_map.vm
    if dst.maptype != VM_MAPTYPE_NORMAL:
        vm.panic("vm_map_copy_entry: not an entry of objects")
    if src.wired_count:
        if dst.ba.object is not None:
            vm_map_backing_detach(dst, dst.ba)
            dst.ba.object = None
            vm_map_entry_dispose_ba(dst, dst.ba.backing_ba)
            dst.ba.backing_ba = None
            dst.ba.backing_count = 0
        vm_fault_copy_entry(dst_map, src_map, dst, src)
        return
    if not src.eflags & MAP_ENTRY_NEEDS_COPY:
        pmap_protect(src_map.pmap, src.ba.start, src.ba.end, src.protection & ~VM_PROT_WRITE)
    if src.ba.object is None:
        dst.ba.offset = 0
        return
    src.eflags |= MAP_ENTRY_COW | MAP_ENTRY_NEEDS_COPY
    dst.eflags |= MAP_ENTRY_COW | MAP_ENTRY_NEEDS_COPY
    if dst.ba.offset != src.ba.offset:
        vm.panic("vm_map_copy_entry: the offsets differ")


def vmspace_fork_uksmap_entry(
    p2: Proc | None, lp2: Lwp | None, new: VmMap, entry: VmMapEntry, reserved: Reserved
) -> None:
    """Copy an entry of a device for the new process; one that shows a thread only if `lp2` has its id.

    Locks: both maps exclusively; the device's function takes its own.
    """
    minor = entry.aux.minor if entry.aux else None
    shown = entry.ba.aux_info
    if minor == LPMAP and (lp2 is None or shown is None or shown.lwp_tid != lp2.lwp_tid):
        return
    copy = _clone(new, entry, reserved)
    if copy.ba.backing_ba is not None:
        new.vm.panic("vmspace_fork_uksmap_entry: the entry has a chain")
    copy.ba.aux_info = _shown(minor, shown, p2, lp2)
    vm_map_backing_replicated(new, copy, 0)
    vm_map_entry_link(new, copy)


def _shown(minor: int | None, shown: Any, p2: Proc | None, lp2: Lwp | None) -> Any:
    """Return the process or thread that a device's entry of the new map shows, or None."""
    if minor == UPMAP:
        return p2
    if minor == LPMAP:
        return lp2
    return None if minor in (KPMAP, None) else shown
