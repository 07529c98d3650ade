"""The entries of page tables: who may change them and how, and the flags of the pages that they name.

INV-P1, after each step that wrote a page's flags, or a managed leaf entry that names the page: a page that
an entry names is flagged as mapped, one that several name as mapped more than once, and one that a process
may write to as writeable.  INV-P2: no page is freed that an entry names.
INV-P5: a CPU that clears M, and not M alone, marks the page dirty before it releases the entry's placemark
or the page.
INV-R6: only the owner of its placemark makes a user's leaf entry name a page, or another one, or give more
rights.  Anything but A, M and the wiring is cleared by that CPU, or in one step by one that has seen it.
INV-R7: M is set by a walk, A by a walk or the owner of the placemark, and no valid entry is stored to.
The entries that name a page are kept up to date as entries change, so no step looks at more than one page.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from vmsmp.check.ledger import Ledger
from vmsmp.check.records import Records, tell
from vmsmp.check.rules import NOTHING, Books, Broken, Judged
from vmsmp.engine import ops
from vmsmp.engine.cpu import Cpu
from vmsmp.engine.identity import RECORD_BITS
from vmsmp.mmu.entry import ENTRIES, PG_A, PG_M, PG_NX, PG_RW, PG_V, frame_of
from vmsmp.mmu.memory import Memory
from vmsmp.mmu.observer import MmuObserver
from vmsmp.mmu.walk import Translation
from vmsmp.records.observer import RecordObserver
from vmsmp.records.record import PART_BITS, Record
from vmsmp.records.share import Share
from vmsmp.sync.atomic import Atomic
from vmsmp.vm.pmap.bits import PD_BASE, PG_MANAGED, PG_W, PT_BASE
from vmsmp.vm.pmap.pmap import PLACEMARK, PM_PLACEMARK_WAKEUP, PvEntry
from vmsmp.vm.system import VmSystem
from vmsmp.vm.vm_page.flags import PG_MAPPED, PG_MAPPEDMULTI, PG_WRITEABLE
from vmsmp.vm.vm_page.page import HARD, VmPage

_MANAGED: Final = PG_V | PG_MANAGED
#: The distance between the codes of operations on two pages.
_SHIFT: Final = ops.KIND_BITS + ops.CPU_BITS + RECORD_BITS
#: The part bits of a record's operations, and their value for the flags of a page.
_PART: Final = PART_BITS & ~ops.KIND_MASK
_FLAGS: Final = VmPage.fields["flags"].part
_DIRTY: Final = VmPage.fields["dirty"].part
#: The bits that an entry may lose without its placemark, since they give no rights.
_NO_RIGHTS: Final = PG_A | PG_M | PG_W


class _Write(NamedTuple):
    """A CPU is about to write an entry, whose value is `before`."""

    cpu: Cpu
    place: int
    entry: Atomic
    before: int
    kind: int


class Mappings(MmuObserver, RecordObserver):
    """Knows the entries that name each page, and judges the page when they or its flags change.

    `Records` asks it what is to be judged (`rules.Judge`).
    """

    free = False  # it reads pages while all other CPUs are stopped

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        #: Shows it operations: all of them while a page's M is cleared and not yet told.
        self.records: Records
        self._start_over()

    def _start_over(self) -> None:
        self._memory: Memory | None = None
        self._pages: list[VmPage] = []
        # the write of an entry by the step in progress
        self._writing: _Write | None = None
        # by CPU: the translation of its walk, in whose entries it may set A and M
        self._walked: dict[int, Translation] = {}
        # by CPU: pages from whose entries it has cleared M, and which it has not marked dirty yet
        self._untold: dict[int, list[VmPage]] = {}
        # by the frame of a leaf table: the table's pv entry
        self._tables: dict[int, PvEntry] = {}
        # by place: the frame that a managed leaf entry named when it was read last
        self._named: dict[int, int] = {}
        # by frame and place: the entries that name it
        self._naming: dict[int, dict[int, int]] = {}

    def begin(self, machine: Any) -> None:
        self._start_over()

    # -- what changes ---------------------------------------------------------------------------

    def judged(self, machine: Any, record: Record | None, code: int) -> Judged:
        """Look at a page after a write of its flags, and at an entry before a write of it and after it."""
        if isinstance(record, VmPage):
            return Judged((self._judged,)) if code & _PART == _FLAGS else NOTHING
        block = machine.identities.block_of(code >> ops.KIND_BITS) if record is None else None
        if block is None:
            return NOTHING
        memory = getattr(block[0], "__self__", None)
        if not isinstance(memory, Memory) or not memory.first_entry <= code < memory.last_entry:
            return NOTHING
        place = memory.place_of(code)
        return Judged((self._wrote,), partial(self._begin, place, memory.word(*divmod(place, ENTRIES))))

    def _find(self, machine: Any) -> None:
        """Look at all entries that there are once the machine has booted."""
        memory = self._memory = machine.vm.memory
        self._pages = machine.vm.page.vm_page_array
        for table, _, _ in memory.entries():
            self.zeroed(machine.curcpu, table)

    def _begin(self, place: int, entry: Atomic, cpu: Cpu, code: int) -> None:
        """The CPU is about to write an entry; those that a boot writes are looked at after it."""
        machine: Any = cpu.machine
        if machine.vm is None:
            return
        if self._memory is None:
            self._find(machine)
        self._writing = _Write(cpu, place, entry, entry.value, code & ops.KIND_MASK)

    def _page(self, code: int) -> VmPage | None:
        """The page that an operation is about; None if it is about another record."""
        if not self._pages:
            return None
        number = (code & ~PART_BITS) - self._pages[0].code >> _SHIFT
        return self._pages[number] if 0 <= number < len(self._pages) else None

    def zeroed(self, cpu: Cpu, frame: int) -> None:
        """Read all entries of a table again."""
        if self._memory is not None:
            for place in self._memory.places(frame):
                self._look(place, self._memory.peek_entry(*divmod(place, ENTRIES)))

    def _look(self, place: int, pte: int) -> int | None:
        """Take in what an entry says; return the frame of the page that it names now, if it is a page."""
        if place in self._named:
            del self._naming[self._named.pop(place)][place]
        if pte & _MANAGED != _MANAGED:
            return None
        frame = frame_of(pte)
        if frame >= len(self._pages):
            return None
        self._named[place] = frame
        if frame not in self._naming:
            self._naming[frame] = {}
        self._naming[frame][place] = pte
        return frame

    # -- entries --------------------------------------------------------------------------------

    def walked(self, cpu: Cpu, found: Translation) -> None:
        self._walked[cpu.index] = found

    def filled(self, cpu: Cpu, entry: Translation) -> None:
        self._walked.pop(cpu.index, None)

    def _wrote(self, _nothing: None, _books: Books) -> None:
        """Judge what the step that is over has made of an entry."""
        write, self._writing = self._writing, None
        if write is None:
            return
        after = write.entry.value
        frame = self._look(write.place, after)
        if after != write.before:
            self._change(write, after)
        if frame is not None:
            m = self._pages[frame]
            tell(self._ledger, write.cpu.machine, m, self._judged(m, self._ledger))

    def _change(self, write: _Write, after: int) -> None:
        cpu, before = write.cpu, write.before
        vm: VmSystem = self._pages[0].vm
        table, index = divmod(write.place, ENTRIES)
        pv = self._table(vm, table)
        if pv is None:
            return
        owned = _owns(cpu, pv, index)
        same = bool(before & after & PG_V) and frame_of(before) == frame_of(after)
        found = self._walked.get(cpu.index)
        walks = write.kind == ops.CMPSET and found is not None and found.frame == frame_of(before)
        broken = broken_change(write, after, owned=owned, same=same, walks=walks)
        if broken is not None:
            tell(self._ledger, cpu.machine, pv, broken)
        taken = before & PG_M and not (same and after & PG_M) and after | PG_M != before
        if taken and before & _MANAGED == _MANAGED:
            self._untold.setdefault(cpu.index, []).append(self._pages[frame_of(before)])
            self.records.show(self._tells)

    def _table(self, vm: VmSystem, frame: int) -> PvEntry | None:
        """The pv entry of the leaf table in a frame; None if that is not a user's leaf table."""
        if frame >= len(self._pages):
            return None
        m = self._pages[frame]
        pv = self._tables.get(frame)
        if pv is None or pv.raw_pv_m is not m:
            found = (pv for pmap in vm.pmap.pmaps for pv in pmap.raw_pm_pvroot.values() if pv.raw_pv_m is m)
            pv = next(found, None)
            if pv is None:
                return None
            self._tables[frame] = pv
        return pv if PT_BASE <= pv.raw_pv_pindex < PD_BASE else None

    def _tells(self, cpu: Cpu, code: int) -> None:
        """The CPU looks whether a page is dirty, or says so: it is, once this step is over."""
        m = self._page(code) if code & _PART == _DIRTY and cpu.index in self._untold else None
        if m is not None and (code & 1 or m.raw_dirty):
            left = [page for page in self._untold.pop(cpu.index) if page is not m]
            if left:
                self._untold[cpu.index] = left
            elif not self._untold:
                self.records.hide(self._tells)

    def gave(self, cpu: Cpu, record: Any, share: Share) -> None:
        untold = self._untold.get(cpu.index) if self._untold else None
        if not untold or not (share is PLACEMARK or (share is HARD and record in untold)):
            return
        m = record if share is HARD else untold[0]
        text = "a process has written to it, which an entry that is gone said, and it was not told"
        tell(self._ledger, cpu.machine, m, Broken("INV-P5", text))

    # -- what holds -----------------------------------------------------------------------------

    def _judged(self, m: VmPage, _books: Books) -> Broken | None:
        if self._memory is None:
            if m.vm.machine.vm is None:
                return None
            self._find(m.vm.machine)
        phys = m.phys
        if phys not in self._naming or not self._naming[phys]:
            return None
        return broken_mapping(m, [*self._naming[phys].values()])

    def freed(self, cpu: Cpu, record: Any) -> None:
        if not isinstance(record, VmPage):
            return
        if self._memory is None:
            self._find(cpu.machine)
        if self._naming.get(record.phys):
            broken = Broken("INV-P2", "freed while an entry of a page table names it", joint=" ")
            tell(self._ledger, cpu.machine, record, broken)


def broken_mapping(m: VmPage, entries: Sequence[int]) -> Broken | None:
    """Whether an entry that names the page contradicts the page's flags (P1)."""
    flags = m.flags.value
    if not flags & PG_MAPPED:
        return Broken("INV-P1", "an entry of a page table names it, and it is not flagged as mapped")
    if len(entries) > 1 and not flags & PG_MAPPEDMULTI:
        return Broken("INV-P1", f"{len(entries)} entries name it, and it is flagged as mapped once")
    if any(pte & PG_RW for pte in entries) and not flags & PG_WRITEABLE:
        return Broken("INV-P1", "a process may write to it, and it is not flagged so")
    return None


def _owns(cpu: Cpu, pv: PvEntry, index: int) -> bool:
    """Whether the CPU owns the placemark of that entry of a leaf table."""
    pindex = (pv.raw_pv_pindex - PT_BASE) * ENTRIES + index
    return any(
        hold.mode is PLACEMARK
        and hold.lock.pmap is pv.raw_pv_pmap
        and hold.lock.mark.value & ~PM_PLACEMARK_WAKEUP == pindex
        for hold in cpu.held
    )


def broken_change(write: _Write, after: int, *, owned: bool, same: bool, walks: bool) -> Broken | None:
    """Whether a leaf entry changes in a forbidden way (R6, R7).

    `owned`: by the owner of its placemark.  `walks`: by a CPU that has found it in a walk.  `same`: it is
    valid, and still names the same page.
    """
    before = write.before
    if write.kind == ops.ATOMIC_STORE and before & PG_V:
        return Broken(
            "INV-R7", "a valid entry of its table is stored to, and what a walk set meanwhile is lost"
        )
    new = after & ~before if same else after
    if new & PG_M and not walks:
        return Broken("INV-R7", "an entry of its table says that a process has stored, and none has")
    if new & PG_A and not (walks or owned):
        return Broken("INV-R7", "an entry of its table says that a process has used it, and none has")
    if owned or (same and not (before ^ after) & ~_NO_RIGHTS):
        return None
    if after and (not same or after & PG_RW & ~before or before & PG_NX & ~after):
        return Broken("INV-R6", "an entry of its table gives more than before, by one without its placemark")
    if write.kind != ops.CMPSET:
        return Broken("INV-R6", "an entry of its table is taken away unseen, by one without its placemark")
    return None
