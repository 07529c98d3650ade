"""Pages that a sweep of the pagedaemon must not leave behind (INV-Q9).

A page in no object may be on an active or inactive queue: an allocator has moved it out of its way, or its
object was terminated while it was wired.  A whole sweep of such queues disposes of it: it is freed, cached
or, if it was active, deactivated.  A page that another CPU uses meanwhile is excused.
"""

from __future__ import annotations

from typing import Any, Final

from vmsmp.check.ledger import Ledger
from vmsmp.check.rules import Rules, SystemRules
from vmsmp.engine.cpu import Cpu
from vmsmp.records.observer import RecordObserver
from vmsmp.records.share import Share
from vmsmp.vm.observer import SweepBegun, SweepEnded, VmObserver
from vmsmp.vm.vm_page.flags import PQ_NONE
from vmsmp.vm.vm_page.page import VmPage


def _ownerless(m: VmPage, base: int) -> bool:
    """Whether the page is in no object and on a queue of that type."""
    return m.raw_queue != PQ_NONE and m.raw_queue - m.pc == base and m.raw_object is None


def _in_use(m: VmPage) -> bool:
    """Whether the page is busied, held, wired, or its spinlock taken."""
    return bool(m.busy_count.value or m.hold_count.value or m.wire_count.value or m.spin_held())


class Sweeps(RecordObserver, VmObserver):
    """Checks that a whole sweep leaves no page that it must dispose of."""

    free = False  # it reads pages while all other CPUs are stopped

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        # for each CPU that sweeps: pages that it must dispose of
        self._due: dict[Cpu, dict[int, VmPage]] = {}

    def begin(self, machine: Any) -> None:
        self._due = {}

    def event(self, cpu: Cpu, event: Any) -> None:
        machine: Any = cpu.machine
        if isinstance(event, SweepBegun):
            pages = machine.vm.page.vm_page_array
            self._due[cpu] = {m.code: m for m in pages if _ownerless(m, event.base) and not _in_use(m)}
        elif isinstance(event, SweepEnded):
            due = self._due.pop(cpu, {})
            for m in due.values():
                if event.whole and _ownerless(m, event.base):
                    self._tell(cpu, m)

    def took(self, cpu: Cpu, record: Any, share: Share) -> None:
        for sweeper, due in self._due.items():
            if sweeper is not cpu:
                due.pop(record.code, None)

    def freed(self, cpu: Cpu, record: Any) -> None:
        for due in self._due.values():
            due.pop(record.code, None)

    def _tell(self, cpu: Cpu, m: VmPage) -> None:
        machine = cpu.machine
        if machine.violation is None:
            machine.fail(
                "queue",
                f"INV-Q9: {m.klass}: it is in no object, and still on a queue that was swept",
                [f"{m} is {m.dump()}", *self._ledger.history(m)],
            )


# The daemon has no records of its own; the rules of pages and queues are in `check.vm.vm_page`.
RULES: Final[tuple[Rules, ...]] = ()
SYSTEM: Final = SystemRules()
