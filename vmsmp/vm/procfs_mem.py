"""Reading and writing the memory of a process through /proc.

Models: procfs_rwmem of sys/vfs/procfs/procfs_mem.c.
A page that is written to stays hard-busied while the kernel copies to it from the memory of who writes; one
that is read is held.
Locks: none; the address space is held.
Deviations:
  * one word is copied at a time; a process that exits or runs a program is not asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.mmu.fault import PageFault
from vmsmp.sync.errno import EFAULT
from vmsmp.sync.thread import TDF_DEADLKTREAT, curthread
from vmsmp.vm.vm_fault.page import vm_fault_page
from vmsmp.vm.vm_map.flags import (
    PAGE_MASK,
    VM_FAULT_NORMAL,
    VM_PROT_OVERRIDE_WRITE,
    VM_PROT_READ,
    VM_PROT_RW,
    trunc_page,
)
from vmsmp.vm.vm_map.vmspace import vmspace_drop, vmspace_hold
from vmsmp.vm.vm_page.busy import vm_page_wakeup
from vmsmp.vm.vm_page.holding import vm_page_unhold

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_map.vmspace import Vmspace
    from vmsmp.vm.vm_page.page import VmPage


def procfs_rwmem(vmspace: Vmspace, uva: int, va: int, *, writing: bool) -> int:
    """Copy a word from address `uva` of a process to `va` of the running one, or back; return an errno.

    Locks: none.  Sleeps: as two faults.
    """
    reqprot = VM_PROT_RW | VM_PROT_OVERRIDE_WRITE if writing else VM_PROT_READ
    vmspace_hold(vmspace)
    found = vm_fault_page(vmspace.vm_map, trunc_page(uva), reqprot, VM_FAULT_NORMAL, True)
    m, error = found.page, EFAULT
    if m is not None:
        error = _uiomove(m, uva & PAGE_MASK, va, writing=writing)
        if found.busy:
            vm_page_wakeup(m)
        else:
            vm_page_unhold(m)
    vmspace_drop(vmspace)
    return error


def _uiomove(m: VmPage, offset: int, va: int, *, writing: bool) -> int:
    """Copy a word between a page and the memory of the running process; return an errno."""
    vm: VmSystem = m.vm
    td = curthread(vm.machine)
    td.td_flags |= TDF_DEADLKTREAT
    error = 0
    try:
        if writing:
            vm.memory.store(m.phys, offset, vm.machine.curcpu.load(va))
        else:
            vm.machine.curcpu.store(va, vm.memory.load(m.phys, offset))
    except PageFault:
        error = EFAULT
    td.td_flags &= ~TDF_DEADLKTREAT
    return error
