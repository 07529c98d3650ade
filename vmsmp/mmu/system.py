"""The memory-management units of one machine, over one physical memory.

Locks: none.
"""

from __future__ import annotations

from collections.abc import Callable

from vmsmp.engine import ops
from vmsmp.engine.cpu import Cpu
from vmsmp.mmu.config import MmuConfig
from vmsmp.mmu.entry import PAGE_SIZE
from vmsmp.mmu.fault import PageFault
from vmsmp.mmu.memory import Memory
from vmsmp.mmu.tlb import Tlb
from vmsmp.mmu.unit import Unit
from vmsmp.mmu.walk import Translation, combine, walk_tables
from vmsmp.sync.services import Services

#: How a report shows this module's frames (`engine.source`).
FRAMES = "machinery"


class Mmu:
    """Physical memory and, for each CPU, a unit with its TLB; CPUs that are spawned later get theirs, too.

    `trap`, if there is one, is called on a CPU whose access faults, with the fault; when it returns the
    access is tried again.
    """

    def __init__(self, machine: Services, config: MmuConfig) -> None:
        self.machine = machine
        self.config = config
        self.memory = Memory(machine, config.frames)
        self.trap: Callable[[Cpu, PageFault], None] | None = None
        self.units: list[Unit] = []
        #: What CR3 of a new CPU is; None: nothing until the CPU loads it.
        self.first_cr3: int | None = None
        self._first_tlb = machine.reserve(ops.MAX_CPUS, self._tlb)
        self.name = "all TLBs"
        self._code = machine.enroll(self) << ops.KIND_BITS
        for cpu in machine.cpus:
            self.attach(cpu)

    def _tlb(self, n: int) -> Tlb | None:
        return self.units[n].tlb if n < len(self.units) else None

    def attach(self, cpu: Cpu) -> None:
        """Give a CPU its unit."""
        unit = Unit(self, cpu, self._first_tlb + (cpu.index << ops.CPU_BITS))
        unit.cr3 = self.first_cr3
        self.units.append(unit)
        cpu.mmu = unit

    def victim(self, count: int) -> int:
        """Which of so many entries, the one used longest ago first, gives way."""
        return self.machine.choose(count) if self.config.replacement == "draw" else 0

    def settled(self, root: int, va: int, npages: int = 1) -> None:
        """Promise that from here on no CPU uses more of these pages than the tables say now.

        Whoever has flushed the TLBs of all CPUs says so before he tells anybody: one visible operation,
        which whatever the TLBs of other CPUs do depends on.
        """
        self.promise()
        machine = self.machine
        for hook in machine.hooks.settled:
            hook(machine.engine.current, root, va, npages)

    def promise(self) -> None:
        """The operation of such a promise, which is told to checkers in the same step."""
        self.machine.point(self._code | ops.SETTLED)

    def peek(self, root: int, va: int) -> Translation | None:
        """What the tables say of an address, read unseen: for checkers and the debugger."""
        nxe = self.config.nxe
        walked = walk_tables(self.memory.peek_entry, root, va, nxe=nxe)
        return combine(root, va, walked.steps, nxe=nxe) if walked.wrong is None else None

    def __repr__(self) -> str:
        return self.name


def pages_from(va: int, npages: int) -> range:
    """The first addresses of so many pages."""
    return range(va, va + npages * PAGE_SIZE, PAGE_SIZE)
