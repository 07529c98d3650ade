"""The address space of a process: mmap, munmap, mprotect, msync, mlock, munlock, and a listing of it.

Calls that cannot be done raise OSError with the kernel's number: EINVAL for an address that is not
page-aligned or a length that is not positive, ENOMEM where nothing is mapped or no room is left, EACCES for
rights that a file does not give.  An access that no segment allows raises SegmentationFault.
Models: user addresses of 47 bits; files with what memory and what the disk has of them.
Locks: none; the caller serialises.
Deviations: one value a page; no limits on what may be locked; mmap at a given address replaces what is there
(MAP_FIXED).
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field, replace
from typing import Final, NoReturn

from vmsmp.mmu.textbook.paging import PAGE_BYTES
from vmsmp.mmu.textbook.segment_index import Segment, SegmentIndex
from vmsmp.mmu.textbook.segmentation import SegmentationFault

#: The lowest and the highest address that mmap chooses from.
LOWEST: Final = 0x10000
HIGHEST: Final = 0x7FFFFFFFF000


@dataclass(slots=True, eq=False)
class File:
    """A file: by page, what memory has of it (the page cache) and what is on the disk."""

    name: str
    pages: int
    inode: int
    device: str = "08:01"
    writable: bool = True
    cache: dict[int, int] = field(default_factory=dict)
    disk: dict[int, int] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name

    def read(self, page: int) -> int:
        """Return what a page of it holds, as every process sees it."""
        return self.cache.get(page, self.disk.get(page, 0))

    def write_back(self, page: int) -> None:
        """Write a page to the disk."""
        if page in self.cache:
            self.disk[page] = self.cache[page]

    def lose_power(self) -> None:
        """Memory is gone; what is on the disk is left."""
        self.cache.clear()


class AddressSpace:
    """What one process has mapped, and what it has written to private pages."""

    def __init__(self) -> None:
        self.index = SegmentIndex()
        #: Values of pages that are the process's own, by address.
        self._own: dict[int, int] = {}
        #: Addresses of pages that have been touched, and not been unmapped since.
        self.resident: set[int] = set()

    # -- calls ----------------------------------------------------------------------------------

    def mmap(
        self,
        address: int | None,
        length: int,
        permissions: str,
        *,
        shared: bool = False,
        file: File | None = None,
        offset: int = 0,
    ) -> int:
        """Map `length` bytes, of a file or anonymous, and return where: chosen if `address` is None.

        Raises: OSError.
        """
        size = self._pages(address or 0, length)
        if offset % PAGE_BYTES:
            _fail(errno.EINVAL)
        if file is not None and shared and "w" in permissions and not file.writable:
            _fail(errno.EACCES)
        if address is None:
            address = self.index.highest_gap(size, LOWEST, HIGHEST)
        elif address + size <= HIGHEST:
            self.munmap(address, size)
        if address is None or address + size > HIGHEST:
            _fail(errno.ENOMEM)
        self.index.insert(Segment(address, address + size, permissions, shared, backing=file, offset=offset))
        return address

    def munmap(self, address: int, length: int) -> None:
        """Unmap; it is no error if nothing is mapped there.  Nothing is written to the disk.

        Raises: OSError.
        """
        end = address + self._pages(address, length)
        self.index.cut(address, end)
        for page in [page for page in self.resident if address <= page < end]:
            self.resident.discard(page)
            self._own.pop(page, None)

    def mprotect(self, address: int, length: int, permissions: str) -> None:
        """Change the permissions of what is mapped there.

        Raises: OSError.
        """
        for segment in self._whole(address, length):
            file = segment.backing
            if file is not None and segment.shared and "w" in permissions and not file.writable:
                _fail(errno.EACCES)
        self._change(address, length, permissions=permissions)

    def msync(self, address: int, length: int) -> int:
        """Write what shared mappings of files have changed to the disk; return how many pages.

        Raises: OSError.
        """
        end = address + self._pages(address, length)
        written = 0
        for segment in self._whole(address, length):
            part = segment.part(address, end)
            if part.backing is not None and part.shared:
                for page in range(part.start, part.end, PAGE_BYTES):
                    written += page in self.resident
                    part.backing.write_back(_page_of(part, page))
        return written

    def mlock(self, address: int, length: int) -> None:
        """Touch every page there, and keep it in memory.

        Raises: OSError.
        """
        end = address + self._pages(address, length)
        self._whole(address, length)
        self._change(address, length, locked=True)
        self.resident.update(range(address, end, PAGE_BYTES))

    def munlock(self, address: int, length: int) -> None:
        """Let pages be reclaimed again.

        Raises: OSError.
        """
        self._whole(address, length)
        self._change(address, length, locked=False)

    # -- accesses -------------------------------------------------------------------------------

    def load(self, address: int) -> int:
        """Read the value of the page of an address.

        Raises: SegmentationFault.
        """
        segment, page = self._allowed(address, "r")
        if page in self._own:
            return self._own[page]
        file: File | None = segment.backing
        return file.read(_page_of(segment, page)) if file is not None else 0

    def store(self, address: int, value: int) -> None:
        """Write the value of the page of an address: to the file if it is shared, else to an own page.

        Raises: SegmentationFault.
        """
        segment, page = self._allowed(address, "w")
        if segment.shared and segment.backing is not None:
            segment.backing.cache[_page_of(segment, page)] = value
        else:
            self._own[page] = value

    def reclaimable(self) -> list[int]:
        """Return the pages in memory that may be reclaimed: those that are not locked, by address."""
        found = []
        for page in sorted(self.resident):
            segment = self.index.find(page)
            if segment is not None and not segment.locked:
                found.append(page)
        return found

    def maps(self) -> list[str]:
        """Return a line for each segment, as /proc/PID/maps has them."""
        return [_line(segment) for segment in self.index]

    # -- parts ----------------------------------------------------------------------------------

    def _allowed(self, address: int, access: str) -> tuple[Segment, int]:
        """Return the segment and the page of an address that may be accessed so."""
        segment = self.index.find(address)
        if segment is None:
            raise SegmentationFault(f"nothing is mapped at {address:#x}")
        if access not in segment.permissions:
            raise SegmentationFault(f"{address:#x} is {segment.permissions}, and {access} is asked for")
        page = address - address % PAGE_BYTES
        self.resident.add(page)
        return segment, page

    @staticmethod
    def _pages(address: int, length: int) -> int:
        """Return the length in whole pages."""
        if address % PAGE_BYTES or length <= 0:
            _fail(errno.EINVAL)
        return -(-length // PAGE_BYTES) * PAGE_BYTES

    def _whole(self, address: int, length: int) -> list[Segment]:
        """Return the segments there, which must leave no gap."""
        end = address + self._pages(address, length)
        found = self.index.overlapping(address, end)
        covered = sum(min(end, one.end) - max(address, one.start) for one in found)
        if covered != end - address:
            _fail(errno.ENOMEM)
        return found

    def _change(self, address: int, length: int, **changed: object) -> None:
        """Change all that is mapped there; segments at the borders are split."""
        for segment in self.index.cut(address, address + self._pages(address, length)):
            self.index.insert(replace(segment, **changed))  # type: ignore[arg-type]  # fields of a segment


def _page_of(segment: Segment, address: int) -> int:
    """Return which page of its file an address shows."""
    return (segment.offset + address - segment.start) // PAGE_BYTES


def _line(segment: Segment) -> str:
    """Return a segment as a line of the listing: 12 digits, for addresses have 48 bits."""
    where = f"{segment.start:012x}-{segment.end:012x}"
    rights = f"{segment.permissions}{'s' if segment.shared else 'p'}"
    file: File | None = segment.backing
    device, inode, name = (file.device, file.inode, file.name) if file is not None else ("00:00", 0, "")
    return f"{where} {rights} {segment.offset:08x} {device} {inode:<8} {name}".rstrip()


def _fail(number: int) -> NoReturn:
    raise OSError(number, os.strerror(number))
