"""The address-space part of thread switches: pm_active, CR3, and what an idle CPU does.

Models: cpu_heavy_switch, cpu_heavy_restore, cpu_lwkt_restore, cpu_idle_restore and cpu_exit_switch of
sys/platform/pc64/x86_64/swtch.s; the invalidations of the idle loop, of mp_machdep.c.
A CPU sets its bit in pm_active before it loads a pmap's tables, and clears it after it has loaded others.
Only a switch clears the bit first: no user address is used until the next restore, which always loads CR3.
Locks: a critical section.  A bit of pm_active belongs to its CPU.  Waits for the end of an invalidation.
Deviations:
  * idle CPUs are noted only if machdep.optimized_invltlb is set, since nothing else reads the mask.
  * a thread that has never run in an address space is not switched: the kernel's tables stay loaded.
  * a CPU may be spawned while others run; it begins when no invalidation is in progress.
  * one thread per CPU, so each switch is to the idle thread or back.
  * a CPU that waits at a lock of the atomic depth, or for a CPU's end, keeps its address space.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vmsmp.engine import ops
from vmsmp.sync.thread import (
    cpu_disable_intr,
    cpu_enable_intr,
    crit_enter,
    crit_exit,
    curthread,
    lwkt_process_ipiq,
)
from vmsmp.vm.pmap.pmap import CPULOCK_EXCL
from vmsmp.vm.pmap_inval.intr import cpu_invltlb

if TYPE_CHECKING:
    from vmsmp.sync.thread import Thread
    from vmsmp.vm.pmap.pmap import Pmap
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_meter.meter import Lwp


class Switch:
    """The machine's switcher: a CPU without work runs in the kernel's address space."""

    def __init__(self, vm: Any) -> None:
        self.vm: VmSystem = vm
        #: KPML4phys, as CR3 has it.
        self.kernel_cr3: int = vm.pmap.kernel_pmap.cr3
        vm.mmu.first_cr3 = self.kernel_cr3
        for unit in vm.mmu.units:
            unit.cr3 = self.kernel_cr3
        vm.machine.switcher = self
        vm.machine.seen_at_start = (ops.op(vm.inval.smp_invmask.ident, ops.LOAD),)

    def lwp(self, cpu: int) -> Lwp | None:
        """The thread that a CPU runs; None while that is a kernel thread without an address space."""
        gd = self.vm.meter.globaldata[cpu]
        return None if gd is None else gd.lwp

    # -- the switcher ---------------------------------------------------------------------------

    def arise(self, td: Thread) -> None:
        """Wait for the end of invalidations that began before the CPU existed."""
        mask = self.vm.inval.smp_invmask
        if mask.peek():  # seen in the step in which the CPU starts
            while mask.load():
                self.vm.engine.pause()

    def halt(self, td: Thread) -> None:
        """Switch to the idle thread, which notes that the CPU is idle."""
        lp = self.lwp(td.cpu.index)
        td.td_critcount += 1
        if lp is not None and lp.lwp_vmspace is not None and not lp.away:
            cpu_heavy_switch(self, td, lp)
        if self.vm.inval.optimized_invltlb:
            self.vm.inval.smp_idleinvl_mask.setbits(1 << td.cpu.index)

    def wake(self, td: Thread) -> None:
        """Note that the CPU is not idle any more, and do the flush that was put off meanwhile."""
        bit = 1 << td.cpu.index
        inval = self.vm.inval
        if inval.optimized_invltlb:
            inval.smp_idleinvl_mask.clearbits(bit)
            if inval.smp_idleinvl_reqs.clearbits(bit) & bit:
                cpu_invltlb(td)
        td.td_critcount -= 1

    def enter(self, td: Thread) -> None:
        """Switch back from the idle thread."""
        lp = self.lwp(td.cpu.index)
        if lp is not None and lp.away:
            td.td_critcount += 1
            cpu_heavy_restore(td, lp)
            td.td_critcount -= 1

    def retire(self, td: Thread) -> None:
        """The thread is dying, and leaves its address space for good."""
        lp = self.lwp(td.cpu.index)
        if lp is not None and lp.lwp_vmspace is not None:
            crit_enter(td)
            cpu_exit_switch(self, td, lp)
            crit_exit(td)


def cpu_heavy_switch(switch: Switch, td: Thread, lp: Lwp) -> None:
    """Leave a thread for the idle thread: clear its pmap's bit, then load the kernel's tables.

    Locks: a critical section.
    """
    lp.away = True
    lp.lwp_vmspace.vm_pmap.pm_active.clearbits(1 << td.cpu.index)
    cpu_disable_intr(td)
    cpu_lwkt_restore(switch, td)
    cpu_enable_intr(td)


def cpu_lwkt_restore(switch: Switch, td: Thread) -> None:
    """Enter a kernel thread: load the kernel's tables, unless they are loaded."""
    unit = td.cpu.mmu
    if unit.cr3 != switch.kernel_cr3:
        unit.load_cr3(switch.kernel_cr3)


def cpu_heavy_restore(td: Thread, lp: Lwp) -> None:
    """Enter a thread: set its pmap's bit, wait for an invalidation that may have missed it, load its tables.

    Locks: a critical section.
    """
    lp.away = False
    pmap: Pmap = lp.lwp_vmspace.vm_pmap
    pmap.pm_active.setbits(1 << td.cpu.index)
    if pmap.pm_active_lock.load() & CPULOCK_EXCL:
        pmap_interlock_wait(pmap)
    td.cpu.mmu.load_cr3(pmap.cr3)


def cpu_exit_switch(switch: Switch, td: Thread, lp: Lwp) -> None:
    """Leave a thread that dies: load the kernel's tables, then clear its pmap's bit.

    Locks: a critical section.
    """
    cpu_lwkt_restore(switch, td)
    lp.lwp_vmspace.vm_pmap.pm_active.clearbits(1 << td.cpu.index)
    lp.lwp_vmspace = None


def pmap_interlock_wait(pmap: Pmap) -> None:
    """Wait for the end of the invalidation in progress.  Spins, and takes IPIs meanwhile."""
    td = curthread(pmap.vm.machine)
    if pmap.pm_active_lock.load() & CPULOCK_EXCL:
        crit_enter(td)
        while pmap.pm_active_lock.load() & CPULOCK_EXCL:
            lwkt_process_ipiq(td)
            pmap.vm.engine.pause()
        crit_exit(td)
