"""A page fault as the processor reports it: which map resolves it, and which signal the process gets.

Models: trap_pfault of sys/platform/pc64/x86_64/trap.c, and what trap does with its result.
Locks: none.  A fault must not change which tokens the thread has.
Deviations:
  * a process cannot exit while one of its threads is in a fault, so it is not held (PHOLD).
  * a handler of the kernel's own accesses (`pcb_onfault`) is there or not; its stack is not compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from vmsmp.mmu.fault import PGEX_I, PGEX_U, PGEX_W, PageFault
from vmsmp.sync.thread import curthread
from vmsmp.vm.vm_fault.fault import vm_fault
from vmsmp.vm.vm_map.flags import (
    KERN_PROTECTION_FAILURE,
    KERN_SUCCESS,
    VM_FAULT_BURST,
    VM_FAULT_DIRTY,
    VM_FAULT_NORMAL,
    VM_FAULT_USERMODE,
    VM_MIN_KERNEL_ADDRESS,
    VM_PROT_EXECUTE,
    VM_PROT_READ,
    VM_PROT_WRITE,
    trunc_page,
)

if TYPE_CHECKING:
    from vmsmp.engine.cpu import Cpu
    from vmsmp.vm.system import VmSystem

SIGBUS: Final = 10
SIGSEGV: Final = 11
SEGV_MAPERR: Final = 1
SEGV_ACCERR: Final = 2
#: What trap_pfault returns where the kernel cannot go on.
FATAL: Final = -1


class Trapframe(NamedTuple):
    """An access that was refused: its address, its kind, and its mode.

    `smap`: the kernel accessed a user's address outside of a section that allows it (SMAP).  `onfault`: the
    kernel has set a handler for accesses that fail.
    """

    va: int
    write: bool = False
    fetch: bool = False
    usermode: bool = True
    smap: bool = False
    onfault: bool = False


def trap_pfault(vm: VmSystem, frame: Trapframe) -> int:
    """Resolve a fault; return 0, FATAL, or SIGSEGV or SIGBUS as the kernel's own word for what went wrong.

    Locks: none.  Sleeps: yes.
    """
    td = curthread(vm.machine)
    va = trunc_page(frame.va)
    ftype = VM_PROT_WRITE if frame.write else VM_PROT_EXECUTE if frame.fetch else VM_PROT_READ
    tokens = len(td.td_toks_array)
    if va >= VM_MIN_KERNEL_ADDRESS:
        if frame.usermode:
            return SIGSEGV
        rv = vm_fault(vm.map.kernel_map, va, ftype, VM_FAULT_NORMAL)
    else:
        vmspace = vm.mycpu().lwp.lwp_vmspace
        if vmspace is None:
            return _failed(vm, frame, None)
        if not frame.usermode and (td.gd_intr_nesting_level or frame.smap or not frame.onfault):
            return FATAL
        flags = VM_FAULT_BURST | VM_FAULT_USERMODE if frame.usermode else VM_FAULT_NORMAL
        if frame.write:
            flags |= VM_FAULT_DIRTY
        rv = vm_fault(vmspace.vm_map, va, ftype, flags)
    if len(td.td_toks_array) != tokens:
        vm.panic("trap_pfault: held tokens")
    return 0 if rv == KERN_SUCCESS else _failed(vm, frame, rv)


def _failed(vm: VmSystem, frame: Trapframe, rv: int | None) -> int:
    """Return what `trap_pfault` returns for an access that cannot be made."""
    if frame.usermode:
        return SIGBUS if rv == KERN_PROTECTION_FAILURE else SIGSEGV
    if frame.onfault and not curthread(vm.machine).gd_intr_nesting_level:
        return 0
    return FATAL


def trap(vm: VmSystem, frame: Trapframe) -> tuple[int, int] | None:
    """Resolve a fault; return None if the access is to be tried again, else the process' signal and its code.

    A process always gets SIGSEGV: the code says whether there was nothing, or no right.
    Locks: none.  Sleeps: yes.
    """
    answer = trap_pfault(vm, frame)
    if answer == FATAL:
        vm.panic(f"trap: page fault at {frame.va:#x}")
    if answer == 0:
        return None
    return SIGSEGV, SEGV_ACCERR if answer == SIGBUS else SEGV_MAPERR


def trap_access(vm: VmSystem, _cpu: Cpu, fault: PageFault) -> None:
    """What the hardware calls for an access that faults: resolve it, so that the access is made again.

    Locks: none.  Sleeps: yes.  Raises: the fault, with the signal, if the access is refused.
    """
    code = fault.code
    refused = trap(
        vm,
        Trapframe(fault.va, bool(code & PGEX_W), bool(code & PGEX_I), usermode=bool(code & PGEX_U)),
    )
    if refused is not None:
        fault.signal = refused
        raise fault
