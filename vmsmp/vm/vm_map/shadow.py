"""Putting a private object in front of an object that an entry shares.

Models: vm_map_entry_shadow of sys/vm/vm_map.c.
Locks: the map exclusively throughout; the source's token shared, the new object's exclusively.  The source
keeps its reference, which goes from the head of the chain to the element behind it.
Deviations:
  * memory for an element of a chain is always there, after a point where the kernel may block.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.vm_map.backing import copy_backing, vm_map_backing_attach, vm_map_backing_detach
from vmsmp.vm.vm_map.flags import MAP_ENTRY_NEEDS_COPY, PAGE_SHIFT
from vmsmp.vm.vm_map.supply import new_backing
from vmsmp.vm.vm_object.allocate import vm_object_allocate_hold, vm_quickcolor
from vmsmp.vm.vm_object.flags import vm_object_clear_flag
from vmsmp.vm.vm_object.hold import vm_object_drop, vm_object_hold_shared
from vmsmp.vm.vm_object.object import ANONYMOUS, OBJ_ONEMAPPING, OBJT_VNODE

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_map.entry import VmMapEntry
    from vmsmp.vm.vm_object.object import VmObject


def _is_shared(source: VmObject) -> bool:
    """Return whether another entry may use the object: a hint, read without its token."""
    return (
        source.hint("type") == OBJT_VNODE
        or source.ref_count.load() != 1
        or source.hint("handle") is not None
        or source.hint("type") not in ANONYMOUS
    )


def vm_map_entry_shadow(entry: VmMapEntry) -> None:
    """Put a new object, which writes go to, in front of the entry's, if others may use that one.

    Locks: the map exclusively.  Sleeps: for memory, tokens and the locks of both backing lists.
    """
    vm: VmSystem = entry.vm
    source: VmObject | None = entry.ba.object
    if source is None:
        vm.panic("vm_map_entry_shadow: no object")
    if _is_shared(source):
        _put_in_front(entry, source)
    entry.eflags &= ~MAP_ENTRY_NEEDS_COPY


def _put_in_front(entry: VmMapEntry, source: VmObject) -> None:
    """Move the head's contents to a new element behind it; first the head leaves the source's list."""
    vm = entry.vm
    vm.pause_tokens("kmalloc")
    ba = new_backing(entry.map)
    vm_object_hold_shared(source)
    vm_object_clear_flag(source, OBJ_ONEMAPPING)
    result = vm_object_allocate_hold(vm, entry.ba.end - entry.ba.start >> PAGE_SHIFT)
    vm_map_backing_detach(entry, entry.ba)
    copy_backing(ba, entry.ba)
    entry.ba.object = result
    entry.ba.backing_ba = ba
    entry.ba.backing_count = ba.backing_count + 1
    entry.ba.offset = 0
    result.pg_color = vm_quickcolor(vm)
    vm_map_backing_attach(entry, entry.ba)
    vm_map_backing_attach(entry, ba)
    vm_object_drop(result)
    vm_object_drop(source)
