"""The machine a program sees: CPUs, the kernel's primitives, and, once booted, its virtual memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vmsmp.engine.cpu import Cpu
from vmsmp.errors import UsageError
from vmsmp.mmu.config import MmuConfig
from vmsmp.mmu.system import Mmu
from vmsmp.sync.machine import SyncMachine
from vmsmp.vm.config import BootConfig
from vmsmp.vm.pressure import leave_free, press
from vmsmp.vm.system import VmSystem

#: What a report makes of this module's frames (`engine.source`).
FRAMES = "machinery"


class Machine(SyncMachine):
    """One execution of one program."""

    #: The VM subsystem, once booted.
    vm: VmSystem | None = None
    #: Its memory and memory-management units, once it has some.
    hardware: Mmu | None = None

    def add_cpu(self, cpu: Cpu) -> None:
        super().add_cpu(cpu)
        if self.hardware is not None:
            self.hardware.attach(cpu)

    def mmu(self, frames: int = 64, **sizes: Any) -> Mmu:
        """Give every CPU a memory-management unit over `frames` physical frames of 4096 bytes.

        Further sizes and features are the fields of `vmsmp.mmu.config.MmuConfig`.
        Raises: UsageError for sizes that cannot be, or for a second call.
        """
        if self.hardware is not None:
            raise UsageError("this machine has an MMU already")
        self.hardware = Mmu(self, MmuConfig.of(frames=frames, **sizes))
        return self.hardware

    def boot(self, pages: int = 64, l2_size: int = 4, **sizes: Any) -> VmSystem:
        """Boot the machine's memory: `pages` of 4096 bytes, queues of `l2_size` colours.

        Further sizes, scaled down or as in the kernel, are the fields of `vmsmp.vm.config.BootConfig`.
        Raises: UsageError for sizes that cannot be, or for a second boot.
        """
        if self.vm is not None:
            raise UsageError("this machine has booted already")
        more = self.options.pages or 0  # beside what the program needs
        config = BootConfig.of(pages=pages + more, l2_size=l2_size, **sizes)
        if self.hardware is not None:
            raise UsageError("this machine has an MMU already")
        self.setting_up = True
        try:
            self.vm = VmSystem(self, config)
            self.hardware = self.vm.mmu
        finally:
            self.setting_up = False
        return self.vm

    def spawn(self, fn: Callable[..., Any], *args: Any, name: str | None = None) -> Cpu:
        """Start `fn(*args)` on the next CPU.

        Before the first one, memory is made as scarce as the options say.
        Raises: ValueError beyond 63 CPUs (CPU 0 boots), UsageError beyond the number of CPUs asked for or
        where memory is to be scarce and is not booted, TypeError for what cannot be called.
        """
        if len(self.cpus) == 1 and (self.options.pressure or self.options.pages is not None):
            self._make_scarce()
        return super().spawn(fn, *args, name=name)

    def _make_scarce(self) -> None:
        """Leave as many pages free as asked for, and start the CPU that wants them all."""
        if self.vm is None:
            raise UsageError(
                "the program starts a CPU and has booted no memory: leave out pages and pressure"
            )
        if self.options.pages is not None:
            leave_free(self.vm, self.options.pages)
        if self.options.pressure:
            super().spawn(press, self.vm, name="pressure")
