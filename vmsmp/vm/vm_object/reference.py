"""References to an object.

Models: the vm_object_reference family of sys/vm/vm_object.c.
Locks: see each function.
Deviations: none known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.vm_object.hold import ASSERT_OBJECT_HELD
from vmsmp.vm.vm_object.object import REF

if TYPE_CHECKING:
    from vmsmp.vm.vm_object.object import VmObject

# -- references -----------------------------------------------------------------------------------


def vm_object_reference_locked(obj: VmObject) -> None:
    """Add a reference.  Locks: the object's token, any mode."""
    ASSERT_OBJECT_HELD(obj)
    obj.ref_count.fetchadd(1)
    obj.took(REF)


def vm_object_reference_quick(obj: VmObject) -> None:
    """Add a reference to an object that the caller already references."""
    if obj.ref_count.load() <= 0:
        obj.vm.panic("vm_object_reference_quick: object without references")
    obj.ref_count.fetchadd(1)
    obj.took(REF)
