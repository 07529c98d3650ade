"""Entries in a map's tree: looking one up, linking and unlinking.

Models: vm_map_lookup_entry, vm_map_entry_link and vm_map_entry_unlink of sys/vm/vm_map.c.
Locks: the map's lock, in any mode to look one up, exclusively to link or unlink.  A walk of the tree under
the map's token alone can miss a link or an unlink, so each is a visible operation.
Deviations: none known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.vm_map.lock import ASSERT_VM_MAP_LOCKED

if TYPE_CHECKING:
    from vmsmp.vm.vm_map.entry import VmMapEntry
    from vmsmp.vm.vm_map.map import VmMap


def vm_map_lookup_entry(map: VmMap, address: int) -> tuple[bool, VmMapEntry | None]:
    """Return whether an entry contains the address, and that entry or the closest one before it."""
    ASSERT_VM_MAP_LOCKED(map)
    entry = map.rb_root.at_or_before(address)
    return entry is not None and address < entry.ba.end, entry


def vm_map_entry_after(map: VmMap, entry: VmMapEntry | None) -> VmMapEntry | None:
    """Return the next entry, or the first if `entry` is None."""
    return map.rb_root.first() if entry is None else map.rb_root.next(entry)


def vm_map_entry_link(map: VmMap, entry: VmMapEntry) -> None:
    """Put an entry into the tree; panic if another one has the same start."""
    ASSERT_VM_MAP_LOCKED(map)
    tree = map.changing("rb_root")
    map.publish("rb_root", tree)
    map.nentries += 1
    if tree.insert(entry) is not None:
        map.vm.panic("vm_map_entry_link: dup addr")
    entry.linked = True


def vm_map_entry_unlink(map: VmMap, entry: VmMapEntry) -> None:
    """Take an entry out of the tree; panic if it is in transition."""
    ASSERT_VM_MAP_LOCKED(map)
    if entry.in_transition:
        map.vm.panic("vm_map_entry_unlink: attempt to mess with locked entry!")
    tree = map.changing("rb_root")
    map.publish("rb_root", tree)
    tree.remove(entry)
    entry.linked = False
    map.nentries -= 1
