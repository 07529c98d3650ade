"""The sysctls of faults.

Models: the SYSCTLs of sys/vm/vm_fault.c.
Locks: none; each number is read when it is used.
Deviations: none known.
"""

from __future__ import annotations

from typing import Final

from vmsmp.vm.sysctl import tunable

SYSCTLS: Final = (
    tunable("vm.debug_fault", "fault.debug_fault", "above 0: print so many faults; below 0: those that fail"),
    tunable(
        "vm.debug_cluster", "fault.debug_cluster", "whether a page where reading ahead has ended is told of"
    ),
    tunable("vm.shared_fault", "fault.vm_shared_fault", "whether faults lock objects shared at first"),
    tunable("vm.fault_bypass", "fault.vm_fault_bypass_count", "pages that a fault may map without a lock"),
    tunable("vm.prefault_pages", "fault.vm_prefault_pages", "neighbours of a page that a fault tries to map"),
    tunable("vm.fast_fault", "fault.vm_fast_fault", "whether neighbours may get new pages"),
)
