"""The pmaps of a machine, and the kernel's page tables as it boots.

Models: pmap_bootstrap, create_pagetables and pmap_init of sys/platform/pc64/x86_64/pmap.c.
Locks: none; only the boot CPU runs.
Deviations:
  * the kernel's tables lie in frames behind the pages: a PML4, a PDP, a PD and a PT, from the kernel's first
    address on; no direct map, no recursive map, no message buffer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from vmsmp.mmu.entry import LEVELS, index_of, make_entry
from vmsmp.vm.pmap.bits import KERNEL_TABLE_BITS
from vmsmp.vm.pmap.pmap import ALL_CPUS, Pmap, PvEntry
from vmsmp.vm.vm_map.flags import VM_MIN_KERNEL_ADDRESS

if TYPE_CHECKING:
    from vmsmp.records.home import Home
    from vmsmp.records.pool import RecordPool
    from vmsmp.vm.config import BootConfig
    from vmsmp.vm.system import VmSystem

#: Frames behind the pages, one for each level of the kernel's tables.
BOOT_FRAMES: Final = len(LEVELS)


class Pmaps:
    """The globals of pmap.c: the pmaps, the pv entries, the kernel's pmap and how far its tables reach."""

    def __init__(self, vm: Any, config: BootConfig) -> None:
        self._vm: VmSystem = vm
        self.pmaps: RecordPool[Pmap] = vm.pool(Pmap)
        self.pv_entries: RecordPool[PvEntry] = vm.pool(PvEntry)
        #: gd_newpv: the pv entry that each CPU has in reserve, by its index.
        self.gd_newpv: dict[int, PvEntry] = {}
        #: Where the kernel's page tables end; 0 until the first pmap_growkernel.
        self.kernel_vm_end = 0
        #: Whether a table page that becomes empty is taken away at once: a sysctl.
        self.pmap_dynamic_delete = 0
        self.kernel_pmap = self._bootstrap(config)

    def _bootstrap(self, config: BootConfig) -> Pmap:
        pmap = self.make("kernel_pmap")
        pmap.pm_active.value = ALL_CPUS
        pmap.root = _create_pagetables(self._vm, config)
        return pmap

    def make(self, name: str | None = None) -> Pmap:
        """Return memory for a pmap."""
        with self._vm.making:
            pmap: Pmap = self.pmaps.make(_name=name or f"pmap[{len(self.pmaps.records)}]")
        return pmap

    def new_pv_entry(self) -> PvEntry:
        """Return memory for a pv entry."""
        with self._vm.making:
            pv: PvEntry = self.pv_entries.make(number=self._vm.map.supply().next_number())
        return pv


def _create_pagetables(vm: Any, config: BootConfig) -> int:
    """Fill the kernel's boot tables; return the frame of the top one."""
    first = config.pages
    for n, level in enumerate(sorted(LEVELS, reverse=True)[:-1]):
        entry = vm.mmu.memory.word(first + n, index_of(VM_MIN_KERNEL_ADDRESS, level))
        entry.value = make_entry(first + n + 1, KERNEL_TABLE_BITS)
    return first


def startup(vm: Home, config: BootConfig) -> Pmaps:
    """pmap_bootstrap: start with the kernel's pmap."""
    return Pmaps(vm, config)
