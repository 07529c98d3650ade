"""vm_object.c: memory objects.

| module | contents |
|---|---|
| object, tree | struct vm_object, its flags and the legend of its locks; the tree of its pages |
| flags | changing its flags |
| backing | the list of its backings |
| allocate, hold, reference | allocating, locking and referencing an object |
| paging | activity that its termination waits for |
| deallocate, terminate | dropping references; terminating it |
| clean, remove | writing its dirty pages out; removing pages |
| madvise, coalesce | advice on a range; growing |
| startup | the objects of a machine, and the hash of them all |
| ddb, sysctl | the debugger's commands; numbers by name |
"""

from __future__ import annotations

from vmsmp.vm.exports import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "startup": (
            "KERNEL_PAGES",
            "Objects",
            "vm_object_hash",
            "vm_object_init1",
            "vm_object_init2",
            "startup",
        ),
        "ddb": ("show_object", "vm_object_print", "_named", "show_vmochk", "_runs", "show_vmopag"),
        "sysctl": ("SYSCTLS",),
        "object": (
            "OBJT_DEFAULT",
            "OBJT_SWAP",
            "OBJT_VNODE",
            "OBJT_DEVICE",
            "OBJT_MGTDEVICE",
            "OBJT_PHYS",
            "OBJT_DEAD",
            "OBJT_MARKER",
            "ANONYMOUS",
            "OBJ_ACTIVE",
            "OBJ_DEAD",
            "OBJ_NOSPLIT",
            "OBJ_NOPAGEIN",
            "OBJ_WRITEABLE",
            "OBJ_MIGHTBEDIRTY",
            "OBJ_CLEANING",
            "OBJ_DEADWNT",
            "OBJ_ONEMAPPING",
            "OBJ_NOMSYNC",
            "OBJPC_SYNC",
            "OBJPC_INVAL",
            "OBJPC_NOSYNC",
            "OBJPC_IGNORE_CLEANCHK",
            "OBJPC_CLUSTER_OK",
            "OBJPC_TRY_TO_CACHE",
            "OBJPC_ALLOW_ACTIVE",
            "VM_MEMATTR_DEFAULT",
            "VMOBJ_HSIZE",
            "REF",
            "OBJECT_HOLD",
            "_holds_token",
            "OBJECT_LEGEND",
            "VmObject",
            "HASH_LEGEND",
            "VmObjectHash",
        ),
        "tree": ("PageTree", "scan"),
        "flags": (
            "vm_object_set_flag",
            "vm_object_clear_flag",
            "vm_object_set_writeable_dirty",
        ),
        "backing": ("Backing", "vm_object_backing_insert", "vm_object_backing_remove"),
        "allocate": (
            "PQ_PRIME2",
            "vm_quickcolor",
            "_vm_object_allocate",
            "_kmalloc",
            "vm_object_allocate",
            "vm_object_allocate_hold",
            "vm_object_init",
        ),
        "hold": (
            "ASSERT_OBJECT_HELD",
            "ASSERT_OBJECT_HELD_EXCL",
            "vm_object_token",
            "vm_object_lock",
            "vm_object_lock_shared",
            "vm_object_lock_try",
            "vm_object_unlock",
            "vm_object_lock_swap",
            "vm_object_hold",
            "vm_object_hold_shared",
            "vm_object_hold_try",
            "_last_hold",
            "_is_dead",
            "vm_object_drop",
            "VM_OBJECT_LOCK",
            "VM_OBJECT_UNLOCK",
            "_free",
            "vm_object_upgrade",
            "vm_object_downgrade",
        ),
        "reference": (
            "vm_object_reference_locked",
            "vm_object_reference_quick",
            "_vref",
        ),
        "paging": (
            "vm_object_pip_add",
            "vm_object_pip_wakeup",
            "vm_object_pip_wakeup_n",
            "vm_object_pip_wait",
        ),
        "deallocate": (
            "vm_object_deallocate",
            "vm_object_deallocate_locked",
            "_drop_reference",
            "vm_object_vndeallocate",
        ),
        "terminate": ("vm_object_terminate", "_unlist", "_Termination", "_tell", "_unmap"),
        "clean": (
            "BLIST_MAX_ALLOC",
            "vm_object_page_clean",
            "_Cleaning",
            "vm_object_page_collect_flush",
            "_neighbour",
        ),
        "remove": ("vm_object_page_remove", "_remove_mappings", "_Removal", "_is_dirty"),
        "madvise": (
            "MADV_NORMAL",
            "MADV_RANDOM",
            "MADV_SEQUENTIAL",
            "MADV_WILLNEED",
            "MADV_DONTNEED",
            "MADV_FREE",
            "vm_object_madvise",
            "_advise",
            "_discard",
        ),
        "coalesce": ("vm_object_coalesce",),
    },
)
