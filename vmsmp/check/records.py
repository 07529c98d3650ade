"""The page layer's rules, asked of whatever was written last.

In the controlled engine the record that an operation wrote is judged at the next arrival, when that
step is over and all CPUs stand before their next operation.  In the free engine, which has no steps,
all records are judged at every rendezvous, and INV-V4, INV-PB5, INV-PB7 and uses of freed words are not.
The rules themselves are in `pages`, `queues` and `vmstats`.
Results of lookups (INV-H1, INV-PB6), gates of allocations (INV-V3), stores to atomic words (INV-PB7) and
uses of freed memory (INV-UAF) are judged when they happen.
"""

from __future__ import annotations

from typing import Any

from vmsmp.check.ledger import Ledger
from vmsmp.check.pages import Broken, broken_page, leaked_pages, unlinked_page
from vmsmp.check.queues import broken_freeing, broken_object, broken_queue
from vmsmp.check.vmstats import broken_counts, broken_delta, broken_gate
from vmsmp.engine import ops
from vmsmp.engine.cpu import Cpu
from vmsmp.engine.identity import FIRST_BLOCK, FIRST_NAMED
from vmsmp.engine.machine import Machine
from vmsmp.engine.observer import Observer
from vmsmp.sync.field import Field, Record
from vmsmp.sync.lock import Lock
from vmsmp.vm.vm_init import VmSystem
from vmsmp.vm.vm_meter import Vmmeter
from vmsmp.vm.vm_object import OBJ_DEAD, VmObject
from vmsmp.vm.vm_page_h import (
    HARD,
    PBUSY_MASK,
    PBUSY_SWAPINPROG,
    SOFT,
    VmPage,
    has,
)
from vmsmp.vm.vm_page_queues import Vpgqueues

#: What stays the same for whoever has a page soft-busied.
_IDENTITY = frozenset(("object", "pindex", "valid"))
_RESERVED = FIRST_BLOCK << ops.CPU_BITS + ops.KIND_BITS
_NAMED = FIRST_NAMED << ops.KIND_BITS


def _vm(machine: Any) -> VmSystem:
    """The VM of a machine that has booted one; bare machines have none."""
    vm: VmSystem = machine.vm
    return vm


class Records(Observer):
    """Judges pages, queues and objects; `ledger` knows what is out."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self._touched: Record | None = None
        # whether there is freed memory that somebody could still touch
        self._any_freed = False
        # CPUs that are changing one of their deltas: which count, and what it was before
        self._counting: dict[Cpu, tuple[str, int]] = {}

    def begin(self, machine: Machine) -> None:
        self._touched = None
        self._any_freed = False
        self._counting = {}

    def op(self, cpu: Cpu, code: int) -> None:
        touched = self._touched
        if touched is not None:
            self._touched = None
            self._judge(cpu, touched)
        if _RESERVED <= code < _NAMED and (code & 1 or self._any_freed):
            touched = _vm(cpu.machine).record_of(code >> ops.KIND_BITS)
            if isinstance(touched, Vmmeter):
                self._counts(cpu, touched, code)
                return
            if code & ops.KIND_MASK == ops.ATOMIC_STORE and isinstance(touched, VmPage | VmObject):
                text = "an atomic word is stored to, and what others changed meanwhile is lost"
                self._tell(cpu.machine, touched, ("INV-PB7", text))
            self._touched = touched
            if isinstance(touched, VmObject) and touched.freed:
                self._too_late(cpu, touched)
        if self._counting and cpu in self._counting:
            count, before = self._counting.pop(cpu)
            vm = _vm(cpu.machine)
            gd = vm.mycpu()
            if gd.gd_vmstats_adj.peek(count) < before:  # it has counted a page less, and is done with that
                self._tell(cpu.machine, gd.gd_vmstats_adj, broken_delta(vm, gd, count))

    def _counts(self, cpu: Cpu, meter: Vmmeter, code: int) -> None:
        """`cpu` is about to change a count: note what it was, if it is the CPU's own delta."""
        adj = _vm(cpu.machine).mycpu().gd_vmstats_adj
        if meter is adj and code & ops.KIND_MASK == ops.FETCHADD:
            word = adj.at((code - adj.code) >> ops.CPU_BITS + ops.KIND_BITS)
            self._counting[cpu] = (word.declared.name, word.value)

    def _judge(self, cpu: Cpu, thing: Record) -> None:
        if isinstance(thing, VmPage):
            broken = broken_page(thing, self.ledger) or unlinked_page(thing)
        elif isinstance(thing, Vpgqueues):
            broken = broken_queue(thing)
        elif isinstance(thing, VmObject):
            broken = broken_object(thing, self.ledger)
        else:
            return
        if broken is not None:
            self._tell(cpu.machine, thing, broken)

    def _tell(self, machine: Any, thing: Record, broken: Broken | None) -> None:
        if broken is not None and machine.violation is None:
            name, text = broken
            machine.fail(
                "queue" if name.startswith("INV-Q") else "accounting",
                f"{name}: {thing.klass}: {text}",
                [f"{thing} is {thing.dump()}", *self.ledger.history(thing)],
            )

    # -- when they happen -----------------------------------------------------------------------

    def allocated(self, cpu: Cpu, thing: Record, request: int) -> None:
        vm = thing.vm
        self._tell(cpu.machine, thing, broken_gate(vm, vm.globaldata[cpu.index], request))

    def found(self, cpu: Cpu, thing: Record, key: tuple[Any, ...]) -> None:
        obj, pindex, valid, idle = key
        text = ""
        if thing.peek("object") is not obj or thing.peek("pindex") != pindex:
            text = f"a lookup returns a page that is not {obj.klass}'s at that index"
        elif not has(cpu, thing, HARD, SOFT):
            text = "a lookup returns a page that it has not busied"
        if text:
            self._tell(cpu.machine, thing, ("INV-H1", text))
        if thing.peek("valid") & valid != valid:
            self._tell(cpu.machine, thing, ("INV-PB6", "a lookup returns a page that is not valid as asked"))
        if idle and thing.peek("busy_count") & (PBUSY_MASK | PBUSY_SWAPINPROG):
            self._tell(cpu.machine, thing, ("INV-PB6", "a lookup returns a page that is busy otherwise"))

    def access(self, cpu: Cpu, thing: Record, field: Field, write: bool) -> None:
        if getattr(thing, "freed", False):
            self._too_late(cpu, thing)

        elif write and field.name in _IDENTITY and not cpu.machine.engine.parallel:
            readers = [other for other, share in thing.holders if share == SOFT and other is not cpu]
            if readers:
                text = f"its {field.name} changes while another CPU has it soft-busied"
                self._tell(cpu.machine, thing, ("INV-PB5", text))

    def wants(self, cpu: Cpu, lock: Lock, mode: str) -> None:
        if getattr(lock.guards, "freed", False):
            self._too_late(cpu, lock.guards)

    def acquired(self, cpu: Cpu, lock: Lock, mode: str, tried: bool) -> None:
        self.wants(cpu, lock, mode)

    def freed(self, cpu: Cpu, thing: Record) -> None:
        if isinstance(thing, VmObject):
            self._any_freed = True
            self._tell(cpu.machine, thing, broken_freeing(thing))

    def _too_late(self, cpu: Cpu, thing: Record) -> None:
        if cpu.machine.violation is None:
            cpu.machine.fail(
                "use-after-free",
                f"INV-UAF: {thing.klass} used after it was freed",
                [f"{cpu} uses it", *self.ledger.history(thing)],
            )

    # -- standing still -------------------------------------------------------------------------

    def quiescent(self, machine: Any) -> None:
        vm = machine.vm
        if vm is None:
            return
        cpu = machine.curcpu
        for m in vm.vm_page_array:
            self._tell(machine, m, broken_page(m, self.ledger))
        for pq in vm.vm_page_queues:
            self._tell(machine, pq, broken_queue(pq, walk_all=True))
        for m in vm.vm_page_array:
            self._tell(machine, m, unlinked_page(m))
        for obj in list(vm.objects):
            self._judge(cpu, obj)

    def end(self, machine: Any) -> None:
        vm = machine.vm
        if vm is None:
            return
        for m, broken in leaked_pages(vm):
            name, text = broken
            machine.fail(
                "leak", f"{name}: {m.klass}: {text}", [f"{m} is {m.dump()}", *self.ledger.history(m)]
            )
        for obj in vm.objects:
            if obj.peek("flags") & OBJ_DEAD and not obj.freed:
                facts = [f"{obj} is {obj.dump()}", *self.ledger.history(obj)]
                machine.fail("leak", f"INV-O5: {obj.klass}: it is dead and nobody freed it", facts)
        self._tell(machine, vm.vmstats, broken_counts(vm))
