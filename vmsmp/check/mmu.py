"""Translations: no CPU uses a cached translation that was invalidated.

INV-T1: no CPU uses more rights to a page than the tables gave when the last flush of the page was done, as
the CPU that flushed it promised (`Mmu.settled`).  INV-T2: no CPU uses another address space's translation.
INV-T5: no CPU uses a translation whose frame has got a new owner since the tables were read.
Judged when memory is accessed: a stale entry that is not used does no harm, and one with fewer rights than
the tables give breaks no rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vmsmp.engine.cpu import Cpu
from vmsmp.engine.verdict import FailureKind
from vmsmp.mmu.entry import base_of
from vmsmp.mmu.fault import Access
from vmsmp.mmu.observer import MmuObserver
from vmsmp.mmu.system import pages_from
from vmsmp.mmu.walk import Translation


@dataclass(slots=True)
class _Walk:
    """A walk in progress, from its first read on."""

    root: int
    va: int
    #: How often the frame had changed hands when the last entry was read.
    tenure: int = 0
    #: The flush that was done during the walk.
    settled: _Settled | None = None


@dataclass(frozen=True, slots=True)
class _Settled:
    """A flush: by which CPU, at which position in the run, and what the tables said of a page then."""

    cpu: Cpu
    at: int
    said: Translation | None


@dataclass(frozen=True, slots=True)
class _Given:
    """A frame changed hands."""

    cpu: Cpu
    at: int
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class _Filled:
    """An entry came into a TLB."""

    at: int
    tenure: int


#: A CPU and an entry of its TLB.
_Cached = tuple[int, Translation]


class Translations(MmuObserver):
    """Judges every access that goes through a TLB."""

    def __init__(self) -> None:
        self._start_over()

    def _start_over(self) -> None:
        self._walks: dict[int, _Walk] = {}
        self._filled: dict[_Cached, _Filled] = {}
        # by entry and page: the flush after which it gives more than the tables said
        self._lost: dict[tuple[int, Translation, int], _Settled] = {}
        # by frame: all that happened to it
        self._given: dict[int, list[_Given]] = {}

    def begin(self, machine: Any) -> None:
        self._start_over()

    # -- where entries come from ----------------------------------------------------------------

    def walks(self, cpu: Cpu, root: int, va: int) -> None:
        self._walks[cpu.index] = _Walk(root, va)

    def walked(self, cpu: Cpu, found: Translation) -> None:
        walk = self._walks[cpu.index]
        walk.tenure = len(self._given.get(found.frame_at(walk.va), ()))
        if walk.settled is not None and found.within(cpu.mmu.mmu.peek(walk.root, walk.va)):
            walk.settled = None  # the tables have given the rights again since

    def filled(self, cpu: Cpu, entry: Translation) -> None:
        walk = self._walks.pop(cpu.index)
        self._filled[cpu.index, entry] = _Filled(position(cpu), walk.tenure)
        for key in [key for key in self._lost if key[:2] == (cpu.index, entry)]:
            del self._lost[key]
        if walk.settled is not None and not entry.within(walk.settled.said):
            self._lost[cpu.index, entry, base_of(walk.va, 1)] = walk.settled

    # -- what takes them away -------------------------------------------------------------------

    def settled(self, cpu: Cpu, root: int, va: int, npages: int) -> None:
        mmu = cpu.mmu.mmu
        for page in pages_from(va, npages):
            done = _Settled(cpu, position(cpu), mmu.peek(root, page))
            for unit in mmu.units:
                for _, entry in unit.tlb.entries():
                    if entry.root == root and entry.covers(page) and not entry.at(page).within(done.said):
                        self._lost[unit.cpu.index, entry, page] = done
            for walk in self._walks.copy().values():
                if walk.root == root and base_of(walk.va, 1) == page:
                    walk.settled = done

    def assigned(self, cpu: Cpu, frame: int, owner: str | None) -> None:
        before = cpu.mmu.mmu.memory.owners.get(frame)
        if owner != before:
            self._given.setdefault(frame, []).append(_Given(cpu, position(cpu), before, owner))

    # -- their use ------------------------------------------------------------------------------

    def used(self, cpu: Cpu, entry: Translation, va: int, access: Access) -> None:
        if entry.root != cpu.mmu.root and not entry.everywhere:
            text = "INV-T2: a translation of another address space is used"
            facts = [
                f"its entry is of the tables of frame[{entry.root}], and its CR3 names frame[{cpu.mmu.root}]"
            ]
            self._tell(cpu, FailureKind.CHECK, text, entry, va, access, facts)
        lost = self._lost.get((cpu.index, entry, base_of(va, 1)))
        if lost is not None and not gives(lost.said, entry, va, access):
            text = "INV-T1: a translation is used that the tables had lost before the flush was done"
            said = "nothing" if lost.said is None else lost.said
            step = step_at(cpu, lost.at)
            facts = [f"{lost.cpu} promised at step {step} that nobody uses more than the tables said: {said}"]
            self._tell(cpu, FailureKind.CHECK, text, entry, va, access, facts)
        given = self._given.get(entry.frame_at(va))
        if given and (given[-1].after is None or len(given) != self._filled[cpu.index, entry].tenure):
            text = "INV-T5: a translation is used whose frame was given to somebody else"
            last = given[-1]
            facts = [
                f"{last.cpu} gave frame[{entry.frame_at(va)}] from {last.before or 'nobody'} to "
                f"{last.after or 'nobody'} at step {step_at(cpu, last.at)}"
            ]
            self._tell(cpu, FailureKind.USE_AFTER_FREE, text, entry, va, access, facts)

    def _tell(
        self,
        cpu: Cpu,
        kind: FailureKind,
        text: str,
        entry: Translation,
        va: int,
        access: Access,
        facts: list[str],
    ) -> None:
        """Fail the execution, with the stale entry."""
        cpu.machine.fail(kind, text, [use(cpu, entry, va, access, self._filled[cpu.index, entry].at), *facts])


def gives(said: Translation | None, entry: Translation, va: int, access: Access) -> bool:
    """Whether tables with the translation `said` would have allowed the access by that entry."""
    return (
        said is not None
        and (said.frame_at(va), said.key) == (entry.frame_at(va), entry.key)
        and said.writeable >= access.write
        and said.executable >= access.fetch
        and said.user >= access.user
    )


def use(cpu: Cpu, entry: Translation, va: int, access: Access, filled: int) -> str:
    """The use of an entry, which was filled at that position in the run, as text for a report."""
    does = "stores to" if access.write else "fetches from" if access.fetch else "loads from"
    return f"{cpu} {does} {va:#x} by an entry of its TLB: {entry}, filled at step {step_at(cpu, filled)}"


def position(cpu: Cpu) -> int:
    """The position in the run; finding its step number takes a walk through the log (`step_at`)."""
    return cpu.machine.engine.position(cpu)


def step_at(cpu: Cpu, position: int) -> int:
    """The step number that a report shows for a position in the run."""
    return cpu.machine.engine.step_at(position)
