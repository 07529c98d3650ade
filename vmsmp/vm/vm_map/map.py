"""struct vm_map, its initialization, and the legend of its locks.

Models: sys/vm/vm_map.h; vm_map_init of sys/vm/vm_map.c.
Locks: the map's lock (lockmgr) protects everything but the list of range interlocks, which has a spinlock.
The token serializes only between blocking points: it is lost at each of them.
The lock is also the sleep ident of threads that wait for a transition to end.
Deviations:
  * the address of a map and that of its lock are one; here the lock stands for both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from vmsmp.engine.clock import HZ
from vmsmp.records.field import field, plain
from vmsmp.records.letters import Letter
from vmsmp.records.record import Record, has, record
from vmsmp.sync.lock import EXCLUSIVE, SHARED
from vmsmp.vm.vm_map.flags import VM_MAP_FFCOUNT
from vmsmp.vm.vm_map.tree import EntryTree

if TYPE_CHECKING:
    from vmsmp.engine.cpu import Cpu
    from vmsmp.sync.lockmgr import LockmgrLock
    from vmsmp.sync.spinlock import Spinlock
    from vmsmp.sync.token import Token
    from vmsmp.vm.pmap.pmap import Pmap
    from vmsmp.vm.system import VmSystem


class VmMapFreehint:
    """struct vm_map_freehint: no hole that fits `length` and `align` begins below `start`.

    That is certain if the search that made the hint began at the map's start, or at another certain hint:
    then it is `whole` (a ghost).
    """

    __slots__ = ("align", "length", "start", "whole")

    def __init__(self, start: int = 0, length: int = 0, align: int = 0, *, whole: bool = False) -> None:
        self.start = start
        self.length = length
        self.align = align
        self.whole = whole


class Transition:
    """A range that a CPU has in transition (a ghost)."""

    __slots__ = ("cpu", "end", "start")

    def __init__(self, cpu: Cpu, start: int, end: int) -> None:
        self.cpu = cpu
        self.start = start
        self.end = end


def _no_hints() -> list[VmMapFreehint]:
    return [VmMapFreehint() for _ in range(VM_MAP_FFCOUNT)]


def _locked(cpu: Cpu, map: VmMap) -> bool:
    return has(cpu, map.lock, EXCLUSIVE, SHARED)


MAP_LEGEND: Final = {
    "M": Letter("the map's lock, exclusively", lambda cpu, map: has(cpu, map.lock, EXCLUSIVE)),
    "m": Letter("the map's lock", _locked),
    "t": Letter("the map's token", lambda cpu, map: has(cpu, map.token, EXCLUSIVE, SHARED)),
    "U": Letter("a map that nobody has locked yet", lambda _cpu, map: map.ended_at is None),
    "I": Letter("the map's ilock_spin", lambda cpu, map: has(cpu, map.ilock_spin, EXCLUSIVE)),
}


@record(legend=MAP_LEGEND)
class VmMap(Record):
    """struct vm_map: an address space, or a part of one.

    `system_map` is set for the kernel's map only.  `pgout_offset` is where the next scan for the limit of
    resident pages resumes.
    """

    kind = "map"

    # invariant: nentries == len(rb_root), size == the sum of the lengths of its entries
    rb_root: EntryTree = field("m|t", "M", factory=EntryTree)
    nentries: int = field("m", "M")
    size: int = field("m", "M", hex)
    timestamp: int = field("m", "M|U")
    flags: int = field("m", "M", hex)
    freehint: list[VmMapFreehint] = field("M", factory=_no_hints)
    freehint_newindex: int = field("M")
    ilock_base: Any = field("I", default=None)  # a VmMapIlock

    _name: str = plain()
    min_addr: int = plain()
    max_addr: int = plain()
    pmap: Pmap = plain()
    system_map: int = plain(0)
    pgout_offset: int = plain(0)
    lock: LockmgrLock = plain(None)
    token: Token = plain(None)
    ilock_spin: Spinlock = plain(None)
    #: Ghosts: the timestamp at the end of the last exclusive section, and the ranges in transition.
    ended_at: int | None = plain(None)
    transitions: list[Transition] = plain(None)
    freed: bool = plain(False)

    raw_rb_root: EntryTree
    raw_nentries: int
    raw_size: int
    raw_timestamp: int
    raw_freehint: list[VmMapFreehint]

    def __post_init__(self) -> None:
        machine = self.vm.machine
        self.transitions = []
        self.lock = machine.lockmgr(f"{self.name}.vm_maplk", (HZ + 9) // 10)
        self.token = machine.token(f"{self.name}.vm_map")
        self.token.guards = self
        self.ilock_spin = machine.spinlock(f"{self.name}.ilock")

    @property
    def name(self) -> str:
        return self._name

    def state(self) -> str:
        return f"{self.raw_nentries} entries, version {self.raw_timestamp}, {self.lock.state()}" + (
            ", freed" if self.freed else ""
        )


def vm_map_init(vm: VmSystem, min: int, max: int, pmap: Pmap | None, name: str | None = None) -> VmMap:
    """Make an empty map of the addresses from `min` up to `max`.  Locks: none; nobody can reach it yet."""
    number = vm.map.supply().next_number()
    with vm.making:
        map: VmMap = vm.map.maps.make(_name=name or f"map[{number}]", min_addr=min, max_addr=max, pmap=pmap)
    return map
