"""The machine a program sees: CPUs, the kernel's primitives, and, once booted, its virtual memory."""

from __future__ import annotations

from typing import Any

from vmsmp.errors import UsageError
from vmsmp.sync.machine import SyncMachine
from vmsmp.vm.config import BootConfig
from vmsmp.vm.system import VmSystem

#: What a report makes of this module's frames (`engine.source`).
FRAMES = "machinery"


class Machine(SyncMachine):
    """One execution of one program."""

    #: The VM subsystem, once booted.
    vm: VmSystem | None = None

    def boot(self, pages: int = 64, l2_size: int = 4, **sizes: Any) -> VmSystem:
        """Boot the machine's memory: `pages` of 4096 bytes, queues of `l2_size` colours.

        Further sizes, scaled down or as in the kernel, are the fields of `vmsmp.vm.config.BootConfig`.
        Raises: UsageError for sizes that cannot be, or for a second boot.
        """
        if self.vm is not None:
            raise UsageError("this machine has booted already")
        self.vm = VmSystem(self, BootConfig.of(pages=pages, l2_size=l2_size, **sizes))
        return self.vm
