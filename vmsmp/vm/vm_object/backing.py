"""The list of an object's backings: the elements of map entries through which its pages may be mapped.

Models: `backing_list` of struct vm_object; the elements are struct vm_map_backing of sys/vm/vm_map.h.
Locks: `backing_lk`, exclusively to change the list, in any mode to walk it.
Deviations:
  * a list of elements instead of links inside them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from vmsmp.vm.vm_object.object import VmObject


class Backing(Protocol):
    """The fields of struct vm_map_backing that objects use: addresses and `offset` are in bytes."""

    start: int
    end: int
    offset: int
    pmap: Any


def vm_object_backing_insert(obj: VmObject, ba: Backing) -> None:
    """Put the backing at the tail of the object's list.  Sleeps: for backing_lk."""
    obj.backing_lk.acquire()
    obj.changing("backing_list").append(ba)
    obj.backing_lk.release()


def vm_object_backing_remove(obj: VmObject, ba: Backing) -> None:
    """Take the backing off the object's list.  Sleeps: for backing_lk."""
    obj.backing_lk.acquire()
    backings = obj.changing("backing_list")
    at = next((n for n, other in enumerate(backings) if other is ba), None)
    if at is None:
        obj.vm.panic(f"{obj.klass}: TAILQ_REMOVE of a backing that is not on its list")
    del backings[at]
    obj.backing_lk.release()
