"""How much swap and anonymous memory an address space has, counted over its entries.

Models: vmspace_swap_count and vmspace_anonymous_count of sys/vm/vm_map.c.
Locks: the map's token, not its lock: a CPU that holds only the lock may change the map meanwhile.  Objects
are read without a lock.  Only the first object of a chain is counted.
Deviations:
  * the walk continues from an entry's address instead of its links, even if the entry has left the tree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vmsmp.vm.vm_map.flags import PAGE_SHIFT, VM_MAPTYPE_NORMAL
from vmsmp.vm.vm_map.vmspace import vmspace_drop, vmspace_hold
from vmsmp.vm.vm_object.object import ANONYMOUS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vmsmp.vm.vm_map.entry import VmMapEntry
    from vmsmp.vm.vm_map.map import VmMap
    from vmsmp.vm.vm_map.vmspace import Vmspace
    from vmsmp.vm.vm_object.object import VmObject

#: Blocks of swap that one node of an object's tree of swap has.
SWAP_META_PAGES: Final = 16


def vmspace_swap_count(vmspace: Vmspace) -> int:
    """Return about how many pages of swap the address space has.  Sleeps: for the map's token."""
    count = 0
    vmspace_hold(vmspace)
    for entry in entries_unlocked(vmspace.vm_map):
        obj = _object(entry)
        if obj is not None:
            blocks: int = obj.hint("swblock_count")
            if blocks:
                pages = entry.ba.hint("end") - entry.ba.hint("start") >> PAGE_SHIFT
                count += blocks * SWAP_META_PAGES * pages // obj.hint("size") + 1
    vmspace_drop(vmspace)
    return count


def vmspace_anonymous_count(vmspace: Vmspace) -> int:
    """Return about how many pages of anonymous memory are resident.  Sleeps: for the map's token."""
    count = 0
    vmspace_hold(vmspace)
    for entry in entries_unlocked(vmspace.vm_map):
        obj = _object(entry)
        if obj is not None and obj.hint("type") in ANONYMOUS:
            count += obj.hint("resident_page_count")
    vmspace_drop(vmspace)
    return count


def entries_unlocked(map: VmMap) -> Iterator[VmMapEntry]:
    """RB_FOREACH without the map's lock."""
    entry: VmMapEntry | None = map.hint("rb_root").first()
    while entry is not None:
        yield entry
        start: int = entry.ba.hint("start")
        tree = map.hint("rb_root")
        before = tree.at_or_before(start)
        entry = tree.next(before) if before is not None else tree.first()


def _object(entry: VmMapEntry) -> VmObject | None:
    """Return the first object of an entry of objects."""
    obj: VmObject | None = entry.ba.hint("object")
    return obj if entry.hint("maptype") == VM_MAPTYPE_NORMAL else None
