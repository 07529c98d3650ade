"""The sysctls of faults.

Models: the SYSCTLs of sys/vm/vm_fault.c.
Locks: none; each number is read when it is used.
Deviations: none known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vmsmp.vm.sysctl import Sysctl

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem


def _switch(name: str, attribute: str, text: str) -> Sysctl:
    """A tunable of the fault layer."""

    def read(vm: VmSystem) -> int:
        value: int = getattr(vm.fault, attribute)
        return value

    def write(vm: VmSystem, value: int) -> None:
        setattr(vm.fault, attribute, value)

    return Sysctl(f"vm.{name}", text, read, write)


SYSCTLS: Final = (
    _switch("debug_fault", "debug_fault", "above 0: print so many faults; below 0: those that fail"),
    _switch("debug_cluster", "debug_cluster", "whether a page where reading ahead has ended is told of"),
    _switch("shared_fault", "vm_shared_fault", "whether faults lock objects shared at first"),
    _switch("fault_bypass", "vm_fault_bypass_count", "pages that a fault may map without a lock"),
    _switch("prefault_pages", "vm_prefault_pages", "neighbours of a page that a fault tries to map"),
    _switch("fast_fault", "vm_fast_fault", "whether neighbours may get new pages"),
)
