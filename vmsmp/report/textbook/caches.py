"""Caches by virtual and physical address: what homonyms and synonyms do to each kind."""

from __future__ import annotations

from typing import Final

from vmsmp.mmu.textbook.cache import LINE_BYTES, Cache, Kind, homonym_is_seen, synonym_is_stale
from vmsmp.mmu.textbook.paging import PAGE_BYTES
from vmsmp.report.textbook.page import Chapter, Page, Table, size

#: Designs: kind, size, ways.
DESIGNS: Final = (
    (Kind.VIVT, 16 * 1024, 1),
    (Kind.VIVT, 16 * 1024, 4),
    (Kind.VIPT, 16 * 1024, 1),
    (Kind.VIPT, 16 * 1024, 4),
    (Kind.PIPT, 16 * 1024, 1),
)
_FRAME: Final = 5 * PAGE_BYTES


def _row(kind: Kind, total: int, ways: int) -> tuple[str, str, int, int, str, str, str]:
    cache = Cache(kind, total, ways, {})
    homonym = "hits another's line" if homonym_is_seen(kind, total, ways) else "right"
    stale = synonym_is_stale(kind, total, ways)
    coloured = synonym_is_stale(kind, total, ways, coloured=True)
    return (
        kind.value,
        size(total),
        ways,
        cache.colours,
        homonym,
        "stale copy" if stale else "right",
        "stale copy" if coloured else "right",
    )


def _story() -> Table:
    """One frame at two pages, in the direct-mapped VIPT cache."""
    kind, total, ways = Kind.VIPT, 16 * 1024, 1
    cache = Cache(kind, total, ways, {_FRAME // LINE_BYTES: 7})
    first, second = 0, PAGE_BYTES
    rows: list[tuple[str, int, str, int]] = []

    def note(what: str, virtual: int, value: int) -> None:
        rows.append((what, cache.index(virtual, _FRAME), str(value), cache.copies(_FRAME)))

    note(f"read at {first:#x}", first, cache.read(first, _FRAME))
    note(f"read at {second:#x}", second, cache.read(second, _FRAME))
    cache.write(first, _FRAME, 8)
    note(f"write 8 at {first:#x}", first, cache.read(first, _FRAME))
    note(f"read at {second:#x}", second, cache.read(second, _FRAME))
    return Table(
        f"One frame at two pages, in a {kind.value} cache of {size(total)}, {ways} way",
        ("step", "set", "value", "copies in the cache"),
        rows,
    )


def write() -> Page:
    cache = Cache(Kind.VIPT, 16 * 1024, 1, {})
    return Page(
        (
            "A cache looks into the set that the index bits of an address name, and compares the tags there "
            "with the rest of it. Both can come from the virtual address (V) or from the physical one (P), "
            "which is known only after the translation: VIVT, VIPT, PIPT.",
            "Two things go wrong with virtual addresses. A homonym, one address that means other memory in "
            "another address space, hits a line that is not its own if the tag is virtual. A synonym, two "
            "addresses of one frame, can have two copies of a line if they lead to two sets, or if the tags "
            "differ: a write to one is not seen in the other.",
            Table(
                "Each design, tried: B reads what A wrote at its own address; a frame at two pages",
                ("kind", "size", "ways", "colours", "homonym", "synonym", "synonym, same colour"),
                [_row(*design) for design in DESIGNS],
            ),
            f"The index of a direct-mapped cache of {size(16 * 1024)} reaches beyond the page's offset "
            f"({size(PAGE_BYTES)}), so the lines of a frame can lie in {cache.colours} places, by the page "
            "that it is mapped at: its colour. VIPT is safe if a way is no larger than a page, as with 4 "
            "ways here, or if the kernel maps a frame only at pages of one colour. PIPT is always safe.",
            _story(),
        )
    )


CHAPTER: Final = Chapter(
    "caches", "VIVT, VIPT and PIPT caches: homonyms and synonyms", ("vmsmp.mmu.textbook.cache",), write
)
