"""Repairs of the memory objects (sys/vm/vm_object.c)."""

from __future__ import annotations

from vmsmp.patches.patch import Repair

_MODULE = "vmsmp.vm.vm_object"

#: A flag that the kernel does not have.
OBJ_FREEING = 0x0010

REPAIRS = (
    Repair(
        "hold-try-frees-once",
        f"{_MODULE}:_is_dead",
        "return not obj.ref_count.load() and bool(obj.flags.load() & OBJ_DEAD)",
        f"""
        if obj.ref_count.load() or not obj.flags.load() & OBJ_DEAD:
            return False
        return not obj.hold_count.load() and not obj.flags.setbits({OBJ_FREEING:#x}) & {OBJ_FREEING:#x}
        """,
        "a dead object is freed only if nobody holds it again, and by one of two CPUs that find it dead",
    ),
)
