"""The kernel's globals: the parts of a machine's virtual memory, booted in order.

Models: vm_mem_init of sys/vm/vm_init.c.
Kernel functions are in the packages of `vmsmp.vm`, under the kernel's names, and take the system as `vm`.
Locks: none; only the boot CPU runs.
Deviations: those of the parts.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NoReturn

from vmsmp.mmu.config import MmuConfig
from vmsmp.mmu.system import Mmu
from vmsmp.records.pool import RecordPool
from vmsmp.records.record import Record
from vmsmp.sync.machine import SyncMachine
from vmsmp.sync.token import leave_tokens, regain_tokens
from vmsmp.vm.config import BootConfig
from vmsmp.vm.imgact_resident import Residents
from vmsmp.vm.pmap import startup as pmap
from vmsmp.vm.pmap_inval import startup as pmap_inval
from vmsmp.vm.pmap_inval import sysctl as pmap_inval_sysctl
from vmsmp.vm.swtch import Switch
from vmsmp.vm.sysctl import SysctlTree
from vmsmp.vm.trap import trap_access
from vmsmp.vm.vm_fault import startup as vm_fault
from vmsmp.vm.vm_fault import sysctl as vm_fault_sysctl
from vmsmp.vm.vm_map import startup as vm_map
from vmsmp.vm.vm_map import sysctl as vm_map_sysctl
from vmsmp.vm.vm_meter import startup as vm_meter
from vmsmp.vm.vm_meter import sysctl as vm_meter_sysctl
from vmsmp.vm.vm_object import startup as vm_object
from vmsmp.vm.vm_object import sysctl as vm_object_sysctl
from vmsmp.vm.vm_page import startup as vm_page
from vmsmp.vm.vm_page import sysctl as vm_page_sysctl
from vmsmp.vm.vm_pageout import startup as vm_pageout
from vmsmp.vm.vm_pageout import sysctl as vm_pageout_sysctl
from vmsmp.vm.vm_pager import startup as vm_pager
from vmsmp.vm.vnode import Vnode


class VmSystem:
    """The virtual memory of one machine: its parts, by kernel file.

    `meter` (vm_meter.c), `pageout` (vm_pageout.c), `page` (vm_page.c), `objects` (vm_object.c),
    `pager` (vm_pager.c), `pmap` (pmap.c), `inval` (pmap_inval.c), `switch` (swtch.s), `map` (vm_map.c),
    `fault` (vm_fault.c), `residents` (imgact_resident.c); `vnodes`.  `mmu` is the hardware below it,
    whose frames are the pages.
    """

    def __init__(self, machine: SyncMachine, config: BootConfig) -> None:
        self.machine = machine
        self.config = config
        # Cached here because every operation uses them.
        self.engine = machine.engine
        self.hooks = machine.hooks
        self.point = machine.point
        self.making = machine.making
        #: The number of CPUs asked for or declared, or 0.
        self._declared = machine.options.cpus or machine.declared or 0
        if self._declared and machine.options.pressure:
            self._declared += 1
        self.pools: list[RecordPool[Any]] = []
        #: What the kernel has printed on its console, in order.
        self.console: list[str] = []
        #: The number of a page's frame is its index in `vm_page_array`.
        frames = config.pages + pmap.BOOT_FRAMES
        self.mmu = Mmu(machine, MmuConfig(frames=frames, guesses=config.guesses))
        self.mmu.trap = partial(trap_access, self)
        self.memory = self.mmu.memory

        self.meter = vm_meter.startup(self, config)
        self.pageout = vm_pageout.startup(self, config)
        self.page = vm_page.startup(self, config)
        self.objects = vm_object.startup(self, config)
        self.pager = vm_pager.startup(self, config)
        #: All vnodes, in order of their making.
        self.vnodes: RecordPool[Vnode] = self.pool(Vnode)
        self.pmap = pmap.startup(self, config)
        self.inval = pmap_inval.startup(self, config)
        self.switch = Switch(self)
        self.map = vm_map.startup(self, config)
        self.fault = vm_fault.startup(self, config)
        self.residents = Residents(self)

        #: The kernel's numbers by name: `vm.sysctl["vm.dma_reserved"]`.
        self.sysctl = SysctlTree(
            self,
            (
                *vm_meter_sysctl.SYSCTLS,
                *vm_page_sysctl.SYSCTLS,
                *vm_object_sysctl.SYSCTLS,
                *vm_map_sysctl.SYSCTLS,
                *vm_fault_sysctl.SYSCTLS,
                *vm_pageout_sysctl.SYSCTLS,
                *pmap_inval_sysctl.SYSCTLS,
            ),
        )
        self.mycpu = self.meter.mycpu
        for pool in self.pools:
            pool.guard()

    @property
    def ncpus(self) -> int:
        """The number of CPUs beside the boot CPU: as declared, else those that exist so far."""
        return self._declared or max(1, len(self.machine.cpus) - 1)

    def pool(self, type_: type[Record], size: int | None = None) -> RecordPool[Any]:
        """Make a pool for records of `type_`; checkers see its records once the machine has booted."""
        pool = RecordPool(self, type_, size)
        self.pools.append(pool)
        return pool

    def panic(self, message: str) -> NoReturn:
        """Stop the machine, as the kernel's panic or a failed KKASSERT does."""
        self.machine.panic(message)

    def kprintf(self, message: str) -> None:
        """Print a line on the kernel's console."""
        self.console.append(message)

    def pause_tokens(self, what: str) -> None:
        """Mark a point where the kernel may block: the CPU's tokens are released and reacquired."""
        held = self.engine.current.held
        if any(hold.lock.kind == "token" for hold in held):
            leave_tokens(self.machine, what)
            regain_tokens(self.machine)
