"""The page counts of a machine, global and per CPU, and how they boot.

Models: the globals of sys/vm/vm_meter.c.
Locks: none; each CPU makes its own globaldata.
Deviations: none known.
"""

from __future__ import annotations

from vmsmp.engine import ops
from vmsmp.engine.cpu import Cpu
from vmsmp.records.home import Home
from vmsmp.records.pool import RecordPool
from vmsmp.vm.config import BootConfig
from vmsmp.vm.vm_meter.meter import COUNTS, Globaldata, Proc, Thresholds, Vmmeter


class PageCounts:
    """The globals of vm_meter.c: `vmstats`, and the globaldata of every CPU that has counted anything."""

    def __init__(self, vm: Home, config: BootConfig) -> None:
        self._engine = vm.engine
        # The global set, then two sets for each possible CPU.
        self._pool: RecordPool[Vmmeter] = vm.pool(Vmmeter, 1 + 2 * ops.MAX_CPUS)
        self._procs: RecordPool[Proc] = vm.pool(Proc, ops.MAX_CPUS)
        self.vmstats = self._pool.make(0, _name="vmstats")
        self.globaldata: list[Globaldata | None] = [None] * ops.MAX_CPUS
        self.adj_limit = config.adj_limit
        self.v_page_count = config.pages
        #: May be changed before CPUs are spawned.
        self.limits = Thresholds(config.pages)

    def mycpu(self) -> Globaldata:
        """The running CPU's globaldata."""
        cpu = self._engine.current
        return self.globaldata[cpu.index] or self._new_cpu(cpu)

    def _new_cpu(self, cpu: Cpu) -> Globaldata:
        place = 1 + 2 * cpu.index
        view = self._pool.make(place, _name=f"{cpu}.gd_vmstats")
        adj = self._pool.make(place + 1, _name=f"{cpu}.gd_vmstats_adj")
        for count in COUNTS:  # a CPU's view starts with the global counts
            getattr(view, count).value = self.vmstats.peek(count)
        proc = self._procs.make(cpu.index, _name=f"{cpu}.proc")
        gd = self.globaldata[cpu.index] = Globaldata(cpu, view, adj, proc)
        return gd

    def cpus(self) -> list[Globaldata]:
        """The globaldata of all CPUs that have counted anything yet, in order."""
        return [gd for gd in self.globaldata if gd is not None]

    def count(self, name: str) -> int:
        """The true value of a page count: the global one plus every CPU's delta, read invisibly."""
        total: int = self.vmstats.peek(name)
        for gd in self.cpus():
            total += gd.gd_vmstats_adj.peek(name)
        return total


def startup(vm: Home, config: BootConfig) -> PageCounts:
    """Return the counts, all of them zero."""
    return PageCounts(vm, config)
