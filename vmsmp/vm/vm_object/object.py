"""struct vm_object, its flags, and the legend of its locks.

Models: sys/vm/vm_object.h.
An object is *held* (hold_count) to keep its memory, *locked* by its token to keep its pages, and
*referenced* (ref_count) by its users.
Locks: reading `rb_memq` needs the token in any mode, changing it the token exclusively; words are atomic.
Deviations:
  * `rb_memq` is a dictionary with sorted scans; the shape of a red-black tree is not under test.  A scan
    looks for its next page after its callback; the kernel's before it, and so misses a page that is
    inserted in between.
  * no pager, no backing objects and no bucket list; no pages of a vnode or a device.
  * a page that becomes dirty does not set OBJ_WRITEABLE and OBJ_MIGHTBEDIRTY, which nothing reads.
"""

from __future__ import annotations

from typing import Any, Final

from vmsmp.engine.cpu import Cpu
from vmsmp.records.field import field, plain, word
from vmsmp.records.letters import Letter
from vmsmp.records.record import Record, has, record
from vmsmp.records.share import Share
from vmsmp.records.word import Word
from vmsmp.sync.lock import EXCLUSIVE, SHARED
from vmsmp.sync.token import Token
from vmsmp.vm.vm_page.page import VmPage

OBJ_DEAD: Final = 0x0008
OBJ_WRITEABLE: Final = 0x0080
OBJ_MIGHTBEDIRTY: Final = 0x0100
REF: Final = Share("reference", owned=False, invariant="INV-O4")
OBJECT_HOLD: Final = Share("object hold", owned=True, invariant="INV-O5")


def _holds_token(cpu: Cpu, obj: VmObject) -> bool:
    return has(cpu, obj.token, EXCLUSIVE, SHARED)


OBJECT_LEGEND: Final = {
    "T": Letter("the object's token, exclusively", lambda cpu, obj: has(cpu, obj.token, EXCLUSIVE)),
    "t": Letter("the object's token", _holds_token),
}


@record(legend=OBJECT_LEGEND)
class VmObject(Record):
    """struct vm_object.  `size` is in pages, `pg_color` spreads objects over the colours."""

    kind = "object"

    hold_count: Word = word()
    ref_count: Word = word(default=1)
    flags: Word = word(format=hex)
    paging_in_progress: Word = word()
    # invariant: resident_page_count == len(rb_memq), and every page in it names this object
    rb_memq: dict[int, VmPage] = field("t", "T", factory=dict)
    resident_page_count: int = field("", "T")
    generation: Word = word(default=1)

    _name: str = plain()
    size: int = plain()
    pg_color: int = plain(0)
    freed: bool = plain(False)
    token: Token = plain(None)

    def __post_init__(self) -> None:
        self.token = self.vm.machine.token(f"{self.name}.token")
        self.token.guards = self

    @property
    def name(self) -> str:
        return self._name

    def state(self) -> str:
        return (
            f"{len(self.peek('rb_memq'))} pages, refs {self.peek('ref_count')}, "
            f"holds {self.peek('hold_count')}"
            + (", DEAD" if self.peek("flags") & OBJ_DEAD else "")
            + (", freed" if self.freed else "")
        )


def scan(obj: VmObject) -> Any:
    """RB_SCAN: visit the pages in order of index, even if pages are inserted or removed meanwhile.

    Locks: the token in any mode at every step; it may be lost and reacquired between steps.
    """
    last = -1
    while True:
        memq = obj.rb_memq
        pindex = min((n for n in memq if n > last), default=None)
        if pindex is None:
            return
        last = pindex
        yield memq[pindex]
