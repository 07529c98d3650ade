"""Which address space a thread runs in.

Models: pmap_setlwpvm, pmap_replacevm and pmap_maybethreaded of sys/platform/pc64/x86_64/pmap.c.
Locks: a critical section; a process' address space is replaced with both maps' tokens.
Deviations:
  * pmap_interlock_wait is in `vmsmp.vm.swtch`, whose switches wait by it, too.
  * no copy of CR3 for a trampoline, and no isolated PML4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.sync.thread import crit_enter, crit_exit, curthread
from vmsmp.vm.pmap.pmap import CPULOCK_EXCL, PMAP_MULTI
from vmsmp.vm.swtch import pmap_interlock_wait
from vmsmp.vm.vm_map.flags import VM_REF_DELETED
from vmsmp.vm.vm_map.vmspace import vmspace_ref, vmspace_rel

if TYPE_CHECKING:
    from vmsmp.vm.pmap.pmap import Pmap
    from vmsmp.vm.vm_map.vmspace import Vmspace
    from vmsmp.vm.vm_meter.meter import Lwp, Proc


def pmap_setlwpvm(lp: Lwp, newvm: Vmspace) -> None:
    """Move a thread to another address space, and load that at once if the thread is the running one.

    The new pmap is in use before its tables are loaded, the old one until they are.
    Locks: none; the caller has a reference to the new one.  Waits for the end of an invalidation of it.
    """
    oldvm = lp.lwp_vmspace
    if oldvm is newvm:
        return
    vm = newvm.vm
    td = curthread(vm.machine)
    crit_enter(td)
    if newvm.peek("vm_refcnt") & VM_REF_DELETED:
        vm.panic("pmap_setlwpvm: vmspace without references")
    lp.lwp_vmspace = newvm
    if lp is vm.mycpu().lwp:
        bit = 1 << td.cpu.index
        pmap = newvm.vm_pmap
        pmap.pm_active.setbits(bit)
        if pmap.pm_active_lock.load() & CPULOCK_EXCL:
            pmap_interlock_wait(pmap)
        td.cpu.mmu.load_cr3(pmap.cr3)
        if oldvm is not None:
            oldvm.vm_pmap.pm_active.clearbits(bit)
    crit_exit(td)


def pmap_replacevm(p: Proc, newvm: Vmspace, adjrefs: bool) -> None:
    """Move a process and its only thread to another address space.

    With `adjrefs` it takes a reference to that and gives the old one back.
    Locks: both maps' tokens.  Sleeps: with `adjrefs`, as `vmspace_rel`.
    """
    oldvm: Vmspace | None = p.hint("p_vmspace")
    if oldvm is newvm:
        return
    if adjrefs:
        vmspace_ref(newvm)
    p.publish("p_vmspace", newvm)
    pmap_setlwpvm(p.lwp, newvm)
    if adjrefs and oldvm is not None:
        vmspace_rel(oldvm)


def pmap_maybethreaded(pmap: Pmap) -> None:
    """Note that more than one thread may use the pmap, until it is initialized again.  Locks: none."""
    pmap.pm_flags.setbits(PMAP_MULTI)
