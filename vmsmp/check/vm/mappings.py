"""Pages and the entries that name them: what a page's flags say must hold whichever of the two changes.

INV-P1, after each step that wrote a page's flags, or a managed leaf entry that names the page: a page that
an entry names is flagged as mapped, one that several name as mapped more than once, and one that a process
may write to as writeable.  INV-P2: no page is freed that an entry names.
Which entries name a page is kept up to date as entries change, so no step looks at more than one page.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from vmsmp.check.records import Records
from vmsmp.check.rules import Broken
from vmsmp.engine import ops
from vmsmp.engine.cpu import Cpu
from vmsmp.engine.identity import RECORD_BITS
from vmsmp.mmu.entry import ENTRIES, PG_RW, PG_V, frame_of
from vmsmp.mmu.memory import Memory
from vmsmp.mmu.observer import MmuObserver
from vmsmp.records.observer import RecordObserver
from vmsmp.records.record import PART_BITS
from vmsmp.vm.pmap.bits import PG_MANAGED
from vmsmp.vm.vm_page.flags import PG_MAPPED, PG_MAPPEDMULTI, PG_WRITEABLE
from vmsmp.vm.vm_page.page import VmPage

_MANAGED: Final = PG_V | PG_MANAGED
#: How far apart the codes of operations on pages are.
_SHIFT: Final = ops.KIND_BITS + ops.CPU_BITS + RECORD_BITS
#: Which part of a record an operation is about, and those about the flags of a page.
_PART: Final = PART_BITS & ~ops.KIND_MASK
_FLAGS: Final = VmPage.fields["flags"].part


class Mappings(MmuObserver, RecordObserver):
    """Knows the entries that name each page, and judges the page when they or its flags change.

    `records` speaks for it.
    """

    free = False  # a page is looked at while the others stand still

    def __init__(self, records: Records) -> None:
        self._records = records
        self._start_over()

    def _start_over(self) -> None:
        self._memory: Memory | None = None
        self._pages: list[VmPage] = []
        # what the step under way writes: an entry of a table, by its place, or the flags of a page
        self._place: int | None = None
        self._flagged: VmPage | None = None
        # by place: the frame that a managed leaf entry named when it was looked at last
        self._named: dict[int, int] = {}
        # by frame and place: the entries that name it
        self._naming: dict[int, dict[int, int]] = {}

    def begin(self, machine: Any) -> None:
        self._start_over()

    # -- what changes ---------------------------------------------------------------------------

    def op(self, cpu: Cpu, code: int) -> None:
        memory = self._memory
        if memory is None:
            self._find(cpu.machine)
            return
        if self._flagged is not None:
            self._judge(cpu, self._flagged)
            self._flagged = None
        elif self._place is not None:
            frame = self._look(self._place)
            self._place = None
            if frame is not None:
                self._judge(cpu, self._pages[frame])
        if code & 1:
            if memory.first_entry <= code < memory.last_entry:
                self._place = memory.place_of(code)
            elif code & _PART == _FLAGS:
                self._flagged = self._page(code)

    def _find(self, machine: Any) -> None:
        """Look at all entries that there are once the machine has booted."""
        if machine.vm is not None:
            self._memory = machine.vm.memory
            self._pages = machine.vm.page.vm_page_array
            for table, _, _ in self._memory.entries():
                self.zeroed(machine.curcpu, table)

    def _page(self, code: int) -> VmPage | None:
        """The page whose flags an operation is about; None if they are another record's."""
        number = (code & ~PART_BITS) - self._pages[0].code >> _SHIFT
        return self._pages[number] if 0 <= number < len(self._pages) else None

    def zeroed(self, cpu: Cpu, frame: int) -> None:
        """Look at all entries of a table anew."""
        if self._memory is not None:
            for place in self._memory.places(frame):
                self._look(place)

    def _look(self, place: int) -> int | None:
        """Look at an entry anew; return the frame of the page that it names now, if it is a page."""
        assert self._memory is not None
        pte = self._memory.peek_entry(*divmod(place, ENTRIES))
        before = self._named.pop(place, None)
        if before is not None:
            del self._naming[before][place]
        frame = frame_of(pte)
        if pte & _MANAGED != _MANAGED or frame >= len(self._pages):
            return None
        self._named[place] = frame
        self._naming.setdefault(frame, {})[place] = pte
        return frame

    # -- what holds -----------------------------------------------------------------------------

    def _judge(self, cpu: Cpu, m: VmPage) -> None:
        entries = self._naming.get(m.phys)
        if entries:
            self._records.tell(cpu.machine, m, broken_mapping(m, [*entries.values()]))

    def freed(self, cpu: Cpu, record: Any) -> None:
        if isinstance(record, VmPage) and self._naming.get(record.phys):
            broken = Broken("INV-P2", "freed while an entry of a page table names it", joint=" ")
            self._records.tell(cpu.machine, record, broken)


def broken_mapping(m: VmPage, entries: Sequence[int]) -> Broken | None:
    """Whether one of the entries that name the page is against what its flags say (P1)."""
    flags = m.flags.value
    if not flags & PG_MAPPED:
        return Broken("INV-P1", "an entry of a page table names it, and it is not flagged as mapped")
    if len(entries) > 1 and not flags & PG_MAPPEDMULTI:
        return Broken("INV-P1", f"{len(entries)} entries name it, and it is flagged as mapped once")
    if any(pte & PG_RW for pte in entries) and not flags & PG_WRITEABLE:
        return Broken("INV-P1", "a process may write to it, and it is not flagged so")
    return None
