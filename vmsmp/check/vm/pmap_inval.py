"""Invalidations: no CPU keeps using a translation that the kernel has invalidated.

INV-T1: once an invalidation has returned, no CPU uses more rights to its pages than the changed tables gave.
INV-T3: when an entry changes, every other CPU that has to answer is in the handler.  INV-T4: a CPU uses user
addresses of a pmap only while it is in its pm_active.  INV-T6: a CPU with a command in progress is in a
critical section, and no command is left at the end.  INV-P2: no CPU uses a translation of a page that is
free, or was allocated again since the entry was read.
Translations are judged when they are used: a CPU in the handler invalidates before it uses any.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from vmsmp.check.mmu import gives, position, step_at, use
from vmsmp.check.rules import Books, Broken, Rules, SystemRules
from vmsmp.engine.cpu import Cpu
from vmsmp.engine.verdict import FailureKind
from vmsmp.mmu.entry import PAGE_SIZE, base_of
from vmsmp.mmu.fault import Access
from vmsmp.mmu.observer import MmuObserver
from vmsmp.mmu.walk import Translation
from vmsmp.vm.observer import Invalidated, PageAllocated, TablesChanged, VmObserver
from vmsmp.vm.pmap.pmap import Pmap
from vmsmp.vm.pmap_inval.info import VA_ALL, InvalMode, PmapInvalInfo
from vmsmp.vm.system import VmSystem
from vmsmp.vm.vm_map.flags import VM_MAX_USER_ADDRESS, VM_MIN_KERNEL_ADDRESS

# -- slots ----------------------------------------------------------------------------------------


def broken_slot(info: PmapInvalInfo, _books: Books) -> Broken | None:
    """Whether a command is in progress on a CPU outside of a critical section (INV-T6)."""
    td = info.vm.machine.cpus[info.cpu].td
    if info.raw_mode is not InvalMode.INVDONE and not td.td_critcount:
        return Broken("INV-T6", "a command is in progress, and its CPU is in no critical section")
    return None


def unfinished(vm: VmSystem) -> Iterator[tuple[PmapInvalInfo, Broken]]:
    """Yield the slots that some CPU has not finished with (INV-T6)."""
    for info in vm.inval.invinfos():
        if info.raw_mode is not InvalMode.INVDONE or info.peek("done") or info.peek("mask"):
            yield info, Broken("INV-T6", "some CPU has not finished with it")


RULES: Final = (
    Rules(PmapInvalInfo, written={"done": (broken_slot,), "mask": (broken_slot,)}, at_rest=(broken_slot,)),
)
SYSTEM: Final = SystemRules(leaks=(unfinished,))

# -- translations ---------------------------------------------------------------------------------


@dataclass(slots=True)
class _Change:
    """A change of entries: of which pmap, by which CPU, when, and whether the invalidation has returned."""

    cpu: Cpu
    at: int
    returned: bool = False


@dataclass(frozen=True, slots=True)
class _Taken:
    """What the tables said of a page after a change."""

    change: _Change
    said: Translation | None


@dataclass(slots=True)
class _Walk:
    """A walk in progress, from its first read on."""

    root: int
    va: int
    #: How often the page had been allocated when the last entry was read.
    tenure: int = 0
    #: The changes that came meanwhile.
    taken: list[_Taken] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Filled:
    """An entry came into a TLB."""

    at: int
    tenure: int


class Shootdowns(MmuObserver, VmObserver):
    """Judges the use of cached translations, on machines with a kernel that invalidates them."""

    def __init__(self) -> None:
        self._start_over()

    def _start_over(self) -> None:
        self._walks: dict[int, _Walk] = {}
        self._filled: dict[tuple[int, Translation], _Filled] = {}
        # by CPU and entry of its TLB: the change that invalidates it
        self._taken: dict[tuple[int, Translation], _Taken] = {}
        # by CPU: the change whose invalidation it has begun
        self._pending: dict[int, _Change] = {}
        # by page: how often it was allocated
        self._tenures: dict[int, int] = {}

    def begin(self, machine: Any) -> None:
        self._start_over()

    # -- where entries come from ----------------------------------------------------------------

    def walks(self, cpu: Cpu, root: int, va: int) -> None:
        self._walks[cpu.index] = _Walk(root, va)

    def walked(self, cpu: Cpu, found: Translation) -> None:
        walk = self._walks[cpu.index]
        walk.tenure = self._tenures.get(found.frame_at(walk.va), 0)

    def filled(self, cpu: Cpu, entry: Translation) -> None:
        walk = self._walks.pop(cpu.index)
        key = cpu.index, entry
        self._filled[key] = _Filled(position(cpu), walk.tenure)
        self._taken.pop(key, None)
        for taken in walk.taken:
            if not entry.within(taken.said):
                self._taken[key] = taken

    # -- what takes them away -------------------------------------------------------------------

    def event(self, cpu: Cpu, event: Any) -> None:
        if isinstance(event, TablesChanged):
            self._held(cpu, event)
            self._changed(cpu, event)
        elif isinstance(event, Invalidated):
            self._pending.pop(cpu.index).returned = True
        elif isinstance(event, PageAllocated):
            phys = event.page.phys
            self._tenures[phys] = self._tenures.get(phys, 0) + 1

    def _held(self, cpu: Cpu, event: TablesChanged) -> None:
        """Check that every CPU that has to answer is in the handler (INV-T3)."""
        inval = event.pmap.vm.inval
        for other in cpu.machine.cpus:
            asked = other is not cpu and event.waiting >> other.index & 1
            if asked and not inval.gd_xinvaltlb[other.index]:
                cpu.machine.fail(
                    FailureKind.CHECK,
                    "INV-T3: an entry changes while a CPU that may use it is not in the handler",
                    [f"{cpu} changes an entry of {event.pmap}, and {other} has not come"],
                )

    def _changed(self, cpu: Cpu, event: TablesChanged) -> None:
        """Note the change for the TLB entries that it invalidates, and for walks in progress."""
        mmu = cpu.mmu.mmu
        change = self._pending[cpu.index] = _Change(cpu, position(cpu))
        for unit in mmu.units:
            for _, entry in unit.tlb.entries():
                if _concerns(event, entry.root, entry.va):
                    said = mmu.peek(entry.root, entry.va)
                    if not entry.within(said):
                        self._taken[unit.cpu.index, entry] = _Taken(change, said)
        for walk in self._walks.copy().values():
            if _concerns(event, walk.root, base_of(walk.va, 1)):
                walk.taken.append(_Taken(change, mmu.peek(walk.root, walk.va)))

    # -- their use ------------------------------------------------------------------------------

    def used(self, cpu: Cpu, entry: Translation, va: int, access: Access) -> None:
        vm: VmSystem | None = getattr(cpu.machine, "vm", None)
        if vm is None:
            return
        broken = (
            self._outlived(cpu, entry, va, access) or _inactive(vm, cpu, va) or self._gone(vm, cpu, entry, va)
        )
        if broken is not None:
            kind, text, fact = broken
            stale = use(cpu, entry, va, access, self._filled[cpu.index, entry].at)
            cpu.machine.fail(kind, text, [stale, fact])

    def _outlived(
        self, cpu: Cpu, entry: Translation, va: int, access: Access
    ) -> tuple[FailureKind, str, str] | None:
        """Return the failure of using an entry whose invalidation has returned (INV-T1), or None."""
        taken = self._taken.get((cpu.index, entry))
        if taken is None or not taken.change.returned or gives(taken.said, entry, va, access):
            return None
        if gives(cpu.mmu.mmu.peek(entry.root, va), entry, va, access):
            return None
        by = f"{taken.change.cpu} changed the tables at step {step_at(cpu, taken.change.at)}"
        return (
            FailureKind.CHECK,
            "INV-T1: a translation is used after its invalidation has returned",
            f"{by} to say: {taken.said or 'nothing'}",
        )

    def _gone(
        self, vm: VmSystem, cpu: Cpu, entry: Translation, va: int
    ) -> tuple[FailureKind, str, str] | None:
        """Return the failure of using an entry whose page is free, or was allocated again, or None."""
        frame = entry.frame_at(va)
        if frame >= len(vm.page.vm_page_array):
            return None
        m = vm.page.vm_page_array[frame]
        queue = vm.page.queue_type(m.raw_queue)
        anew = self._tenures.get(frame, 0) != self._filled[cpu.index, entry].tenure
        if not anew and queue not in ("free", "cache"):
            return None
        return (
            FailureKind.USE_AFTER_FREE,
            "INV-P2: a translation is used whose page is free or somebody else's",
            f"{m} {'was allocated anew since' if anew else f'is on a {queue} queue'}",
        )


def _inactive(vm: VmSystem, cpu: Cpu, va: int) -> tuple[FailureKind, str, str] | None:
    """Return the failure of using an address of a pmap without being in its pm_active (INV-T4), or None."""
    if va >= VM_MAX_USER_ADDRESS:
        return None
    pmap: Pmap | None = next((pmap for pmap in vm.pmap.pmaps if pmap.root == cpu.mmu.root), None)
    if pmap is None or pmap.pm_active.value >> cpu.index & 1:
        return None
    return (
        FailureKind.CHECK,
        "INV-T4: a CPU uses an address of a pmap that does not count it as active",
        f"pm_active of {pmap} is {pmap.pm_active.value:#b}",
    )


def _concerns(event: TablesChanged, root: int, page: int) -> bool:
    """Whether the change is of that page in the tables of that root."""
    pmap = event.pmap
    if pmap is pmap.vm.pmap.kernel_pmap:
        if page < VM_MIN_KERNEL_ADDRESS:
            return False
    elif root != pmap.root:
        return False
    return event.va == VA_ALL or event.va <= page < event.va + event.npgs * PAGE_SIZE
