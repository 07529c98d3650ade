"""CLOCK beside CPUs that fault: a hand sweeps over frames whose pages other CPUs use meanwhile.

An access finds its page's entry present and sets A, a write D too, or faults.  A fault brings the page into a
frame that the sweep frees: it clears the A of each entry it comes to, and evicts the first page whose A was
clear already.  The entry is taken back and read by one atomic swap, for a write may set D until that moment;
who looked at D first and cleared the entry then would throw that write away.
Models: pages of one address space, frames, and what a disk has of each page.
Locks: the pager's mutex for frames, the hand and the disk; entries are atomic words.
Deviations: CPUs have no TLB, so an access is one visible operation with its walk; after two turns the hand
takes whatever it points at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from vmsmp.mmu.entry import frame_of, make_entry
from vmsmp.mmu.textbook.entry import Pte, flags_of
from vmsmp.records.field import field, plain, word
from vmsmp.records.letters import Letter
from vmsmp.records.pool import RecordPool
from vmsmp.records.record import Record, has, record
from vmsmp.sync.lock import EXCLUSIVE

if TYPE_CHECKING:
    from vmsmp.sync.machine import SyncMachine

#: Turns of the hand after which it looks at no A bit any more.
TURNS: Final = 2

PAGER_LEGEND: Final = {
    "P": Letter("the pager's mutex", lambda cpu, thing: has(cpu, thing.vm.mutex, EXCLUSIVE)),
}


def _entry_text(entry: int) -> str:
    """An entry as a report shows it."""
    flags = flags_of(entry)
    return f"frame {frame_of(entry)} {flags.name}" if flags else "not present"


@record(legend=PAGER_LEGEND)
class Page(Record):
    """A page of the address space: its entry, and its value on the disk."""

    kind = "page"

    # invariant: if it is present, the frame that it maps names this page, and no other frame does
    pte: Any = word(_entry_text)
    on_disk: int = field("P")

    number: int = plain(0)

    @property
    def name(self) -> str:
        return f"page[{self.number}]"

    def state(self) -> str:
        return _entry_text(self.peek("pte"))


@record(legend=PAGER_LEGEND)
class Frame(Record):
    """A frame: the page that it is for, and its content."""

    kind = "frame"

    content: Any = word()
    page: Any = field("P", default=None)

    number: int = plain(0)
    raw_page: Page | None

    @property
    def name(self) -> str:
        return f"frame[{self.number}]"

    def state(self) -> str:
        return f"for {self.raw_page}" if self.raw_page is not None else "free"


class Served(NamedTuple):
    """What an access gave, and how often it faulted before."""

    value: int
    faults: int


class ClockPager:
    """An address space of `pages` on `frames`.  It is what its records belong to."""

    def __init__(self, machine: SyncMachine, pages: int, frames: int) -> None:
        self.machine = machine
        # Cached here because every operation uses them.
        self.engine = machine.engine
        self.hooks = machine.hooks
        self.point = machine.point
        self.making = machine.making

        self.mutex = machine.mutex("pager")
        # by number; both guarded by the mutex: where the hand points, and how many faults were served
        self.pages = self._made(Page, pages)
        self.frames = self._made(Frame, frames)
        self.hand = 0
        self.faults = 0

    def _made(self, type_: type[Any], count: int) -> tuple[Any, ...]:
        pool = self.pool(type_, count)
        made = tuple(pool.make(number, number=number) for number in range(count))
        pool.guard()
        return made

    def pool(self, type_: type[Any], size: int | None = None) -> RecordPool[Any]:
        """Make a pool for records of `type_`."""
        return RecordPool(self, type_, size)

    def load(self, number: int) -> int:
        """Read a page.  Locks: takes the pager's mutex if it faults.  Sleeps: for it."""
        return self.access(number).value

    def store(self, number: int, value: int) -> None:
        """Write to a page.  Locks and sleeps: as `load`."""
        self.access(number, value)

    def access(self, number: int, value: int | None = None) -> Served:
        """Read a page, or write a value to it.  Locks and sleeps: as `load`."""
        page = self.pages[number]
        marks = Pte.A if value is None else Pte.A | Pte.D
        faults = 0
        while True:
            with self.machine.step():
                frame = self._walk(page, marks)
                if frame is not None:
                    if value is not None:
                        frame.content.store(value)
                        return Served(value, faults)
                    return Served(frame.content.load(), faults)
            self.fault(page)
            faults += 1

    @staticmethod
    def is_present(page: Page) -> bool:
        """Whether a page is in memory, read invisibly."""
        return bool(page.peek("pte") & Pte.P)

    def _walk(self, page: Page, marks: Pte) -> Frame | None:
        """Return the frame of a present page, after setting A and maybe D in its entry; else None."""
        entry = page.pte.load()
        if not entry & Pte.P:
            return None
        page.pte.setbits(int(marks))
        frame: Frame = self.frames[frame_of(entry)]
        return frame

    def fault(self, page: Page) -> None:
        """Bring a page in, unless another CPU has.  Locks: takes the pager's mutex.  Sleeps: for it."""
        with self.mutex:
            if page.pte.load() & Pte.P:
                return
            frame = self._free_frame()
            frame.page = page
            frame.content.store(page.on_disk)
            page.pte.store(make_entry(frame.number, int(Pte.P)))
            self.faults += 1

    def _free_frame(self) -> Frame:
        """Sweep until a frame is free.  Locks: the pager's mutex."""
        looks = TURNS * len(self.frames)
        while True:
            frame: Frame = self.frames[self.hand]
            self.hand = (self.hand + 1) % len(self.frames)
            page = frame.page
            if page is None:
                return frame
            if looks and page.pte.clearbits(int(Pte.A)) & Pte.A:
                looks -= 1
                continue
            self._evict(frame, page)
            return frame

    def _evict(self, frame: Frame, page: Page) -> None:
        """Take the entry back; write to the disk what was written to since the page came.

        Locks: the pager's mutex.
        """
        if page.pte.swap(0) & Pte.D:
            page.on_disk = frame.content.load()
