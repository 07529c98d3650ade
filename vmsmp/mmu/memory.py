"""Physical memory: frames with contents, page tables stored in them, and who owns a frame.

A frame is 4096 bytes: either `PIECES` values, one for each DEV_BSIZE bytes, or a table of `ENTRIES` words.
What nobody has written is 0 and costs nothing, whatever the number of frames.
Accesses to a frame's contents and changes of its owner are operations on the frame, so their order counts.
Locks: none.  A frame's contents are shared memory whose accesses order nothing but each other.
Deviations:
  * contents and entries of one frame are kept apart: a table that is used as data reads as 0.
  * a store is seen by all CPUs at once: no store buffers.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from vmsmp.engine import ops
from vmsmp.mmu.entry import DEV_BSHIFT, ENTRIES, PAGE_SIZE, PIECES, entry_format
from vmsmp.records.record import STRIDE
from vmsmp.sync.atomic import Atomic
from vmsmp.sync.services import Services

#: How a report shows this module's frames (`engine.source`).
FRAMES = "machinery"
_MOST_SHOWN: Final = 4
#: How far apart the codes of operations on neighbouring entries are, as a shift.
_WORD_SHIFT: Final = ops.CPU_BITS + ops.KIND_BITS


class Frame(NamedTuple):
    """The object of an operation on a frame, for reports."""

    memory: Memory
    number: int

    @property
    def name(self) -> str:
        return f"frame[{self.number}]"

    def state(self) -> str:
        """Its owner and what is in it."""
        values = self.memory.contents.get(self.number, {})
        shown = [f"{piece << DEV_BSHIFT:#x}: {value!r}" for piece, value in sorted(values.items())]
        return f"{self.memory.owners.get(self.number, 'nobody')}'s {{{', '.join(shown[:_MOST_SHOWN])}}}"


class Memory:
    """The frames of one machine.

    `take` and `give` are a small allocator for programs that have no other; one with a kernel of its own
    tells by `assign` whom it gives a frame to.
    """

    def __init__(self, machine: Services, frames: int) -> None:
        self.machine = machine
        self.frames = frames
        #: By frame: the values of the pieces that were written.
        self.contents: dict[int, dict[int, Any]] = {}
        #: By frame: whose it is; a frame of nobody's is not there.
        self.owners: dict[int, str] = {}
        # by frame: the table entries that were looked at, by index
        self._tables: dict[int, dict[int, Atomic]] = {}
        self._first_word = machine.reserve(frames * ENTRIES, self._word)
        #: Codes of operations on entries are from the first to below the last.
        self.first_entry = self._first_word << ops.KIND_BITS
        self.last_entry = self.first_entry + (frames * ENTRIES << _WORD_SHIFT)
        room = -(-frames // STRIDE) * STRIDE  # records' identities begin at multiples of that
        self._first_frame = machine.reserve(room, self._frame)
        # free frames: those below `_next` that were given back, and all from there on
        self._given: list[int] = []
        self._next = 0
        self.name = "memory"
        self._code = machine.enroll(self) << ops.KIND_BITS

    def _word(self, number: int) -> Atomic | None:
        return self._tables.get(number // ENTRIES, {}).get(number % ENTRIES)

    def _frame(self, number: int) -> Frame | None:
        return Frame(self, number) if number < self.frames else None

    def code(self, frame: int) -> int:
        """The code of an operation of kind 0 on the frame.

        Panics if there is no such frame.
        """
        if not 0 <= frame < self.frames:
            self.machine.panic(f"frame {frame} is not in memory, which has {self.frames}")
        return self._first_frame + (frame << ops.CPU_BITS) << ops.KIND_BITS

    # -- contents -------------------------------------------------------------------------------

    def load(self, frame: int, offset: int = 0) -> Any:
        """Read the piece at that byte of a frame: one visible operation."""
        self.machine.point(self.code(frame) | ops.ATOMIC_LOAD)
        return self.peek(frame, offset)

    def store(self, frame: int, offset: int, value: Any) -> None:
        """Write the piece at that byte of a frame: one visible operation."""
        self.machine.point(self.code(frame) | ops.ATOMIC_STORE)
        self.write(frame, offset, value)

    def zero(self, frame: int) -> None:
        """Make all of a frame 0, as contents and as a table: one visible operation."""
        self.machine.point(self.code(frame) | ops.ATOMIC_STORE)
        self._clear(frame)

    def zero_pieces(self, frame: int, first: int, count: int) -> None:
        """Make some pieces of a frame 0: one visible operation."""
        self.machine.point(self.code(frame) | ops.ATOMIC_STORE)
        for piece in range(first, first + count):
            self.write(frame, piece << DEV_BSHIFT, 0)

    def _clear(self, frame: int) -> None:
        """Make all of a frame 0 in the step under way."""
        self.contents.pop(frame, None)
        for word in self._tables.get(frame, {}).values():
            word.value = 0
        for hook in self.machine.hooks.zeroed:
            hook(self.machine.engine.current, frame)

    def read_pieces(self, frame: int) -> dict[int, Any]:
        """Read all that was written to a frame, by piece, as a device does: one visible operation."""
        self.machine.point(self.code(frame) | ops.ATOMIC_LOAD)
        return dict(self.contents.get(frame, {}))

    def write_pieces(self, frame: int, pieces: Mapping[int, Any]) -> None:
        """Make these the contents of a frame, as a device does: one visible operation."""
        self.machine.point(self.code(frame) | ops.ATOMIC_STORE)
        self._clear(frame)
        for piece, value in sorted(pieces.items()):
            self.write(frame, piece << DEV_BSHIFT, value)

    def copy(self, source: int, target: int) -> None:
        """Make all contents of a frame those of another one: one visible operation.  They are no tables."""
        machine = self.machine
        with machine.step():
            machine.point(self.code(source) | ops.ATOMIC_LOAD)
            pieces = dict(self.contents.get(source, {}))
            machine.point(self.code(target) | ops.ATOMIC_STORE)
            self.contents[target] = pieces
        for hook in machine.hooks.zeroed:
            hook(machine.engine.current, target)
        for hook in machine.hooks.wrote:
            for piece in sorted(pieces):
                hook(machine.engine.current, target, piece << DEV_BSHIFT, source)

    def peek(self, frame: int, offset: int = 0) -> Any:
        """Read a piece as part of an operation that has been announced, or unseen by a checker."""
        pieces = self.contents.get(frame)
        return 0 if pieces is None else pieces.get(offset >> DEV_BSHIFT, 0)

    def write(self, frame: int, offset: int, value: Any) -> None:
        """Write a piece as part of an operation that has been announced."""
        self.poke(frame, offset, value)
        for hook in self.machine.hooks.wrote:
            hook(self.machine.engine.current, frame, offset, None)

    def poke(self, frame: int, offset: int, value: Any) -> None:
        """Write a piece behind everybody's back, as a fault of the hardware does."""
        self.contents.setdefault(frame, {})[offset >> DEV_BSHIFT] = value

    # -- tables ---------------------------------------------------------------------------------

    def word(self, frame: int, index: int) -> Atomic:
        """The entry at that index of the table in a frame."""
        # no `get`: on CPython 3.13t it yields 40 times before it gives away what another thread made
        tables = self._tables
        if frame in tables and index in tables[frame]:
            return tables[frame][index]
        return self._make_word(frame, index)

    def _make_word(self, frame: int, index: int) -> Atomic:
        self.code(frame)  # it is in memory
        with self.machine.making:
            table = self._tables.setdefault(frame, {})
            if index not in table:
                ident = self._first_word + (frame * ENTRIES + index << ops.CPU_BITS)
                name = f"table[{frame}][{index}]"
                table[index] = self.machine.atomic(0, name, entry_format, ident=ident)
            return table[index]

    def untouched(self, frame: int, index: int) -> bool:
        """Whether nobody has looked at that entry of a table yet, so that it is 0."""
        return frame not in self._tables or index not in self._tables[frame]

    def peek_entry(self, frame: int, index: int) -> int:
        """Read an entry unseen: for checkers and the debugger."""
        if self.untouched(frame, index):
            return 0
        value: int = self._tables[frame][index].value
        return value

    def place_of(self, code: int) -> int:
        """The number of the entry that an operation is about, `ENTRIES` to a frame: for checkers."""
        return code - self.first_entry >> _WORD_SHIFT

    def places(self, frame: int) -> list[int]:
        """The numbers of the entries of a table that were looked at: for checkers."""
        return [frame * ENTRIES + index for index in self._tables.get(frame, ())]

    def entries(self) -> Iterator[tuple[int, int, int]]:
        """Every table entry that is not 0, as frame, index and value, read unseen."""
        for frame in list(self._tables):
            for index, value in self.table(frame):
                yield frame, index, value

    def table(self, frame: int) -> Iterator[tuple[int, int]]:
        """The entries of one table that are not 0, by index, read unseen."""
        for index, word in sorted(self._tables.get(frame, {}).items()):
            value = word.peek()
            if value:
                yield index, value

    # -- owners ---------------------------------------------------------------------------------

    def assign(self, frame: int, owner: str | None) -> None:
        """Say whose the frame is from here on, None for nobody's: one visible operation on the frame."""
        machine = self.machine
        machine.point(self.code(frame) | ops.ATOMIC_STORE)
        for hook in machine.hooks.assigned:
            hook(machine.engine.current, frame, owner)
        if owner is None:
            self.owners.pop(frame, None)
        else:
            self.owners[frame] = owner

    def take(self, owner: str) -> int:
        """Give the lowest free frame to `owner`, with whatever is in it.  Two visible operations.

        Panics if there is none.
        """
        machine = self.machine
        machine.point(self._code | ops.RMW)
        with machine.making:
            frame = heapq.heappop(self._given) if self._given else self._next
            self._next = max(self._next, frame + 1)
        if frame == self.frames:
            machine.panic("no frame is free")
        self.assign(frame, owner)
        return frame

    def give(self, frame: int) -> None:
        """The frame is nobody's any more, and free.  Two visible operations."""
        self.assign(frame, None)
        self.machine.point(self._code | ops.RMW)
        with self.machine.making:
            heapq.heappush(self._given, frame)

    @property
    def free(self) -> int:
        """How many frames are free."""
        return self.frames - self._next + len(self._given)

    def state(self) -> str:
        return f"{self.free} frames free"

    def __repr__(self) -> str:
        return self.name


def offset_of(va: int) -> int:
    """Where in its frame an address is."""
    return va & PAGE_SIZE - 1


assert PIECES << DEV_BSHIFT == PAGE_SIZE
