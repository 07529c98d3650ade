"""The globals of the invalidation protocol, and its tunables.

Models: the globals of sys/platform/pc64/x86_64/pmap_inval.c, and those of mp_machdep.c that it uses.
Locks: none; masks are words in which CPUs set and clear bits.
Deviations:
  * smp_active_mask and smp_startup_mask are the CPUs that exist so far; one that is spawned later waits until
    no command is in progress.
  * no smp_in_mask, which is for diagnostics, and no watchdogs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from vmsmp.engine import ops
from vmsmp.vm.pmap_inval.info import PmapInvalInfo
from vmsmp.vm.pmap_inval.smp import Xinvltlb

if TYPE_CHECKING:
    from vmsmp.records.home import Home
    from vmsmp.records.pool import RecordPool
    from vmsmp.vm.config import BootConfig


class PmapInvals:
    """The globals: a slot of each CPU, and the masks."""

    def __init__(self, vm: Any) -> None:
        self._vm = vm
        self._infos: RecordPool[PmapInvalInfo] = vm.pool(PmapInvalInfo, ops.MAX_CPUS)
        self.pmap_inval_force_allcpus = 0
        self.pmap_inval_force_nonopt = 0
        self.optimized_invltlb = 0
        self.all_but_self_ipi_enable = 1
        machine = vm.machine
        machine.vector = Xinvltlb
        #: The CPUs with a command in progress; those that must flush everything; those to which an IPI is on
        #: its way; those that are idle, and those of them that must flush when they wake up.
        self.smp_invmask = machine.atomic(0, "smp_invmask", bin)
        self.smp_invltlb_mask = machine.atomic(0, "smp_invltlb_mask", bin)
        self.smp_smurf_mask = machine.atomic(0, "smp_smurf_mask", bin)
        self.smp_idleinvl_mask = machine.atomic(0, "smp_idleinvl_mask", bin)
        self.smp_idleinvl_reqs = machine.atomic(0, "smp_idleinvl_reqs", bin)
        #: For each CPU: 0, or 1 inside smp_inval_intr, or 2 if another request has come meanwhile.
        self.gd_xinvaltlb = [0] * ops.MAX_CPUS
        #: v_smpinvltlb of each CPU: how often it had all others flush everything.
        self.v_smpinvltlb = [0] * ops.MAX_CPUS

    @property
    def smp_active_mask(self) -> int:
        """The CPUs of the machine."""
        return (1 << len(self._vm.machine.cpus)) - 1

    def invinfo(self, cpu: int) -> PmapInvalInfo:
        """The slot of a CPU."""
        return self._infos.first_use(cpu, cpu=cpu)

    def invinfos(self) -> Iterator[PmapInvalInfo]:
        """The slots that were used."""
        return iter(self._infos)


def startup(vm: Home, _config: BootConfig) -> PmapInvals:
    """Start with empty masks, and with the handler of the IPI."""
    return PmapInvals(vm)
