"""The tunables of the fault layer, and how it boots.

Models: the tunables and the static variables of sys/vm/vm_fault.c.
Locks: none; each number is read when it is used.
Deviations: none known.
"""

from __future__ import annotations

from vmsmp.records.home import Home
from vmsmp.vm.config import BootConfig


class Faults:
    """The globals of vm_fault.c."""

    def __init__(self) -> None:
        #: Above 0: print that many faults that are resolved; below 0: print every fault that fails.
        self.debug_fault = 0
        #: Whether a fault on a page where reading ahead has ended prints a letter.
        self.debug_cluster = 0
        #: Whether faults lock objects shared at first.
        self.vm_shared_fault = 1
        #: How many pages a fault may map without a lock of their object; 0: none.
        self.vm_fault_bypass_count = 1
        #: How many neighbours of a page are tried, half of them above it and half below.
        self.vm_prefault_pages = 8
        #: Whether neighbours that nobody has written to get new pages.
        self.vm_fast_fault = 1


def startup(_vm: Home, _config: BootConfig) -> Faults:
    """Start with the kernel's defaults."""
    return Faults()
