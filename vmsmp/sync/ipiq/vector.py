"""IPIs with a vector of their own, which no critical section holds off (Xinvltlb).

Such an IPI is latched on its target, which runs the machine's `vector` before its next operation, unless
interrupts are disabled there (`thread`).  A second one that comes before that is merged with it.
"""

from __future__ import annotations

from vmsmp.engine import ops
from vmsmp.sync.ipiq.fifo import cpus_of
from vmsmp.sync.services import Services
from vmsmp.sync.thread import Thread, curthread, thread_of


def single_apic_ipi(machine: Services, target: Thread) -> None:
    """Latch the interrupt on the target's CPU: one visible operation.  Locks: none."""
    machine.point(target.ident << ops.KIND_BITS | ops.IPI)
    _latch(machine, target)


def selected_apic_ipi(machine: Services, mask: int) -> None:
    """Latch the interrupt on every CPU of the mask, lowest first, one operation each.  Locks: none.

    Raises: ValueError for a CPU that the machine does not have.
    """
    for index in cpus_of(machine, mask):
        single_apic_ipi(machine, thread_of(machine, machine.cpus[index]))


def all_but_self_ipi(machine: Services) -> None:
    """Latch the interrupt on every CPU but this one, all in one visible operation.  Locks: none."""
    td = curthread(machine)
    machine.point(td.ident << ops.KIND_BITS | ops.IPI)
    for cpu in list(machine.cpus):
        if cpu is not td.cpu:
            _latch(machine, thread_of(machine, cpu))


def _latch(machine: Services, target: Thread) -> None:
    target.cpu.latched = True
    if target.idle:
        target.idle = False
        machine.engine.ready(target.cpu)
    machine.engine.rouse(target.cpu)
