"""Growing an object over the range behind it, for a map entry that is extended.

Models: vm_object_coalesce of sys/vm/vm_object.c.
Locks: takes the object's token exclusively; it may be lost while pages are removed, and only the size is
tested again after that.
Deviations: none known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.vm_object.hold import vm_object_drop, vm_object_hold
from vmsmp.vm.vm_object.object import ANONYMOUS, OBJT_SWAP
from vmsmp.vm.vm_object.remove import vm_object_page_remove
from vmsmp.vm.vm_page.flags import PAGE_SIZE
from vmsmp.vm.vm_pager.swap_meta import swap_pager_freespace

if TYPE_CHECKING:
    from vmsmp.vm.vm_object.object import VmObject


def vm_object_coalesce(
    prev_object: VmObject | None, prev_pindex: int, prev_size: int, next_size: int
) -> bool:
    """Make `next_size` bytes behind a range of the object usable; return whether that can be done.

    The range begins at `prev_pindex` and has `prev_size` bytes.  What is behind it is discarded.
    Locks: takes the token exclusively.  Sleeps: for it, and as `vm_object_page_remove`.
    """
    obj = prev_object
    if obj is None:
        return True
    vm_object_hold(obj)
    if obj.type not in ANONYMOUS:
        vm_object_drop(obj)
        return False
    size = next_size // PAGE_SIZE
    next_pindex = prev_pindex + prev_size // PAGE_SIZE
    if obj.ref_count.load() > 1 and obj.size != next_pindex:
        vm_object_drop(obj)
        return False
    if next_pindex < obj.size:
        vm_object_page_remove(obj, next_pindex, next_pindex + size, clean_only=False)
        if obj.type == OBJT_SWAP:
            swap_pager_freespace(obj, next_pindex, size)
    if next_pindex + size > obj.size:
        obj.publish("size", next_pindex + size)
    vm_object_drop(obj)
    return True
