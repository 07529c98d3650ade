"""Another address space for a process: an empty one, a copy of a resident program's, or one of its own.

Models: vmspace_exec and vmspace_unshare of sys/vm/vm_map.c; exec_new_vmspace of sys/kern/kern_exec.c as far
as it is about the address space.
Locks: the tokens of the old map and of the new one, in this order.  The old address space is dropped last,
when it can no longer be found through the process.
Deviations:
  * a process has one thread, so an exec kills no others; the caller keeps other CPUs from using the process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.kern_proc import lwp_userunmap, proc_userunmap
from vmsmp.vm.pmap.remove import pmap_remove_pages
from vmsmp.vm.pmap.replace import pmap_replacevm
from vmsmp.vm.vm_map.delete import vm_map_remove
from vmsmp.vm.vm_map.flags import (
    KERN_SUCCESS,
    PAGE_SHIFT,
    USRSTACK,
    VM_MAX_USER_ADDRESS,
    VM_MIN_USER_ADDRESS,
    VM_PROT_ALL,
    VM_PROT_RW,
)
from vmsmp.vm.vm_map.fork import vmspace_fork
from vmsmp.vm.vm_map.stack import vm_map_stack
from vmsmp.vm.vm_map.vmspace import (
    COPIED,
    vmspace_alloc,
    vmspace_getrefs,
    vmspace_rel,
)

if TYPE_CHECKING:
    from vmsmp.vm.vm_map.vmspace import Vmspace
    from vmsmp.vm.vm_meter.meter import Proc


def vmspace_exec(p: Proc, vmcopy: Vmspace | None = None) -> None:
    """Give the process an empty address space of the same bounds, or a copy of `vmcopy`; drop its old one.

    Locks: takes the tokens of both maps.  Sleeps: for memory, for the tokens, and in both stages.
    """
    old: Vmspace = p.hint("p_vmspace")
    old.vm_map.token.acquire()
    if vmcopy is not None:
        new = vmspace_fork(vmcopy, None, None)
        new.vm_map.token.acquire()
    else:
        new = vmspace_alloc(old.vm, old.vm_map.min_addr, old.vm_map.max_addr)
        new.vm_map.token.acquire()
        for name in COPIED:
            setattr(new, name, getattr(old, name))
    pmap_replacevm(p, new, adjrefs=False)
    new.vm_map.token.release()
    old.vm_map.token.release()
    vmspace_rel(old)


def vmspace_unshare(p: Proc) -> None:
    """Give a process that shares its address space a copy of its own.  Locks, sleeps: as `vmspace_exec`."""
    old: Vmspace = p.hint("p_vmspace")
    old.vm_map.token.acquire()
    if vmspace_getrefs(old) == 1:
        old.vm_map.token.release()
        return
    new = vmspace_fork(old, None, None)
    new.vm_map.token.acquire()
    pmap_replacevm(p, new, adjrefs=False)
    new.vm_map.token.release()
    old.vm_map.token.release()
    vmspace_rel(old)


def exec_new_vmspace(p: Proc, vmcopy: Vmspace | None = None) -> int:
    """Give the process an address space with a stack and nothing else; return a KERN_* code.

    An address space of its own is emptied and kept; a shared one is replaced.  With `vmcopy`, the process
    gets a copy of that, whose stack has no pages.  What the kernel shares with the process and its
    thread ends.
    Locks: none; the caller keeps other CPUs from using the process.  Sleeps: yes.
    """
    vmspace: Vmspace = p.hint("p_vmspace")
    config = vmspace.vm.config
    stack = USRSTACK - config.maxssiz
    if vmcopy is not None:
        vmspace_exec(p, vmcopy)
        vmspace = p.hint("p_vmspace")
        pmap_remove_pages(vmspace.vm_pmap, stack, USRSTACK)
    elif vmspace_getrefs(vmspace) == 1:
        pmap_remove_pages(vmspace.vm_pmap, VM_MIN_USER_ADDRESS, VM_MAX_USER_ADDRESS)
        vm_map_remove(vmspace.vm_map, VM_MIN_USER_ADDRESS, VM_MAX_USER_ADDRESS)
    else:
        vmspace_exec(p)
        vmspace = p.hint("p_vmspace")
    lwp_userunmap(p.lwp)
    proc_userunmap(p)
    rv, _ = vm_map_stack(vmspace.vm_map, stack, config.maxssiz, 0, VM_PROT_RW, VM_PROT_ALL, 0)
    if rv == KERN_SUCCESS:
        vmspace.vm_ssize = config.sgrowsiz >> PAGE_SHIFT
        vmspace.vm_maxsaddr = stack
    return rv
