"""struct vm_object, its types and flags, the hash of all objects, and the legend of their locks.

Models: sys/vm/vm_object.h.
An object is *held* (hold_count) to keep its memory, *locked* by its token to keep its pages, and
*referenced* (ref_count) by its users.  Every object that is not terminated yet is on the list of one bucket.
Locks: reading `rb_memq` needs the token in any mode, changing it the token exclusively; `backing_list` is
protected by `backing_lk`, an object's place on a list by the bucket's token; words are atomic.  Type, size
and handle are read with or without the token: a change of one is a visible operation, and so is a read
without the token.
Deviations:
  * those of `tree`.
  * an object's address, which chooses its bucket, is made of its identity.
  * no debugging records of holds and drops; no `md` of the pmap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from vmsmp.engine.cpu import Cpu
from vmsmp.records.field import Bits, field, plain, word
from vmsmp.records.letters import Letter
from vmsmp.records.record import Record, has, record
from vmsmp.records.share import Share
from vmsmp.records.word import Word
from vmsmp.sync.lock import EXCLUSIVE, SHARED
from vmsmp.sync.lockmgr import LockmgrLock
from vmsmp.sync.token import Token
from vmsmp.vm.vm_object.tree import PageTree

if TYPE_CHECKING:
    from vmsmp.vm.vm_object.backing import Backing

OBJT_DEFAULT: Final = 0
OBJT_SWAP: Final = 1
OBJT_VNODE: Final = 2
OBJT_DEVICE: Final = 3
OBJT_MGTDEVICE: Final = 4
OBJT_PHYS: Final = 5
OBJT_DEAD: Final = 6
OBJT_MARKER: Final = 7
#: The types of anonymous memory.
ANONYMOUS: Final = (OBJT_DEFAULT, OBJT_SWAP)

OBJ_ACTIVE: Final = 0x0004
OBJ_DEAD: Final = 0x0008
OBJ_NOSPLIT: Final = 0x0010
OBJ_NOPAGEIN: Final = 0x0040
OBJ_WRITEABLE: Final = 0x0080
OBJ_MIGHTBEDIRTY: Final = 0x0100
OBJ_CLEANING: Final = 0x0200
OBJ_DEADWNT: Final = 0x1000
OBJ_ONEMAPPING: Final = 0x2000
OBJ_NOMSYNC: Final = 0x4000

OBJPC_SYNC: Final = 0x01
OBJPC_INVAL: Final = 0x02
OBJPC_NOSYNC: Final = 0x04
OBJPC_IGNORE_CLEANCHK: Final = 0x08
OBJPC_CLUSTER_OK: Final = 0x10
OBJPC_TRY_TO_CACHE: Final = 0x20
OBJPC_ALLOW_ACTIVE: Final = 0x40

VM_MEMATTR_DEFAULT: Final = 0
VMOBJ_HSIZE: Final = 256

REF: Final = Share("reference", owned=False, balanced=True, invariant="INV-O4")
OBJECT_HOLD: Final = Share("object hold", owned=True, invariant="INV-O5")


def _holds_token(cpu: Cpu, obj: VmObject) -> bool:
    return has(cpu, obj.token, EXCLUSIVE, SHARED)


def _holds_bucket(cpu: Cpu, _record: Record) -> bool:
    return any(
        hold.lock.kind == "token" and hold.mode == EXCLUSIVE and hold.lock.name.startswith("vmobjlst[")
        for hold in cpu.held
    )


OBJECT_LEGEND: Final = {
    "T": Letter("the object's token, exclusively", lambda cpu, obj: has(cpu, obj.token, EXCLUSIVE)),
    "t": Letter("the object's token", _holds_token),
    "L": Letter("backing_lk, exclusively", lambda cpu, obj: has(cpu, obj.backing_lk, EXCLUSIVE)),
    "l": Letter("backing_lk", lambda cpu, obj: has(cpu, obj.backing_lk, EXCLUSIVE, SHARED)),
    "H": Letter("the token of the object's bucket, exclusively", _holds_bucket),
    "U": Letter("an object that is on no list", lambda _cpu, obj: obj.raw_object_entry is None),
}


@record(legend=OBJECT_LEGEND)
class VmObject(Record):
    """struct vm_object.  `size` is in pages, `pg_color` spreads objects over the colours."""

    kind = "object"

    hold_count: Word = word()
    ref_count: Word = word(default=1)
    flags: Word = word(format=hex, bits=(Bits(OBJ_DEAD, "t", "T"),))
    paging_in_progress: Word = word()
    # invariant: resident_page_count == len(rb_memq), and every page in it names this object
    rb_memq: PageTree = field("t", "T", factory=PageTree)
    resident_page_count: int = field("", "T", still="t")
    generation: Word = word(default=1)
    type: int = field("", "T|U", default=OBJT_DEFAULT, still="t")
    size: int = field("", "T|U", still="t")
    #: The vnode, device or other thing that the object stands for; None for anonymous memory.
    handle: Any = field("", "T|U", default=None, still="t")
    # invariant: exactly the attached backings whose object this is, each once
    backing_list: list[Backing] = field("l", "L", factory=list)
    # invariant: the bucket whose list has the object, from its allocation to its termination
    object_entry: VmObjectHash | None = field("", "H", default=None)
    #: The swap that the object has, by index: which block.  `swblock_count` counts them.
    swblock_root: dict[int, int] = field("t", "T", factory=dict)
    swblock_count: int = field("", "T", still="t")
    #: Which blocks of metadata have a page whose block is being freed, once for each such page.
    swb_freeing: list[int] = plain(None)

    _name: str = plain()
    memattr: int = plain(VM_MEMATTR_DEFAULT)
    pg_color: int = plain(0)
    freed: bool = plain(False)
    #: What the pager of a device keeps of it (`vmsmp.vm.vm_pager.device.Devp`).
    devp: Any = plain(None)
    token: Token = plain(None)
    backing_lk: LockmgrLock = plain(None)

    raw_rb_memq: PageTree
    raw_resident_page_count: int
    raw_type: int
    raw_size: int
    raw_object_entry: VmObjectHash | None
    raw_backing_list: list[Backing]

    def __post_init__(self) -> None:
        self.swb_freeing = []
        self.token = self.vm.machine.token(f"{self.name}.token")
        self.token.guards = self
        self.backing_lk = self.vm.machine.lockmgr(f"{self.name}.baclk")
        self.backing_lk.guards = self

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


HASH_LEGEND: Final = {
    "H": Letter("the bucket's token, exclusively", lambda cpu, bucket: has(cpu, bucket.token, EXCLUSIVE)),
    "h": Letter("the bucket's token", lambda cpu, bucket: has(cpu, bucket.token, EXCLUSIVE, SHARED)),
}


@record(legend=HASH_LEGEND)
class VmObjectHash(Record):
    """struct vm_object_hash: one bucket of the hash of all objects."""

    kind = "bucket"

    # invariant: the objects that have been published and not terminated, in order of publication
    list: dict[int, VmObject] = field("h", "H", factory=dict)

    index: int = plain()
    token: Token = plain(None)

    raw_list: dict[int, VmObject]

    def __post_init__(self) -> None:
        self.token = self.vm.machine.token(f"vmobjlst[{self.index}]")

    @property
    def name(self) -> str:
        return f"vm_object_hash[{self.index}]"

    def state(self) -> str:
        return f"{len(self.peek('list'))} objects"
