"""Memory as its users see it: an oracle for every load through a TLB.

INV-UM1: a load returns what was stored last to the memory that the address names, by whichever CPU and in
whichever address space that shares it; a copy on write starts with what it was made of.
INV-UM2: a load returns nothing that a former owner has left in the page's frame.
INV-C1, INV-M7, as users see them: nobody stores to memory that is to be copied first, or that may not be
written to, whatever the TLB knows.
What an address names is told by the map: the page of the first object of its chain or, where nobody has
stored to that, of the next one; where an entry is being cut, a store is to the page that it reaches.
Not judged are loads from addresses that no map knows, or that are being cut, pages whose contents were
dropped (a removal, MADV_FREE), a page of which only another part was stored to, and one whose object was
merged into another.  What a pager has kept meanwhile is judged as if it had been in memory.
Only users are judged: the kernel knows what it has written where.
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
    """A value, and who stored it."""

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
    """Keeps what every page must hold, and who has written to every frame; judges each load."""

    free = False

    def __init__(self) -> None:
        self._start_over()

    def _start_over(self) -> None:
        # by page and piece, what was stored last
        self._stored: dict[_Page, dict[int, _Stored]] = {}
        self._dropping: list[ContentsDropped] = []
        # by frame: how often its page was allocated, and in which of these times each piece was written
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
        """Whether a former owner has written that piece, and nobody since."""
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
        """Whether the frame, as the CPU has it, has what its page's owner has written."""
        entry = cpu.mmu.tlb.peek(cpu.mmu.pcid, va)
        frame = entry.frame_at(va)
        if self._left_over(frame, piece):
            cpu.machine.fail(
                FailureKind.CHECK,
                "INV-UM2: a load returns what a former owner has left in the page",
                [f"{cpu} loads from {va:#x}, by {entry}"],
            )

    def _check_value(self, cpu: Cpu, va: int, piece: int, value: Any, pages: list[_Page]) -> None:
        """Whether the value is what was stored last to the first page of the chain that was stored to."""
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
    """Why nobody may store to the memory of an entry, or None."""
    if entry.raw_eflags & MAP_ENTRY_NEEDS_COPY:
        return "INV-C1: a store is to memory that is to be copied first"
    if not entry.raw_protection & VM_PROT_WRITE and not _changes(vm, cpu):
        return "INV-M7: a store is to memory that may not be written to"
    return None


def _covers(event: ContentsDropped, page: _Page) -> bool:
    """Whether the page is one of those whose contents are dropped."""
    return event.object is page.object and event.start <= page.pindex < (event.end or 1 << 64)


def _changes(vm: VmSystem, cpu: Cpu) -> bool:
    """Whether somebody has the CPU's map locked exclusively, and may be cutting an entry of it."""
    lp = vm.switch.lwp(cpu.index)
    vmspace = None if lp is None else lp.lwp_vmspace
    return vmspace is not None and any(mode == EXCLUSIVE for _, mode in vmspace.vm_map.lock.holders)


def _behind(vm: VmSystem, cpu: Cpu, va: int) -> list[_Page]:
    """The page whose frame the CPU has for an address, of which an entry that is being cut says nothing."""
    m = vm.page.vm_page_array[cpu.mmu.tlb.peek(cpu.mmu.pcid, va).frame_at(va)]
    return [] if m.raw_object is None else [_Page(m.raw_object, m.raw_pindex)]


def _named(vm: VmSystem, cpu: Cpu, va: int) -> VmMapEntry | None:
    """The entry of objects that has the address, by the map of what the CPU runs."""
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
