"""The sysctls of the invalidation protocol.

Models: the SYSCTLs of sys/platform/pc64/x86_64/pmap_inval.c and mp_machdep.c.
Locks: none; set them before CPUs are spawned.
Deviations:
  * machdep.pmap_inval_watchdog_print, report_invlpg_src and report_invltlb_src are left out: they print.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vmsmp.vm.sysctl import Sysctl

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem


def _switch(name: str, text: str) -> Sysctl:
    """A tunable of the invalidation protocol."""

    def read(vm: VmSystem) -> int:
        return int(getattr(vm.inval, name))

    def write(vm: VmSystem, value: int) -> None:
        setattr(vm.inval, name, value)

    return Sysctl(f"machdep.{name}", text, read, write)


SYSCTLS: Final = (
    _switch("pmap_inval_force_allcpus", "whether all CPUs have to answer an invalidation"),
    _switch("pmap_inval_force_nonopt", "whether a CPU that is alone with a pmap tells all the same"),
    _switch("optimized_invltlb", "whether idle CPUs flush when they wake up instead of at once"),
    _switch("all_but_self_ipi_enable", "whether an IPI to all is one: 0 never, 1 if it is to all, 2 always"),
)
