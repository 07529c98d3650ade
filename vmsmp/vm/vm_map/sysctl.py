"""The sysctls of maps.

Models: the SYSCTLs of sys/vm/vm_map.c and sys/vm/vm_kern.c, and the tunables kern.maxssiz, kern.sgrowsiz and
kern.maxdsiz of sys/kern/subr_param.c.
Locks: none; each number is read when it is used.
Deviations:
  * the tunables are numbers of BootConfig and shown as sysctls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vmsmp.vm.sysctl import Sysctl, tunable
from vmsmp.vm.vm_map.flags import VM_MAX_KERNEL_ADDRESS, VM_MIN_KERNEL_ADDRESS

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem


def _tunable(name: str, text: str) -> Sysctl:
    """A number that is chosen at boot."""

    def read(vm: VmSystem) -> int:
        value: int = getattr(vm.config, name)
        return value

    return Sysctl(f"kern.{name}", text, read)


def _kvm_free(vm: VmSystem) -> int:
    """Bytes of kernel addresses beyond `kernel_vm_end`."""
    return VM_MAX_KERNEL_ADDRESS - (vm.pmap.kernel_vm_end or VM_MIN_KERNEL_ADDRESS)


SYSCTLS: Final = (
    tunable("vm.randomize_mmap", "map.randomize_mmap", "whether mmap chooses addresses at random"),
    tunable(
        "vm.map_relock_enable",
        "map.map_relock_enable",
        "whether an insertion releases the object while its pages are entered",
    ),
    tunable(
        "vm.map_partition_enable",
        "map.map_partition_enable",
        "whether a fault splits a large entry into partitions",
    ),
    tunable(
        "vm.map_backing_limit", "map.map_backing_limit", "length of a chain from which on fork collapses it"
    ),
    tunable(
        "vm.map_backing_shadow_test",
        "map.map_backing_shadow_test",
        "whether fork collapses the chain of an object with all its pages",
    ),
    Sysctl(
        "vm.kvm_size",
        "bytes of kernel addresses",
        lambda _vm: VM_MAX_KERNEL_ADDRESS - VM_MIN_KERNEL_ADDRESS,
    ),
    Sysctl("vm.kvm_free", "bytes of kernel addresses without page tables", _kvm_free),
    _tunable("maxssiz", "most bytes of a stack"),
    _tunable("sgrowsiz", "bytes by which a stack grows"),
    _tunable("maxdsiz", "most bytes of data"),
)
