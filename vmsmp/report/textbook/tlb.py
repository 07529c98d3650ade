"""The TLB: hits and misses, homonyms between address spaces, and the way out of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from vmsmp.mmu.textbook.entry import Pte
from vmsmp.mmu.textbook.paging import FOUR_LEVELS, OFFSET_BITS, PAGE_BYTES, PageTable
from vmsmp.mmu.textbook.tlb import AddressSpace, Answer, Cpu, Tlb
from vmsmp.report.textbook.page import Chapter, Page, Table

#: The pages that a program goes through, with a TLB of four entries.
_STRING: Final = (0, 1, 0, 2, 3, 0, 4, 1)
_CAPACITY: Final = 4
#: The page that both processes use, and one of the kernel that all of them map alike.
_SHARED, _KERNEL = 0x400, 0x800
_FRAMES: Final = {"A": 302, "B": 106}
_KERNEL_FRAME: Final = 7


def program_of(frames: int) -> AddressSpace:
    """Return an address space with that many pages."""
    table = PageTable(FOUR_LEVELS)
    for page in range(frames):
        table.map(page * PAGE_BYTES, 100 + page)
    return AddressSpace(1, table)


def spaces() -> dict[str, AddressSpace]:
    """Return two address spaces that map one page to a frame each, and a page of the kernel alike."""
    made = {}
    for asid, (name, frame) in enumerate(_FRAMES.items(), 1):
        table = PageTable(FOUR_LEVELS)
        table.map(_SHARED * PAGE_BYTES, frame)
        table.map(_KERNEL * PAGE_BYTES, _KERNEL_FRAME, flags=Pte.G)
        made[name] = AddressSpace(asid, table)
    return made


@dataclass(frozen=True, slots=True)
class Visit:
    """One access in one address space, and how it went."""

    space: str
    page: int
    answer: Answer

    @property
    def right(self) -> bool:
        """Whether it found the frame that its own table names."""
        own = _KERNEL_FRAME if self.page == _KERNEL else _FRAMES[self.space]
        return self.answer.physical >> OFFSET_BITS == own


def visits(*, tagged: bool, flushes: bool) -> list[Visit]:
    """Have A, then B, then A again use the shared page and the kernel's, on one CPU."""
    known = spaces()
    cpu = Cpu(Tlb(_CAPACITY, tagged=tagged), known["A"], flushes=flushes)
    found = []
    for name in "ABA":
        cpu.switch(known[name])
        found += [Visit(name, page, cpu.access(page * PAGE_BYTES)) for page in (_SHARED, _KERNEL)]
    return found


#: What a switch of address space may do about homonyms.
WAYS: Final = {
    "nothing": {"tagged": False, "flushes": False},
    "flush the TLB": {"tagged": False, "flushes": True},
    "tag entries by ASID": {"tagged": True, "flushes": False},
}


def write() -> Page:
    cpu = Cpu(Tlb(_CAPACITY, tagged=True), program_of(8), flushes=False)
    walks = [(page, cpu.access(page * PAGE_BYTES), _kept(cpu)) for page in _STRING]
    average = sum(answer.references for _, answer, _ in walks) / len(walks)
    return Page(
        (
            f"A walk of {len(FOUR_LEVELS.levels)} levels reads {len(FOUR_LEVELS.levels)} entries before the "
            "access itself. So each CPU keeps the translations that it used last, in its translation "
            f"lookaside buffer (TLB). This one has {_CAPACITY} places; a new translation takes the place of "
            "the one unused for longest.",
            Table(
                "A program uses pages one after the other",
                ("page", "TLB", "memory references", "kept afterwards, last used last"),
                [
                    (page, "hit" if answer.hit else "miss", answer.references, kept)
                    for page, answer, kept in walks
                ],
            ),
            f"{cpu.hits} of {len(walks)} accesses hit ({cpu.hit_ratio:.0%}): {average:.2f} memory references "
            f"an access on average, instead of {len(FOUR_LEVELS.levels) + 1} without a TLB.",
            *_homonyms(),
            *_two_names(),
        )
    )


def _kept(cpu: Cpu) -> str:
    return " ".join(str(one.page) for one in cpu.tlb.entries())


def _homonyms() -> tuple[str | Table, ...]:
    told = {way: visits(**options) for way, options in WAYS.items()}
    first = told["nothing"]
    wrong = next(visit for visit in first if not visit.right)
    rows = [
        (
            first[n].space,
            f"{first[n].page:#x}",
            *(_how(told[way][n]) for way in WAYS),
        )
        for n in range(len(first))
    ]
    return (
        f"Processes A and B both have a page {_SHARED:#x}, A in frame {_FRAMES['A']} and B in frame "
        f"{_FRAMES['B']}: one virtual address with two meanings, a homonym. After a switch from A to B the "
        f"TLB still has A's translation, and {wrong.space} would read frame "
        f"{wrong.answer.physical >> OFFSET_BITS}, which is not its own. Either the switch flushes the TLB, "
        "and all that was known is lost, or each entry is tagged with the number of its address space (ASID, "
        "PCID) and hits only there. A page of the kernel is the same in every space: its entry is global "
        f"(G), as that of page {_KERNEL:#x} here, and survives a flush.",
        Table(
            "A, then B, then A again on one CPU; what a switch does",
            ("process", "page", *WAYS),
            rows,
        ),
        Table(
            "What it costs",
            ("a switch does", "memory references", "wrong frames"),
            [
                (
                    way,
                    sum(visit.answer.references for visit in told[way]),
                    sum(not visit.right for visit in told[way]),
                )
                for way in WAYS
            ],
        ),
    )


def _how(visit: Visit) -> str:
    frame = visit.answer.physical >> OFFSET_BITS
    return f"{'hit' if visit.answer.hit else 'miss'}, frame {frame}{'' if visit.right else ': WRONG'}"


def _two_names() -> tuple[str | Table, ...]:
    """Two pages of one frame: both entries must go when the frame does."""
    table = PageTable(FOUR_LEVELS)
    pages = (0x10, 0x20)
    for page in pages:
        table.map(page * PAGE_BYTES, 19)
    cpu = Cpu(Tlb(_CAPACITY, tagged=True), AddressSpace(1, table), flushes=False)
    rows: list[tuple[str, str]] = []

    def note(what: str) -> None:
        kept = ", ".join(f"page {one.page:#x}" for one in cpu.tlb.entries())
        rows.append((what, kept or "nothing"))

    for page in pages:
        cpu.access(page * PAGE_BYTES)
        note(f"read page {page:#x}")
    for page in pages:
        table.unmap(page * PAGE_BYTES)
    note("both entries of the table are cleared")
    for page in pages:
        cpu.tlb.flush_page(page)
        note(f"invlpg of page {page:#x}")
    return (
        "Two pages can also be one frame, a synonym. The TLB then has two entries for it. They do no harm by "
        "themselves (caches are another matter: see `caches`), but before the frame is given to somebody "
        "else, each of them must be flushed, and on every CPU that may have it: a change of the table alone "
        "is not seen.",
        Table("What one TLB has of a frame with two names", ("step", "translations of frame 19"), rows),
    )


CHAPTER: Final = Chapter(
    "tlb", "the TLB: hits, misses, homonyms, flushes and tags", ("vmsmp.mmu.textbook.tlb",), write
)
