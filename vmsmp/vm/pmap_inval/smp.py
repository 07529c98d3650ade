"""The IPI layer: how CPUs are interrupted, what their handler does, and flushes of all other TLBs.

Models: smp_inval_intr, smp_invlpg, smp_invltlb and what they use, of sys/platform/pc64/x86_64/mp_machdep.c;
Xinvltlb of apic_vector.s; cpu_invlpg and cpu_invltlb.
A CPU in the handler serves requests until none is left for it.  An IPI that comes while it is there, with
interrupts enabled, only makes it look again.
Locks: none, and it may run inside any critical section.  Spins until others have done their part.
Deviations:
  * an IPI to a set of CPUs is one operation for each; the broadcast is one operation.
  * no watchdogs, which send the IPI once more after a while.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vmsmp.sync.ipiq import all_but_self_ipi, selected_apic_ipi
from vmsmp.sync.thread import cpu_disable_intr, cpu_enable_intr, crit_enter, crit_exit, curthread
from vmsmp.vm.pmap_inval.intr import cpu_invltlb, pmap_inval_intr

if TYPE_CHECKING:
    from vmsmp.sync.thread import Thread
    from vmsmp.vm.pmap_inval.startup import PmapInvals
    from vmsmp.vm.system import VmSystem


def Xinvltlb(td: Thread) -> None:
    """The interrupt: do what other CPUs ask for.  Locks: interrupts disabled, in a critical section."""
    machine: Any = td.cpu.machine
    smp_inval_intr(machine.vm, td)


def smp_inval_intr(vm: VmSystem, td: Thread) -> None:
    """Carry out all commands that this CPU has to answer, and its own.

    Locks: interrupts disabled, in a critical section; enables them meanwhile.  Spins.
    """
    inval, cpu = vm.inval, td.cpu.index
    bit = 1 << cpu
    if inval.gd_xinvaltlb[cpu]:
        inval.gd_xinvaltlb[cpu] = 2
        return
    inval.gd_xinvaltlb[cpu] = 1
    cpumask: int = inval.smp_invmask.load()
    while True:
        cpu_enable_intr(td)
        inval.smp_smurf_mask.clearbits(bit)
        while True:
            _invltlb_if_asked(inval, td)
            cpumask |= inval.smp_invmask.load()
            if not pmap_inval_intr(vm, td, cpumask) or inval.gd_xinvaltlb[cpu] == 2:
                break
            vm.engine.pause()
        _invltlb_if_asked(inval, td)
        cpu_disable_intr(td)
        if inval.gd_xinvaltlb[cpu] != 2:
            break
        inval.gd_xinvaltlb[cpu] = 1
    inval.gd_xinvaltlb[cpu] = 0


def _invltlb_if_asked(inval: PmapInvals, td: Thread) -> None:
    """Flush everything if another CPU asks for it."""
    bit = 1 << td.cpu.index
    if inval.smp_invltlb_mask.load() & bit:
        inval.smp_invltlb_mask.clearbits(bit)
        cpu_invltlb(td)


def smp_smurf_fetchset(inval: PmapInvals, mask: int) -> int:
    """Note that IPIs are on their way to these CPUs; return those to which none was yet."""
    done, obits = False, inval.smp_smurf_mask.load()
    while not done:
        done, obits = inval.smp_smurf_mask.fcmpset(obits, obits | mask)
    return mask & ~int(obits)


def smp_smurf_idleinvlclr(inval: PmapInvals, mask: int) -> int:
    """Ask idle CPUs to flush when they wake up; return the CPUs of the mask that are not idle.

    The request is stored before the idle mask is read.  Off by default (machdep.optimized_invltlb).
    """
    if inval.optimized_invltlb:
        inval.smp_idleinvl_reqs.setbits(mask)
        mask &= ~inval.smp_idleinvl_mask.load()
    return mask


def smp_invlpg(vm: VmSystem, td: Thread, cmdmask: int) -> None:
    """Interrupt the CPUs of the mask for a command, and do this CPU's part of it.

    Locks: interrupts disabled, in a critical section.  Spins.
    """
    inval = vm.inval
    _signal(vm, td, inval.smp_active_mask & cmdmask | 1 << td.cpu.index)
    smp_inval_intr(vm, td)


def _signal(vm: VmSystem, td: Thread, mask: int) -> None:
    """Send the IPI to the CPUs of the mask, or to all others by one broadcast."""
    inval = vm.inval
    mask = smp_smurf_fetchset(inval, mask)
    enable = inval.all_but_self_ipi_enable
    if enable >= 2 or (enable == 1 and mask == inval.smp_active_mask):
        all_but_self_ipi(vm.machine)
    else:
        selected_apic_ipi(vm.machine, mask & ~(1 << td.cpu.index))


def smp_invltlb(vm: VmSystem) -> None:
    """Have all other CPUs flush everything, and wait until they have.  The own TLB is not flushed.

    Locks: none; several CPUs may call it at the same time.  Spins.
    """
    inval = vm.inval
    td = curthread(vm.machine)
    inval.v_smpinvltlb[td.cpu.index] += 1
    crit_enter(td)
    mask = smp_smurf_idleinvlclr(inval, inval.smp_active_mask & ~(1 << td.cpu.index))
    before = td.cpu.closed
    cpu_disable_intr(td)
    inval.smp_invltlb_mask.setbits(mask)
    _signal(vm, td, mask)
    smp_inval_intr(vm, td)
    while inval.smp_invltlb_mask.load():
        smp_inval_intr(vm, td)
        vm.engine.pause()
    if not before:
        cpu_enable_intr(td)
    crit_exit(td)
