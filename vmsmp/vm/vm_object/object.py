"""struct vm_object, its flags, and the legend of its locks.

Models: sys/vm/vm_object.h.
An object is *held* (hold_count) to keep its memory, *locked* by its token to keep its pages, and
*referenced* (ref_count) by its users.
Locks: `rb_memq` any mode of the token to look, exclusive to change; words are atomic.
Deviations:
  * `rb_memq` is a dictionary with sorted scans; the shape of a red-black tree is not under test.
  * no pager, no backing objects and no bucket list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.sync.field import Letter, Record, field, record, word
from vmsmp.sync.lock import EXCLUSIVE, SHARED
from vmsmp.vm.vm_page.page import has

if TYPE_CHECKING:
    from typing import Any, Final

    from vmsmp.engine.cpu import Cpu
    from vmsmp.sync.token import Token
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_page.page import VmPage

OBJ_DEAD: Final = 0x0008


OBJ_WRITEABLE: Final = 0x0080


OBJ_MIGHTBEDIRTY: Final = 0x0100


REF: Final = "reference"


OBJECT_HOLD: Final = "object hold"


def _holds_token(cpu: Cpu, obj: VmObject) -> bool:
    return has(cpu, obj.token, EXCLUSIVE, SHARED)


OBJECT_LEGEND: Final = {
    "T": Letter("the object's token, exclusively", lambda cpu, obj: has(cpu, obj.token, EXCLUSIVE)),
    "t": Letter("the object's token", _holds_token),
}


@record(legend=OBJECT_LEGEND)
class VmObject(Record):
    """struct vm_object.  `size` is in pages, `pg_color` spreads objects over the colours."""

    plain = ("_name", "freed", "pg_color", "size", "token")

    kind = "object"

    hold_count: Any = word()
    ref_count: Any = word()
    flags: Any = word(format=hex)
    paging_in_progress: Any = word()
    # invariant: resident_page_count == len(rb_memq), and every page in it names this object
    rb_memq: dict[int, VmPage] = field("t", "T")
    resident_page_count: int = field("", "T")
    generation: int = field("", "T")

    _name: str
    freed: bool
    pg_color: int
    size: int
    token: Token

    def __init__(self, vm: VmSystem, size: int, name: str) -> None:
        self.settle(vm, None)
        self._name = name
        self.size = size
        self.freed = False
        words = self.words if self.host is None else self.free_words
        self.hold_count = words["hold_count"](self, 0)
        self.ref_count = words["ref_count"](self, 1)
        self.flags = words["flags"](self, 0)
        self.paging_in_progress = words["paging_in_progress"](self, 0)
        self.rb_memq = {}
        self.resident_page_count = self.generation = 0
        self.pg_color = 0
        self.token = vm.machine.token(f"{name}.token")
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
    """RB_SCAN: visit the pages in order of index, whatever comes and goes meanwhile.

    Locks: the token in any mode at every step; it may be lost and had again between two.
    """
    last = -1
    while True:
        memq = obj.rb_memq
        pindex = min((n for n in memq if n > last), default=None)
        if pindex is None:
            return
        last = pindex
        yield memq[pindex]
