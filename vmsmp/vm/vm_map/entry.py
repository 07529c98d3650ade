"""struct vm_map_entry and struct vm_map_backing, and the legend of their locks.

Models: sys/vm/vm_map.h.
An entry maps one range of addresses.  Its `ba` heads a chain of backings, each of which names an object and
the offset in it of the range's start; a page that the first object lacks is looked for in the next one.
Every entry owns its chain, and each element of it owns a reference to its object.
Locks: the map's lock, exclusively to change.  The bounds and the offset of a backing that is on its object's
list change under the list's lock as well, so that a scan of that list sees all of them or none.
Deviations:
  * `object` is the union of object, sub_map and uksmap, and `aux` that of avail_ssize, dev and map_aux.
  * an entry, and a backing, knows its map, which kernel functions get as an argument.
  * an entry that is reused is a new record, so that a stale pointer to the old one is noticed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from vmsmp.records.field import field, plain, word
from vmsmp.records.letters import Letter
from vmsmp.records.record import Record, has, record
from vmsmp.sync.lock import EXCLUSIVE, SHARED
from vmsmp.vm.vm_map.flags import (
    MAP_ENTRY_IN_TRANSITION,
    VM_MAPTYPE_UNSPECIFIED,
    eflags_format,
)

if TYPE_CHECKING:
    from vmsmp.engine.cpu import Cpu
    from vmsmp.records.word import Word
    from vmsmp.vm.vm_map.map import VmMap

#: The value of a field of new memory until it is filled, so that no code can rely on zeroes.
UNDEFINED: Final[Any] = "undefined"


# These are evaluated at every access to a field, so each is one loop over what the CPU holds.


def _map_locked(cpu: Cpu, thing: Any) -> bool:
    lock = thing.map.lock
    for hold in cpu.held:  # noqa: SIM110 - a generator is too slow here
        if hold.lock is lock and (hold.mode is SHARED or hold.mode is EXCLUSIVE):
            return True
    return False


def _map_locked_exclusively(cpu: Cpu, thing: Any) -> bool:
    lock = thing.map.lock
    for hold in cpu.held:  # noqa: SIM110 - a generator is too slow here
        if hold.lock is lock and hold.mode is EXCLUSIVE:
            return True
    return False


def _list_locked(cpu: Cpu, ba: VmMapBacking) -> bool:
    return ba.listed is not None and has(cpu, ba.listed.backing_lk, EXCLUSIVE, SHARED)


def _list_locked_exclusively(cpu: Cpu, ba: VmMapBacking) -> bool:
    return ba.listed is None or has(cpu, ba.listed.backing_lk, EXCLUSIVE)


ENTRY_LEGEND: Final = {
    "M": Letter("the map's lock, exclusively", _map_locked_exclusively),
    "m": Letter("the map's lock", _map_locked),
}
BACKING_LEGEND: Final = {
    **ENTRY_LEGEND,
    "L": Letter("the lock of its object's backing list, exclusively", _list_locked_exclusively),
    "l": Letter("the lock of its object's backing list", _list_locked),
}


@record(legend=BACKING_LEGEND)
class VmMapBacking(Record):
    """struct vm_map_backing: an element of an entry's chain.

    `listed` is the object on whose list it is (a ghost), `number` its place in the order of creation.
    """

    kind = "backing"

    # invariant: the same in all elements of a chain
    start: int = field("m|l", "M+L", hex)
    end: int = field("m|l", "M+L", hex)
    # invariant: page aligned; not cumulative along the chain
    offset: int = field("m|l", "M+L", hex)
    pmap: Any = field("m|l", "M", default=None)  # a Pmap
    object: Any = field("m|l", "M", default=None)  # a VmObject, a VmMap or a function, by maptype
    # invariant: no two entries share an element
    backing_ba: VmMapBacking | None = field("m", "M", default=UNDEFINED)
    # invariant: the number of elements below
    backing_count: int = field("m", "M", default=UNDEFINED)
    aux_info: Any = field("m", "M", default=None)
    flags: int = field("", format=hex)  # VM_MAP_BACK_EXCL_HEUR: races by design

    map: VmMap = plain()
    number: int = plain()
    listed: Any = plain(None)
    freed: bool = plain(False)

    raw_start: int
    raw_end: int
    raw_offset: int
    raw_pmap: Any
    raw_object: Any
    raw_backing_ba: VmMapBacking | None
    raw_backing_count: int

    @property
    def name(self) -> str:
        return f"ba[{self.number}]"

    def state(self) -> str:
        return f"{self.raw_start:#x}-{self.raw_end:#x}" + (", freed" if self.freed else "")

    def dump(self) -> str:
        return f"{self.state()}, object {self.raw_object}, offset {self.raw_offset:#x}"


@record(legend=ENTRY_LEGEND)
class VmMapEntry(Record):
    """struct vm_map_entry: a range of addresses.

    `linked` says whether it is in its map's tree (a ghost), `number` its place in the order of creation.
    """

    kind = "entry"

    aux: Any = field("m", "M")
    eflags: int = field("m", "M", eflags_format)
    maptype: int = field("m", "M", default=VM_MAPTYPE_UNSPECIFIED)
    protection: int = field("m", "M")
    max_protection: Word = word()  # may lose VM_PROT_WRITE in a fault, with the map locked shared
    inheritance: int = field("m", "M", default=UNDEFINED)
    # invariant: a user's wiring counts once, together with MAP_ENTRY_USER_WIRED
    wired_count: int = field("m", "M", default=UNDEFINED)
    id: int = field("m", "M")

    map: VmMap = plain()
    ba: VmMapBacking = plain()
    number: int = plain()
    linked: bool = plain(False)
    freed: bool = plain(False)

    raw_eflags: int
    raw_maptype: int
    raw_protection: int
    raw_inheritance: int
    raw_wired_count: int
    raw_id: int
    raw_aux: Any

    @property
    def name(self) -> str:
        return f"entry[{self.number}]"

    @property
    def in_transition(self) -> bool:
        """Whether a CPU works on it with the map unlocked, and others must wait."""
        return bool(self.eflags & MAP_ENTRY_IN_TRANSITION)

    def chain(self) -> list[VmMapBacking]:
        """The elements of its chain, head first, read invisibly."""
        elements: list[VmMapBacking] = []
        ba: VmMapBacking | None = self.ba
        while ba is not None and ba not in elements:
            elements.append(ba)
            ba = ba.raw_backing_ba
        return elements

    def state(self) -> str:
        return f"{self.ba.state()}, {eflags_format(self.raw_eflags)}" + (", freed" if self.freed else "")

    def dump(self) -> str:
        return (
            f"{self.ba.dump()}, prot {self.raw_protection}/{self.peek('max_protection')}/"
            f"{self.raw_inheritance}, wired {self.raw_wired_count}, {eflags_format(self.raw_eflags)}"
        )
