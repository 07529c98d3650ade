"""Booting a machine's memory: the page array, the queues, the counts, the tokens.

Models: sys/vm/vm_init.c and vm_page_startup/vm_add_new_page of sys/vm/vm_page.c.
`VmSystem` is what the kernel keeps in globals; a machine has at most one (`m.boot`).
Locks: none; only the boot CPU runs.
Deviations:
  * no page is set aside below vm_low_phys_reserved: contiguous memory (alist) is not modelled.
  * page 0 of the array is physical page 0; there is one range of memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.engine import ops
from vmsmp.errors import UsageError
from vmsmp.sync.field import STRIDE, Record
from vmsmp.vm.vm_meter.meter import METER_STRIDE, Globaldata, Thresholds, Vmmeter
from vmsmp.vm.vm_object.ddb import vm_object_print
from vmsmp.vm.vm_page.boot import _collector_paused
from vmsmp.vm.vm_page.ddb import vm_page_print_page, vm_page_print_page_info, vm_page_print_pageq_info
from vmsmp.vm.vm_page.flags import PQ_L2_SIZE, PQ_TYPES
from vmsmp.vm.vm_page.hash_table import VmPageHash
from vmsmp.vm.vm_page.page import PAGE_STRIDE, VmPage, Vpgqueues
from vmsmp.vm.vm_page.queues import TAILQ_INSERT_HEAD

if TYPE_CHECKING:
    from typing import Any, NoReturn

    from vmsmp.engine.cpu import Cpu
    from vmsmp.machine import Machine
    from vmsmp.sync.spinlock import Spinlock
    from vmsmp.vm.vm_object.object import VmObject

#: In which count the pages of a queue type are counted: held pages count as active.
_CNT_OFFSET = {
    "free": "v_free_count",
    "inactive": "v_inactive_count",
    "active": "v_active_count",
    "cache": "v_cache_count",
    "hold": "v_active_count",
}


class VmSystem:
    """The virtual-memory globals of one machine.

    `limits` may be changed before CPUs are spawned; sizes are fixed at boot.  Kernel functions are
    in the modules of `vmsmp.vm`, under the kernel's names.
    """

    def __init__(
        self,
        machine: Machine,
        *,
        pages: int = 64,
        l2_size: int = 4,
        set_assoc_mask: int | None = None,
        topology: tuple[int, int, int] | None = None,
        adj_limit: int = 1024,
        hash_size: int | None = None,
        hash_set: int = 4,
        scan_yield: int = 64,
    ) -> None:
        if pages < 1:
            raise UsageError(f"a machine has at least 1 page, not {pages}")
        if l2_size < 1 or l2_size & (l2_size - 1) or l2_size > PQ_L2_SIZE:
            raise UsageError(f"l2_size must be a power of two up to {PQ_L2_SIZE}, not {l2_size}")
        if adj_limit < 0:
            raise UsageError(f"adj_limit must not be negative, and is {adj_limit}")
        self.machine = machine
        self.engine = machine.engine
        self.hooks = machine.hooks
        self.point = machine.point
        self.making = machine.making
        self.booted = False

        self.l2_size = l2_size
        self.l2_mask = l2_size - 1
        self.PQ_FREE, self.PQ_INACTIVE, self.PQ_ACTIVE, self.PQ_CACHE, self.PQ_HOLD = (
            1 + n * l2_size for n in range(len(PQ_TYPES))
        )
        self.adj_limit = adj_limit
        self.scan_yield = scan_yield
        self.ncpus = max(1, machine.options.cpus or machine.declared or 1)
        self.topology = topology or (1, self.ncpus, 1)
        if min(self.topology) < 1:
            raise UsageError(f"topology counts sockets, cores and threads from 1 on, not {self.topology}")
        self.set_assoc_mask = self._set_assoc_mask() if set_assoc_mask is None else set_assoc_mask

        checked = bool(machine.hooks.access)
        self.page_class: type[VmPage] = VmPage.checked if checked else VmPage
        self.queue_class: type[Vpgqueues] = Vpgqueues.checked if checked else Vpgqueues

        first = machine.reserve(2 * STRIDE * ops.MAX_CPUS + STRIDE, self._meter_at)
        self.vmstats = Vmmeter(self, first, "vmstats")
        self._first_meter = first + METER_STRIDE
        self.globaldata: list[Globaldata | None] = [None] * ops.MAX_CPUS
        self.limits = Thresholds(pages)

        # Written and read by anybody, and documented as sloppy (VS-11).
        self.vm_pages_needed = machine.cell(0, "vm_pages_needed")
        self.vm_pages_waiting = machine.cell(0, "vm_pages_waiting")
        self.vm_pageout_pages_needed = machine.cell(0, "vm_pageout_pages_needed")
        self.vm_pageout_deficit = machine.cell(0, "vm_pageout_deficit")
        self.vm_token = machine.token("vm_token")
        self.pagethread: Cpu | None = None
        self.emergpager: Cpu | None = None
        #: Ghost: who told those who wait last.
        self.last_to_free: Globaldata | None = None
        self.pageout_stop = machine.cell(False, "pageout_stop")
        self.objects: list[VmObject] = []
        self.markers: list[VmPage] = []

        self._startup(pages)
        self.vm_page_hash = VmPageHash(self, pages, hash_size, hash_set)
        self.booted = True

    def _set_assoc_mask(self) -> int:
        """How many neighbouring colours a search looks at before it widens, less one."""
        fit = 1
        while fit < self.ncpus:
            fit <<= 1
        return min(max(self.l2_size // fit - 1, 7, 15), self.l2_mask)

    def _startup(self, pages: int) -> None:
        """vm_page_startup: the queues, then every page on the free queue of its colour."""
        machine = self.machine
        first = machine.reserve(STRIDE * (1 + self.l2_size * len(PQ_TYPES)), self._queue_at)
        self._boot = first & ops.MAX_CPUS - 1
        self._first_queue = first >> ops.CPU_BITS
        self.vm_page_queues: list[Vpgqueues] = []
        for index in range(1 + self.l2_size * len(PQ_TYPES)):
            kind = (index - 1) // self.l2_size if index else 0
            base = 1 + kind * self.l2_size if index else 0
            pq = Vpgqueues(self, first + index * PAGE_STRIDE, index, base, _CNT_OFFSET[PQ_TYPES[kind]])
            self.vm_page_queues.append(pq)
        first = machine.reserve(STRIDE * pages, self._page_at)
        self._first_page = first >> ops.CPU_BITS
        self.vm_page_array: list[VmPage] = []
        colours = list(range(self.l2_size))  # shared: a machine may have a million pages
        with _collector_paused(pages):
            for phys in range(pages):
                self.vm_page_array.append(self._vm_add_new_page(phys, first + phys * PAGE_STRIDE, colours))
        self.vmstats.v_free_count.value = pages
        if self.page_class is not VmPage:
            for thing in self.vm_page_array:
                thing.__class__ = self.page_class
            for pq in self.vm_page_queues:
                pq.__class__ = self.queue_class

    def _vm_add_new_page(self, phys: int, ident: int, colours: list[int]) -> VmPage:
        """A page of physical memory goes to the free queue of its colour.

        The colour is the page number, twisted by the number of whole turns through the colours, so
        that CPUs with neighbouring colours do not meet in the same rows of a cache.
        """
        size = self.l2_size
        pc = (phys ^ phys // size ^ phys // (size * size)) & self.l2_mask
        m = VmPage(self, ident, phys, colours[pc])
        pq = self.vm_page_queues[self.PQ_FREE + pc]
        m.queue = pq.index
        TAILQ_INSERT_HEAD(pq, m)
        pq.lcnt += 1
        return m

    def marker(self, flags: int) -> VmPage:
        """A page that is none: a scan's place holder, or a driver's fictitious page."""
        m = VmPage(self, None, -1, 0, flags)  # nobody's lock: never checked
        self.markers.append(m)
        return m

    # -- who is who -----------------------------------------------------------------------------

    def mycpu(self) -> Globaldata:
        """The running CPU's globaldata."""
        cpu = self.engine.current
        return self.globaldata[cpu.index] or self._new_cpu(cpu)

    def _new_cpu(self, cpu: Cpu) -> Globaldata:
        gd = Globaldata(self, cpu, self._first_meter + 2 * cpu.index * METER_STRIDE)
        self.globaldata[cpu.index] = gd
        return gd

    def cpus(self) -> list[Globaldata]:
        """The globaldata of all CPUs that have counted anything yet, in order."""
        return [gd for gd in self.globaldata if gd is not None]

    def queue_name(self, index: int) -> str:
        """`pq.free[3]` for the queue of that index, `PQ_NONE` for none."""
        if not index:
            return "PQ_NONE"
        if not 0 < index < len(self.vm_page_queues):
            return f"queue {index}, which there is not"
        return f"pq.{PQ_TYPES[(index - 1) // self.l2_size]}[{(index - 1) % self.l2_size}]"

    def queue_type(self, index: int) -> str:
        """The type of the queue of that index, "none" for none."""
        return PQ_TYPES[(index - 1) // self.l2_size] if 0 < index < len(self.vm_page_queues) else "none"

    def count(self, name: str) -> int:
        """The true value of a page count: the global one and every CPU's delta, unseen."""
        total: int = self.vmstats.peek(name)
        for gd in self.cpus():
            total += gd.gd_vmstats_adj.peek(name)
        return total

    def show_page(self, number: int | None = None) -> str:
        """The debugger's `show page`: one page, or the counts."""
        if number is None:
            return "\n".join(vm_page_print_page_info(self))
        if not 0 <= number < len(self.vm_page_array):
            raise UsageError(f"there is no page {number}: this machine has {len(self.vm_page_array)}")
        return "\n".join(vm_page_print_page(self.vm_page_array[number]))

    def show_pageq(self, kind: str | None = None) -> str:
        """The debugger's `show pageq`: all queues that are not empty, or those of one type."""
        if kind is not None and kind not in PQ_TYPES:
            raise UsageError(f"there is no queue type {kind!r}: there are {', '.join(PQ_TYPES)}")
        return "\n".join(vm_page_print_pageq_info(self, kind))

    def show_object(self, name: str | None = None) -> str:
        """The debugger's `show object`: one object by name, or all."""
        found = [obj for obj in self.objects if name in (None, obj.name)]
        if name is not None and not found:
            known = ", ".join(obj.name for obj in self.objects) or "none"
            raise UsageError(f"there is no object {name!r}: there are {known}")
        return "\n".join(line for obj in found for line in vm_object_print(obj)) or "no objects"

    def locks(self) -> list[Spinlock]:
        """The spinlocks of queues and pages that somebody has wanted yet."""
        made = [pq._spin for pq in self.vm_page_queues] + [m._spin for m in self.vm_page_array]
        return [spin for spin in made if spin is not None]

    def panic(self, message: str) -> NoReturn:
        """Stop the machine, as the kernel's panic or a failed KKASSERT does."""
        self.machine.panic(message)

    def pause_tokens(self, what: str) -> None:
        """A point at which the kernel may block: the CPU's tokens go and come back."""
        held = self.engine.current.held
        if any(hold.lock.kind == "token" for hold in held):
            self.machine.leave_tokens(what)
            self.machine.regain_tokens()

    def record_of(self, ident: int) -> Record | None:
        """The record in whose run of identities this one is, or None."""
        n = ident >> ops.CPU_BITS
        if ident & ops.MAX_CPUS - 1 == self._boot:
            at = n - self._first_page
            if 0 <= at < STRIDE * len(self.vm_page_array):
                return self.vm_page_array[at // STRIDE]
            at = n - self._first_queue
            if 0 <= at < STRIDE * len(self.vm_page_queues):
                return self.vm_page_queues[at // STRIDE]
        thing = self.machine.find(ident)
        return thing if isinstance(thing, Record) else getattr(thing, "owner", getattr(thing, "record", None))

    # -- identities back to objects -------------------------------------------------------------

    def _page_at(self, n: int) -> Any:
        return self.vm_page_array[n // STRIDE].at(n % STRIDE)

    def _queue_at(self, n: int) -> Any:
        return self.vm_page_queues[n // STRIDE].at(n % STRIDE)

    def _meter_at(self, n: int) -> Any:
        which, offset = divmod(n, STRIDE)
        if which == 0:
            return self.vmstats.at(offset)
        gd = self.globaldata[(which - 1) // 2]
        if gd is None:
            return None
        return (gd.gd_vmstats_adj if (which - 1) % 2 else gd.gd_vmstats).at(offset)
