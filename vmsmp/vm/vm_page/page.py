"""struct vm_page and struct vpgqueues, and the legend of their locks.

Models: sys/vm/vm_page.h, including the permission matrix of its head comment.
Locks: each field names, by the letters of `PAGE_LEGEND` and `QUEUE_LEGEND`, what a reader and what a
writer must hold.  Words (`busy_count`, `hold_count`, `wire_count`, `flags`) are atomic; a flag that only
the owner of a busy changes is stable while the busy is held, even if other flags change.
Deviations:
  * interlock_count, which struct md_page has, is a word of the page.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from vmsmp.engine import ops
from vmsmp.engine.cpu import Cpu
from vmsmp.records.field import Bits, field, plain, word
from vmsmp.records.letters import Letter
from vmsmp.records.record import Record, record
from vmsmp.records.share import Edge, Share
from vmsmp.records.word import Word
from vmsmp.sync.lock import EXCLUSIVE
from vmsmp.vm.vm_page.flags import (
    PAGE_SIZE,
    PBUSY_LOCKED,
    PBUSY_MASK,
    PG_FICTITIOUS,
    PG_MAPPEDMULTI,
    PG_MARKER,
    PG_NEED_COMMIT,
    PG_SWAPPED,
    PG_UNQUEUED,
    PG_WRITEABLE,
    busy_format,
    flags_format,
    interlock_format,
)

#: The colour of a fictitious page that is in no page array.
NO_COLOUR: Final = -1

# Shares of a page.
HARD: Final = Share("hard busy", owned=True, invariant="INV-PB1")
SOFT: Final = Share("soft busy", owned=True, invariant="INV-PB2")
HOLD: Final = Share("hold", owned=False, temporary=True, invariant="INV-HW1")
WIRE: Final = Share(
    "wire",
    owned=False,
    balanced=True,
    counted=lambda m: m.peek("flags") & (PG_UNQUEUED | PG_FICTITIOUS) == PG_UNQUEUED,  # a table's: INV-R3
    invariant="INV-HW2",
    edge=Edge(HARD, "wired for the first time", "unwired for the last time"),
)


# -- the legend -----------------------------------------------------------------------------------


# These are evaluated at every access to a field, so each is one loop over what the CPU holds.


def _hard_busied(cpu: Cpu, m: VmPage) -> bool:
    for hold in cpu.held:  # noqa: SIM110 - a generator is too slow here
        if hold.lock is m and hold.mode is HARD:
            return True
    return False


def _busied_alone(cpu: Cpu, m: VmPage) -> bool:
    # no soft busy is added meanwhile but by the owner
    return _hard_busied(cpu, m) and not m.busy_count.value & PBUSY_MASK


def _fictitious_and_idle(_cpu: Cpu, m: VmPage) -> bool:
    # the low pages that vm_page_startup_finish turns into free ones
    return bool(m.flags.value & PG_FICTITIOUS) and not m.busy_count.value & (PBUSY_LOCKED | PBUSY_MASK)


def _busied(cpu: Cpu, m: VmPage) -> bool:
    for hold in cpu.held:
        if hold.lock is m and (hold.mode is HARD or hold.mode is SOFT):
            return True
    return SOFT in m.in_progress


def _object_token(cpu: Cpu, m: VmPage) -> bool:
    obj = m.raw_object
    if obj is None:  # no object's token keeps other CPUs from inserting it
        return False
    for hold in cpu.held:  # noqa: SIM110 - a generator is too slow here
        if hold.lock.kind == "token" and hold.lock.guards is obj:
            return True
    return False


def _object_token_exclusive(cpu: Cpu, m: VmPage) -> bool:
    # a recursive get counts as shared but rests on an exclusive one; while the page is in no object it may
    # be any object's, for the write that inserts it is judged by the object that it is in then
    obj = m.raw_object
    for hold in cpu.held:
        if hold.lock.kind == "token" and hold.mode == EXCLUSIVE:
            owner = hold.lock.guards
            if owner is not None and (obj is None or owner is obj):
                return True
    return False


def _in_no_object(_cpu: Cpu, m: VmPage) -> bool:
    return m.raw_object is None


def _record_spin(cpu: Cpu, thing: Record) -> bool:
    spin = thing.spin_made
    for hold in cpu.held:
        if hold.lock is spin:
            exclusive: bool = hold.mode == EXCLUSIVE
            return exclusive
    return False


def _queue_spin(cpu: Cpu, m: VmPage) -> bool:
    queue = m.raw_queue
    if queue:
        return _record_spin(cpu, m.vm.page.vm_page_queues[queue])
    return any(hold.lock.kind == "spinlock" and hold.lock.klass.startswith("pq.") for hold in cpu.held)


PAGE_LEGEND: Final = {
    "B": Letter("the page hard-busied by the caller", _hard_busied),
    "A": Letter("the page hard-busied by the caller, and soft-busied by nobody", _busied_alone),
    "F": Letter("a fictitious page that nobody busies", _fictitious_and_idle),
    "b": Letter("the page soft- or hard-busied by the caller or by I/O", _busied),
    "O": Letter("the object's token, exclusively", _object_token_exclusive),
    "o": Letter("the object's token", _object_token),
    "N": Letter("a page in no object", _in_no_object),
    "S": Letter("m.spin, exclusively", _record_spin),
    "Q": Letter("the spinlock of the page's queue", _queue_spin),
    "W": Letter("PG_WRITEABLE set", lambda _cpu, m: bool(m.peek("flags") & PG_WRITEABLE)),
    "I": Letter("the page soft-busied by I/O", lambda _cpu, m: SOFT in m.in_progress),
    "C": Letter("nothing: it is constant after boot", lambda _cpu, _m: False),
}


@record(legend=PAGE_LEGEND)
class VmPage(Record):
    """struct vm_page.  `phys` is the number of its frame: its index in `vm_page_array`, unless it is a scan's
    marker (-1), or a fictitious page that a driver has made, which has no colour (`pc`).
    """

    kind = "page"

    busy_count: Word = word(format=busy_format, bits=(Bits(PBUSY_LOCKED, "B"),))
    hold_count: Word = word()
    wire_count: Word = word()
    flags: Word = word(
        format=flags_format,
        bits=(
            Bits(PG_FICTITIOUS | PG_UNQUEUED, "b", "A|F"),
            Bits(PG_SWAPPED | PG_NEED_COMMIT, "B", "B"),
            Bits(PG_MAPPEDMULTI, "A", "b"),
        ),
    )
    # invariant: the number of CPUs that are removing an entry of the page; 0 at rest
    interlock_count: Word = word(format=interlock_format)
    # invariant: the page is on the list of this queue only, on no list if PQ_NONE
    queue: int = field("S|Q", "S+Q")
    tqe_next: VmPage | None = field("Q", default=None)
    tqe_prev: VmPage | None = field("Q", default=None)
    # invariant: object.rb_memq[pindex] is this page, while object is set
    object: Any = field("b|o|S", "B+O", default=None, watch=True)  # a VmObject
    pindex: int = field("b|o|S", "B+O|B+N", watch=True)
    valid: int = field("b|o|S", "B", format=hex, watch=True)
    dirty: int = field("", "B|W|I", format=hex)  # tentative until unmapped or read-only
    pat_mode: int = plain(0)  # no other CPU has the page when it changes
    act_count: int = field("")  # no lock: an approximate value suffices

    pc: int = plain()
    phys: int = plain()

    raw_queue: int
    raw_tqe_next: VmPage | None
    raw_tqe_prev: VmPage | None
    raw_object: Any
    raw_pindex: int
    raw_valid: int
    raw_dirty: int

    @property
    def name(self) -> str:
        if self.phys >= 0 and self.pc != NO_COLOUR:
            return f"pg[{self.phys}]"
        return f"{'marker' if self.phys < 0 else 'fake'}[{self.ident >> ops.CPU_BITS}]"

    def queue_base(self) -> int:
        """The base index of the page's queue, or PQ_NONE: a hint, one visible operation."""
        queue: int = self.hint("queue")
        return queue - self.pc if queue else 0

    def state(self) -> str:
        return f"{self.vm.page.queue_name(self.peek('queue'))}, busy {busy_format(self.peek('busy_count'))}"

    def dump(self) -> str:
        obj = self.peek("object")
        where = f"{obj.name}:{self.peek('pindex')}" if obj is not None else "no object"
        return (
            f"{self.vm.page.queue_name(self.peek('queue'))}, {where}, "
            f"busy {busy_format(self.peek('busy_count'))}, "
            f"hold {self.peek('hold_count')}, wire {self.peek('wire_count')}, "
            f"valid {self.peek('valid'):#x}, dirty {self.peek('dirty'):#x}, "
            f"{flags_format(self.peek('flags'))}"
        )


QUEUE_LEGEND: Final = {
    "Q": Letter("the queue's spinlock", _record_spin),
}


@record(legend=QUEUE_LEGEND)
class Vpgqueues(Record):
    """struct vpgqueues: one list of pages, its lock and its counts.

    `cnt_offset` names the `Vmmeter` count of its pages.
    """

    kind = "queue"

    # invariant: the list is well formed and lcnt is its length, not counting markers
    tqh_first: VmPage | None = field("Q", default=None)
    tqh_last: VmPage | None = field("Q", default=None)
    lcnt: int = field("Q")
    adds: int = field("", "Q")
    lastq: int = field("", default=-1)  # a hint: races by design

    base: int = plain()
    index: int = plain()
    cnt_offset: str = plain()

    raw_tqh_first: VmPage | None
    raw_tqh_last: VmPage | None
    raw_lcnt: int

    @property
    def name(self) -> str:
        name: str = self.vm.page.queue_name(self.index)
        return name

    def pages(self) -> Iterator[VmPage]:
        """Yield the members from the head on, markers included, read invisibly; stop if the list loops."""
        m = self.peek("tqh_first")
        left = len(self.vm.page.vm_page_array) + 64
        while m is not None and left:
            yield m
            m = m.peek("tqe_next")
            left -= 1

    def state(self) -> str:
        return f"{self.peek('lcnt')} pages"


def is_marker(m: VmPage) -> bool:
    """Return whether `m` is a scan's marker rather than a page."""
    return bool(m.peek("flags") & PG_MARKER)


def VM_PAGE_TO_PHYS(m: VmPage) -> int:
    """Return the page's physical address."""
    return m.phys * PAGE_SIZE


def PHYS_TO_VM_PAGE(vm: Any, pa: int) -> VmPage:
    """Return the page of the array that has that physical address."""
    m: VmPage = vm.page.vm_page_array[pa // PAGE_SIZE]
    return m
