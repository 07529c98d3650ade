"""mmap and its kin: an address space step by step, its listing, what is refused, what reaches the disk."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Final

from vmsmp.mmu.textbook.address_space import AddressSpace, File
from vmsmp.mmu.textbook.paging import PAGE_BYTES
from vmsmp.mmu.textbook.segmentation import SegmentationFault
from vmsmp.report.textbook.page import Chapter, Page, Table

_TEXT: Final = 0x400000
_PAGE: Final = PAGE_BYTES


def process() -> tuple[AddressSpace, dict[str, int], File]:
    """Return an address space with a text, a shared file and anonymous memory, and where these are."""
    space = AddressSpace()
    program = File("/bin/program", 4, inode=11, writable=False)
    data = File("/tmp/data", 3, inode=12)  # noqa: S108 - a name in a listing, and no file
    places = {"text": space.mmap(_TEXT, 4 * _PAGE, "r-x", file=program)}
    places["data"] = space.mmap(None, 3 * _PAGE, "rw-", shared=True, file=data)
    places["heap"] = space.mmap(None, 6 * _PAGE, "rw-")
    return space, places, data


def _listing(caption: str, space: AddressSpace) -> Table:
    return Table(caption, ("address space",), [(line,) for line in space.maps()])


def refused(call: Callable[[], object]) -> str:
    """Return how a call or an access ends."""
    try:
        call()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    except SegmentationFault as fault:
        return f"segmentation fault: {fault}"
    return "done"


def _refusals() -> Table:
    space, at, _ = process()
    heap, text = at["heap"], at["text"]
    hole = heap - _PAGE
    calls: list[tuple[str, Callable[[], object]]] = [
        ("mprotect of an address inside a page", lambda: space.mprotect(heap + 1, _PAGE, "r--")),
        ("mprotect of a page that is not mapped", lambda: space.mprotect(hole, _PAGE, "r--")),
        ("mmap of no bytes", lambda: space.mmap(None, 0, "rw-")),
        ("munmap of a page that is not mapped", lambda: space.munmap(hole, _PAGE)),
        ("mlock of a page that is not mapped", lambda: space.mlock(hole, _PAGE)),
        ("a write to the text", lambda: space.store(text, 1)),
        ("a read of a page that is not mapped", lambda: space.load(hole)),
        ("a read of the heap", lambda: space.load(heap)),
    ]
    return Table(
        "What is refused", ("call or access", "result"), [(what, refused(call)) for what, call in calls]
    )


def sync() -> list[tuple[str, int, int]]:
    """Write to a shared mapping; after each step, what the page cache has of the file, and the disk."""
    space, at, data = process()
    rows: list[tuple[str, int, int]] = []

    def note(what: str) -> None:
        rows.append((what, data.read(0), data.disk.get(0, 0)))

    note("mapped")
    space.store(at["data"], 7)
    note("store 7")
    space.msync(at["data"], _PAGE)
    note("msync")
    space.store(at["data"], 8)
    space.munmap(at["data"], 3 * _PAGE)
    note("store 8, munmap")
    data.lose_power()
    note("the power fails")
    return rows


def _locked() -> Table:
    space, at, _ = process()
    heap = at["heap"]
    rows: list[tuple[str, int, int]] = []

    def note(what: str) -> None:
        rows.append((what, len(space.resident), len(space.reclaimable())))

    space.load(heap)
    note("one page is read")
    space.mlock(heap + 2 * _PAGE, 3 * _PAGE)
    note("mlock of three others")
    space.munlock(heap + 2 * _PAGE, 3 * _PAGE)
    note("munlock")
    return Table("Pages of the heap in memory", ("step", "in memory", "may be reclaimed"), rows)


def write() -> Page:
    space, at, _ = process()
    before = _listing("After three mmaps, the last two with no address given", space)
    space.mprotect(at["heap"] + 2 * _PAGE, 2 * _PAGE, "r--")
    split = _listing("After mprotect of the heap's third and fourth page to r--", space)
    space.mprotect(at["heap"] + 2 * _PAGE, 2 * _PAGE, "rw-")
    space.munmap(at["heap"] + 5 * _PAGE, _PAGE)
    joined = _listing("After mprotect back to rw- and munmap of the heap's last page", space)
    return Page(
        (
            "An address space is an ordered index of segments that do not overlap: start, end, permissions, "
            "p for private or s for shared, and what lies behind: offset, device, inode and name of a file. "
            "Below it is the page table, and below that the frames. mmap adds a segment, at an address that "
            "the kernel chooses if none is given; munmap takes one out; mprotect changes permissions, and "
            "splits segments at its borders. The listing is that of /proc/PID/maps: 12 hexadecimal digits, "
            "for addresses have 48 bits.",
            before,
            split,
            joined,
            _refusals(),
            "A store to a shared mapping of a file changes the file's page in memory, and all who read the "
            "file see it at once. When it reaches the disk is another matter: only msync says so. Without it "
            "nothing is promised, and munmap does not write either.",
            Table("A shared mapping", ("step", "in memory", "on the disk"), sync()),
            "mlock brings pages in and keeps them in memory; reclaim passes them by.",
            _locked(),
        )
    )


CHAPTER: Final = Chapter(
    "mappings",
    "mmap, munmap, mprotect, msync, mlock, and /proc/PID/maps",
    ("vmsmp.mmu.textbook.address_space", "vmsmp.mmu.textbook.segment_index"),
    write,
)
