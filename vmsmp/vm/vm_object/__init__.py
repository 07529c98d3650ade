"""vm_object.c: memory objects, as far as pages need them.

| module | contents |
|---|---|
| object | struct vm_object, its flags and the legend of its locks |
| allocate, hold, reference | allocating, locking and referencing an object |
| paging | activity that its termination waits for |
| terminate | terminating it |
| startup, ddb | the objects of a machine; the debugger's commands |
"""

from __future__ import annotations

from vmsmp.vm.exports import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "startup": ("startup",),
        "ddb": ("show_object", "vm_object_print"),
        "object": (
            "OBJ_DEAD",
            "OBJ_WRITEABLE",
            "OBJ_MIGHTBEDIRTY",
            "REF",
            "OBJECT_HOLD",
            "_holds_token",
            "OBJECT_LEGEND",
            "VmObject",
            "scan",
        ),
        "allocate": ("vm_object_allocate",),
        "hold": (
            "ASSERT_OBJECT_HELD",
            "ASSERT_OBJECT_HELD_EXCL",
            "vm_object_hold",
            "vm_object_hold_shared",
            "vm_object_hold_try",
            "_last_hold",
            "_is_dead",
            "vm_object_drop",
            "_free",
            "vm_object_upgrade",
            "vm_object_downgrade",
        ),
        "reference": (
            "vm_object_reference_locked",
            "vm_object_reference_quick",
        ),
        "paging": (
            "vm_object_pip_add",
            "vm_object_pip_wakeup",
            "vm_object_pip_wakeup_n",
            "vm_object_pip_wait",
        ),
        "terminate": (
            "vm_object_deallocate",
            "vm_object_deallocate_locked",
            "vm_object_terminate",
            "_drop_reference",
            "_Termination",
            "_unmap",
        ),
    },
)
