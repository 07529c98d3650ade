"""Repairs of what the kernel shares with a process (sys/kern/kern_proc.c), and of its memory in /proc."""

from __future__ import annotations

from vmsmp.patches.patch import Edit, Repair

#: Unmap the page of the process from the address space that it leaves.
_LEAVES = """
from vmsmp.vm.vm_map.flags import UPMAP, VM_MAPTYPE_UKSMAP
from vmsmp.vm.vm_map.lock import vm_map_lock_read, vm_map_unlock

vm_map_lock_read(old.vm_map)
mine = [entry for entry in old.vm_map.rb_root if entry.ba.aux_info is p]
shown = [one.ba for one in mine if one.maptype == VM_MAPTYPE_UKSMAP and one.aux.minor == UPMAP]
ranges = [(ba.start, ba.end) for ba in shown]
vm_map_unlock(old.vm_map)
for start, end in ranges:
    vm_map_remove(old.vm_map, start, end)
pmap_replacevm(p, new, adjrefs=False)
"""

REPAIRS = (
    Repair(
        "page-is-unmapped-where-it-is",
        "vmsmp.vm.kern_proc:lwp_userunmap",
        'map: VmMap = lp.lwp_proc.hint("p_vmspace").vm_map',
        "map: VmMap = ba.map",
        "the page of a thread is unmapped from each map that it is in",
    ),
    Repair(
        "page-goes-with-its-process",
        "vmsmp.vm.vm_map.exec:vmspace_exec",
        "pmap_replacevm(p, new, adjrefs=False)",
        _LEAVES,
        "a process that leaves an address space unmaps what the kernel has shared with it there",
        also=(
            Edit("vmsmp.vm.vm_map.exec:vmspace_unshare", "pmap_replacevm(p, new, adjrefs=False)", _LEAVES),
        ),
    ),
    Repair(
        "resident-program-knows-its-process",
        "vmsmp.vm.vm_map.exec:vmspace_exec",
        "vmspace_fork(vmcopy, None, None)",
        "vmspace_fork(vmcopy, p, p.lwp)",
        "the copy of a resident program shows the process that it is made for",
    ),
    Repair(
        "write-copies-first",
        "vmsmp.vm.procfs_mem:procfs_rwmem",
        "vmspace_hold(vmspace)",
        """
        value = 0
        if writing:
            try:
                value = vmspace.vm.machine.curcpu.load(va)
            except PageFault:
                return EFAULT
        vmspace_hold(vmspace)
        """,
        "what is to be written is copied into the kernel before the page is busied",
        also=(
            Edit(
                "vmsmp.vm.procfs_mem:procfs_rwmem",
                "error = _uiomove(m, uva & PAGE_MASK, va, writing=writing)",
                """
                if writing:
                    vmspace.vm.memory.store(m.phys, uva & PAGE_MASK, value)
                    error = 0
                else:
                    error = _uiomove(m, uva & PAGE_MASK, va, writing=writing)
                """,
            ),
        ),
    ),
)
