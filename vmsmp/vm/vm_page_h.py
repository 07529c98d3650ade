"""struct vm_page, its flags, and the legend of its locks.

Models: sys/vm/vm_page.h, the permission matrix of its head comment included.
Locking, by the letters of `PAGE_LEGEND`: a field of `VmPage` names what a reader and what a writer of
it must hold.  Words (`busy_count`, `hold_count`, `wire_count`, `flags`) are atomic.
Deviations:
  * one page table entry a page, the word `md`, stands for the pv list of the pmap.
  * the numbers of flags that the facts do not fix are ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from vmsmp.engine import ops
from vmsmp.sync.field import STRIDE, Letter, Record, field, record, word
from vmsmp.sync.lock import EXCLUSIVE

if TYPE_CHECKING:
    from vmsmp.engine.cpu import Cpu
    from vmsmp.vm.vm_init import VmSystem
    from vmsmp.vm.vm_object import VmObject

# busy_count
PBUSY_LOCKED: Final = 0x80000000
PBUSY_WANTED: Final = 0x40000000
PBUSY_SWAPINPROG: Final = 0x20000000
PBUSY_MASK: Final = 0x1FFFFFFF

# flags
PG_FICTITIOUS: Final = 0x0008
PG_WRITEABLE: Final = 0x0010
PG_MAPPED: Final = 0x0020
PG_MAPPEDMULTI: Final = 0x0040
PG_REFERENCED: Final = 0x0080
PG_CLEANCHK: Final = 0x0100
PG_WINATCFLS: Final = 0x0200
PG_UNQUEUED: Final = 0x0800
PG_MARKER: Final = 0x1000
PG_RAM: Final = 0x2000
PG_SWAPPED: Final = 0x4000
PG_NEED_COMMIT: Final = 0x40000

# md, the one page table entry of this model
PTE_V: Final = 1
PTE_W: Final = 2
PTE_M: Final = 4

# valid and dirty, a bit for each of the DEV_BSIZE pieces of a page
PAGE_SIZE: Final = 4096
DEV_BSIZE: Final = 512
VM_PAGE_BITS_ALL: Final = 0xFF

ACT_INIT: Final = 5
ACT_MAX: Final = 64

# allocation requests
VM_ALLOC_NORMAL: Final = 0x0001
VM_ALLOC_SYSTEM: Final = 0x0002
VM_ALLOC_INTERRUPT: Final = 0x0004
VM_ALLOC_ZERO: Final = 0x0008
VM_ALLOC_QUICK: Final = 0x0010
VM_ALLOC_FORCE_ZERO: Final = 0x0020
VM_ALLOC_NULL_OK: Final = 0x0040
VM_ALLOC_RETRY: Final = 0x0080
VM_ALLOC_CPU_SPEC: Final = 0x0200
VM_ALLOC_CPU_SHIFT: Final = 16

# Shares of a page that a ledger knows by owner.
HARD: Final = "hard busy"
SOFT: Final = "soft busy"
HOLD: Final = "hold"
WIRE: Final = "wire"

_FLAG_NAMES: Final = {
    value: name
    for name, value in list(globals().items())
    if name.startswith("PG_") and isinstance(value, int)
}


def VM_ALLOC_CPU(n: int) -> int:
    """The request flags that name a CPU whose colours are to be used."""
    return n << VM_ALLOC_CPU_SHIFT | VM_ALLOC_CPU_SPEC


def busy_format(value: int) -> str:
    """busy_count in words: `LOCKED|WANTED|2`."""
    parts = [name for bit, name in _BUSY_NAMES if value & bit]
    return "|".join([*parts, str(value & PBUSY_MASK)])


_BUSY_NAMES: Final = (
    (PBUSY_LOCKED, "LOCKED"),
    (PBUSY_WANTED, "WANTED"),
    (PBUSY_SWAPINPROG, "SWAPINPROG"),
)


def flags_format(value: int) -> str:
    """Flags in words."""
    return "|".join(name for bit, name in _FLAG_NAMES.items() if value & bit) or "0"


def _pte_format(value: int) -> str:
    return "".join(letter for bit, letter in ((PTE_V, "v"), (PTE_W, "w"), (PTE_M, "m")) if value & bit) or "0"


# -- the legend -----------------------------------------------------------------------------------


def has(cpu: Cpu, thing: Any, *shares: str) -> bool:
    """Whether the CPU has one of these shares of `thing` in hand."""
    return any(hold.lock is thing and hold.mode in shares for hold in cpu.held)


def _object_token(cpu: Cpu, m: VmPage, *, exclusive: bool) -> bool:
    obj = m.peek("object")
    for hold in cpu.held:
        if hold.lock.kind == "token" and (hold.mode == EXCLUSIVE or not exclusive):
            owner = getattr(hold.lock, "guards", None)
            if owner is not None and (obj is None or owner is obj):
                return True
        # a recursive get counts as shared but sits on an exclusive one
    return False


def _queue_spin(cpu: Cpu, m: VmPage) -> bool:
    queue = m.peek("queue")
    queues = m.vm.vm_page_queues
    if queue:
        return has(cpu, queues[queue].spin, EXCLUSIVE)
    return any(hold.lock.kind == "spinlock" and hold.lock.klass.startswith("pq.") for hold in cpu.held)


PAGE_LEGEND: Final = {
    "B": Letter("the page hard-busied by the caller", lambda cpu, m: has(cpu, m, HARD)),
    "b": Letter("the page soft- or hard-busied by the caller", lambda cpu, m: has(cpu, m, HARD, SOFT)),
    "O": Letter("the object's token, exclusively", lambda cpu, m: _object_token(cpu, m, exclusive=True)),
    "o": Letter("the object's token", lambda cpu, m: _object_token(cpu, m, exclusive=False)),
    "N": Letter("a page in no object", lambda _cpu, m: m.peek("object") is None),
    "S": Letter("m.spin, exclusively", lambda cpu, m: m._spin is not None and has(cpu, m._spin, EXCLUSIVE)),
    "Q": Letter("the spinlock of the page's queue", _queue_spin),
    "W": Letter("PG_WRITEABLE set", lambda _cpu, m: bool(m.peek("flags") & PG_WRITEABLE)),
    "C": Letter("nothing: it is constant after boot", lambda _cpu, _m: False),
}


@record(legend=PAGE_LEGEND)
class VmPage(Record):
    """struct vm_page.  `phys` is the page's number in `vm_page_array`, -1 for markers and fakes."""

    plain = ("pc", "phys")

    kind = "page"

    busy_count: Any = word(format=busy_format)
    hold_count: Any = word()
    wire_count: Any = word()
    flags: Any = word(format=flags_format)
    md: Any = word(format=_pte_format)
    # invariant: the page is on the list of exactly this queue, on none if PQ_NONE
    queue: int = field("S|Q", "S+Q")
    tqe_next: VmPage | None = field("Q")
    tqe_prev: VmPage | None = field("Q")
    # invariant: object.rb_memq[pindex] is this page, for as long as object is set
    object: VmObject | None = field("b|o|S", "B+O")
    pindex: int = field("b|o|S", "B+O|B+N")
    valid: int = field("b|o|S", "B", format=hex)
    dirty: int = field("", "B|W", format=hex)  # tentative until unmapped or read-only
    act_count: int = field("")  # nobody's: it only has to be about right

    pc: int
    phys: int

    def __init__(self, vm: VmSystem, ident: int | None, phys: int, pc: int, flags: int = 0) -> None:
        self.settle(vm, ident)
        self.phys = phys
        self.pc = pc
        words = self.words if self.host is None else self.free_words
        self.busy_count = words["busy_count"](self, 0)
        self.hold_count = words["hold_count"](self, 0)
        self.wire_count = words["wire_count"](self, 0)
        self.flags = words["flags"](self, flags)
        self.md = words["md"](self, 0)
        self.queue = 0
        self.tqe_next = self.tqe_prev = None
        self.object = None
        self.pindex = self.valid = self.dirty = self.act_count = 0

    @property
    def name(self) -> str:
        return f"pg[{self.phys}]" if self.phys >= 0 else f"marker[{self.ident >> ops.CPU_BITS}]"

    def queue_type(self) -> int:
        """The base index of the queue it is on, PQ_NONE for none: a hint, one visible operation."""
        queue: int = self.hint("queue")
        return queue - self.pc if queue else 0

    def state(self) -> str:
        return f"{self.vm.queue_name(self.peek('queue'))}, busy {busy_format(self.peek('busy_count'))}"

    def dump(self) -> str:
        obj = self.peek("object")
        where = f"{obj.name}:{self.peek('pindex')}" if obj is not None else "no object"
        return (
            f"{self.vm.queue_name(self.peek('queue'))}, {where}, "
            f"busy {busy_format(self.peek('busy_count'))}, "
            f"hold {self.peek('hold_count')}, wire {self.peek('wire_count')}, "
            f"valid {self.peek('valid'):#x}, dirty {self.peek('dirty'):#x}, "
            f"{flags_format(self.peek('flags'))}"
        )


PAGE_STRIDE: Final = STRIDE << ops.CPU_BITS
