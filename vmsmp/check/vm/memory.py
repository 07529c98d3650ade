"""Memory as its users see it: an oracle for every load through a TLB.

INV-UM1: a load returns what was stored last to the memory that the address names, by any CPU and in any
address space that shares it; a copy on write starts with the contents of its source.
INV-UM2: a load returns nothing that a former owner has left in the page's frame.
INV-C1, INV-M7, as users see them: no store goes to memory that must be copied first, or that may not be
written to, whatever the TLB has cached.
The map says what an address names: the page of the first object of its chain or, if that was never stored to,
of the next one; while an entry is being cut, a store goes to the page whose frame it reaches.
Not judged are loads from addresses that no map has, or whose entry is being cut, pages whose contents were
dropped (a removal, MADV_FREE), a page of which only another part was stored to, and one whose object was
merged into another.  Contents that a pager has kept meanwhile are judged as if they had been in memory.
Only accesses by users are judged.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from vmsmp.check.mmu import position, step_at
from vmsmp.engine.cpu import Cpu
from vmsmp.engine.verdict import FailureKind
from vmsmp.mmu.entry import DEV_BSHIFT, PAGE_SHIFT
from vmsmp.mmu.fault import Access
from vmsmp.mmu.memory import offset_of
from vmsmp.mmu.observer import MmuObserver
from vmsmp.sync.lock import EXCLUSIVE
from vmsmp.vm.observer import ContentsDropped, PageAllocated, VmObserver
from vmsmp.vm.system import VmSystem
from vmsmp.vm.vm_map.entry import VmMapEntry
from vmsmp.vm.vm_map.flags import MAP_ENTRY_NEEDS_COPY, VM_MAPTYPE_NORMAL, VM_PROT_WRITE
from vmsmp.vm.vm_object.object import VmObject


class _Stored(NamedTuple):
    """A value, and the CPU that stored it."""

    value: Any
    cpu: Cpu
    at: int


class _Page(NamedTuple):
    """A page of an object, in memory or not."""

    object: VmObject
    pindex: int

    def __str__(self) -> str:
        return f"page {self.pindex} of {self.object}"


class UserMemory(MmuObserver, VmObserver):
    """Keeps what every page must hold, and which owner has written to each frame; judges each load."""

    free = False

    def __init__(self) -> None:
        self._start_over()

    def _start_over(self) -> None:
        # by page and piece, what was stored last
        self._stored: dict[_Page, dict[int, _Stored]] = {}
        self._dropping: list[ContentsDropped] = []
        # by frame: how often its page was allocated, and in which of these allocations each piece was written
        self._tenures: dict[int, int] = {}
        self._written: dict[int, dict[int, int]] = {}

    def begin(self, machine: Any) -> None:
        self._start_over()

    # -- frames ---------------------------------------------------------------------------------

    def wrote(self, cpu: Cpu, frame: int, offset: int, source: int | None) -> None:
        piece = offset >> DEV_BSHIFT
        left = source is not None and self._left_over(source, piece)
        tenure = -1 if left else self._tenures.get(frame, 0)
        self._written.setdefault(frame, {})[piece] = tenure

    def zeroed(self, cpu: Cpu, frame: int) -> None:
        self._written.pop(frame, None)

    def _left_over(self, frame: int, piece: int) -> bool:
        """Whether the piece was last written by a former owner."""
        written = self._written.get(frame, {}).get(piece)
        return written is not None and written != self._tenures.get(frame, 0)

    # -- pages ----------------------------------------------------------------------------------

    def event(self, cpu: Cpu, event: Any) -> None:
        if isinstance(event, PageAllocated):
            phys = event.page.phys
            self._tenures[phys] = self._tenures.get(phys, 0) + 1
        elif isinstance(event, ContentsDropped):
            self._drop(event)

    def _drop(self, event: ContentsDropped) -> None:
        if not event.done:
            self._dropping.append(event)
            return
        self._dropping.remove(event._replace(done=False))
        for page in [page for page in self._stored if _covers(event, page)]:
            del self._stored[page]

    def _judged(self, page: _Page) -> bool:
        return not any(_covers(event, page) for event in self._dropping)

    # -- accesses -------------------------------------------------------------------------------

    def saw(self, cpu: Cpu, va: int, access: Access, value: Any) -> None:
        vm: VmSystem | None = getattr(cpu.machine, "vm", None)
        if vm is None or not access.user:
            return
        named = _named(vm, cpu, va)
        wrong = _forbidden(vm, cpu, named) if access.write and named is not None else None
        if wrong is not None:
            fact = f"{cpu} stores {value!r} to {va:#x}, which is in {named}"
            cpu.machine.fail(FailureKind.CHECK, wrong, [fact])
        pages = [] if named is None else _pages(named, va)
        if not pages or _changes(vm, cpu):
            behind = _behind(vm, cpu, va)
            if not pages or (behind and behind[0] not in pages):
                pages = behind if access.write else []
        if not pages:
            return
        piece = offset_of(va) >> DEV_BSHIFT
        if access.write:
            if self._judged(pages[0]):
                self._stored.setdefault(pages[0], {})[piece] = _Stored(value, cpu, position(cpu))
            return
        self._check_owner(cpu, va, piece)
        self._check_value(cpu, va, piece, value, pages)

    def _check_owner(self, cpu: Cpu, va: int, piece: int) -> None:
        """Check that the piece was not last written by a former owner of the frame (INV-UM2)."""
        entry = cpu.mmu.tlb.peek(cpu.mmu.pcid, va)
        frame = entry.frame_at(va)
        if self._left_over(frame, piece):
            cpu.machine.fail(
                FailureKind.CHECK,
                "INV-UM2: a load returns what a former owner has left in the page",
                [f"{cpu} loads from {va:#x}, by {entry}"],
            )

    def _check_value(self, cpu: Cpu, va: int, piece: int, value: Any, pages: list[_Page]) -> None:
        """Check that the value is the last one stored to the first page that has any (INV-UM1)."""
        for page in pages:
            if not self._judged(page):
                return
            stored = self._stored.get(page)
            if stored is None:
                continue
            last = stored.get(piece)
            if last is not None and last.value != value:
                cpu.machine.fail(
                    FailureKind.CHECK,
                    "INV-UM1: a load does not return what was stored last",
                    [
                        f"{cpu} loads {value!r} from {va:#x}, which is in {page}",
                        f"{last.cpu} stored {last.value!r} there at step {step_at(cpu, last.at)}",
                    ],
                )
            return


def _forbidden(vm: VmSystem, cpu: Cpu, entry: VmMapEntry) -> str | None:
    """Return why a store to the memory of an entry is forbidden, or None."""
    if entry.raw_eflags & MAP_ENTRY_NEEDS_COPY:
        return "INV-C1: a store is to memory that is to be copied first"
    if not entry.raw_protection & VM_PROT_WRITE and not _changes(vm, cpu):
        return "INV-M7: a store is to memory that may not be written to"
    return None


def _covers(event: ContentsDropped, page: _Page) -> bool:
    """Whether the page is one of those whose contents are dropped."""
    return event.object is page.object and event.start <= page.pindex < (event.end or 1 << 64)


def _changes(vm: VmSystem, cpu: Cpu) -> bool:
    """Whether the CPU's map is locked exclusively, so that an entry of it may be being cut."""
    lp = vm.switch.lwp(cpu.index)
    vmspace = None if lp is None else lp.lwp_vmspace
    return vmspace is not None and any(mode == EXCLUSIVE for _, mode in vmspace.vm_map.lock.holders)


def _behind(vm: VmSystem, cpu: Cpu, va: int) -> list[_Page]:
    """The page whose frame the CPU has cached for an address; an entry that is being cut names none."""
    m = vm.page.vm_page_array[cpu.mmu.tlb.peek(cpu.mmu.pcid, va).frame_at(va)]
    return [] if m.raw_object is None else [_Page(m.raw_object, m.raw_pindex)]


def _named(vm: VmSystem, cpu: Cpu, va: int) -> VmMapEntry | None:
    """The entry of objects that covers the address, in the map of the process that the CPU runs."""
    lp = vm.switch.lwp(cpu.index)
    vmspace = None if lp is None else lp.lwp_vmspace
    if vmspace is None:
        return None
    entry: VmMapEntry | None = vmspace.vm_map.raw_rb_root.at_or_before(va)
    if entry is None or va >= entry.ba.raw_end or entry.raw_maptype != VM_MAPTYPE_NORMAL:
        return None
    return entry


def _pages(entry: VmMapEntry, va: int) -> list[_Page]:
    """The pages that an address of the entry may name: those of its chain, in order."""
    return [
        _Page(ba.raw_object, va - ba.raw_start + ba.raw_offset >> PAGE_SHIFT)
        for ba in entry.chain()
        if ba.raw_object is not None
    ]
