"""Range interlocks: the owner of one keeps out all others whose range overlaps.

Models: struct vm_map_ilock, vm_map_interlock and vm_map_deinterlock of sys/vm/vm_map.c.
Locks: the map's `ilock_spin`, a leaf, for the list and the flags of what is on it.  A waiter sleeps on the
interlock that is in its way, without the spinlock.
Deviations:
  * an interlock is a record of its own instead of memory on its owner's stack; once it is off the list only
    its owner may touch it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vmsmp.records.field import field, plain
from vmsmp.records.letters import Letter
from vmsmp.records.record import Record, has, record
from vmsmp.sync.lock import EXCLUSIVE
from vmsmp.sync.sleepq import ssleep
from vmsmp.vm.vm_map.flags import ILOCK_WAITING

if TYPE_CHECKING:
    from vmsmp.engine.cpu import Cpu
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_map.map import VmMap


def _map_spin(cpu: Cpu, il: VmMapIlock) -> bool:
    return il.map is not None and has(cpu, il.map.ilock_spin, EXCLUSIVE)


ILOCK_LEGEND: Final = {
    "I": Letter("the map's ilock_spin", _map_spin),
    "N": Letter("an interlock of no map", lambda _cpu, il: il.map is None),
}


@record(legend=ILOCK_LEGEND)
class VmMapIlock(Record):
    """struct vm_map_ilock: a range of addresses, `ran_end` exclusive, and whether it is waited for."""

    kind = "ilock"

    next: VmMapIlock | None = field("I", "I|N", default=None)
    flags: int = field("I", "I|N")
    ran_beg: int = field("I", "I|N")
    ran_end: int = field("I", "I|N")
    # invariant: the map whose list it is on, or None
    map: VmMap | None = plain(None)
    number: int = plain(0)

    raw_next: VmMapIlock | None
    raw_ran_beg: int
    raw_ran_end: int

    @property
    def name(self) -> str:
        return f"ilock[{self.number}]"

    def state(self) -> str:
        waiting = ", somebody waits" if self.peek("flags") & ILOCK_WAITING else ""
        where = f"on {self.map.name}" if self.map is not None else "on no list"
        return f"{self.raw_ran_beg:#x} to {self.raw_ran_end:#x}, {where}{waiting}"


def vm_map_ilock(vm: VmSystem) -> VmMapIlock:
    """Return memory for an interlock, which is the caller's own."""
    number = vm.map.supply().next_number()
    with vm.making:
        il: VmMapIlock = vm.map.ilocks.make(number=number)
    return il


def vm_map_interlock(map: VmMap, il: VmMapIlock, ran_beg: int, ran_end: int) -> None:
    """Take the range for the caller.  Sleeps: while another interlock overlaps it; tokens are lost.

    Locks: takes ilock_spin; after every sleep the search starts over.
    """
    il.flags = 0
    il.ran_beg = ran_beg
    il.ran_end = ran_end
    map.ilock_spin.acquire()
    scan = map.ilock_base
    while scan is not None:
        if ran_end > scan.ran_beg and ran_beg < scan.ran_end:
            scan.flags |= ILOCK_WAITING
            ssleep(map.vm.machine, scan, map.ilock_spin, 0, "ilock", 0)
            scan = map.ilock_base
        else:
            scan = scan.next
    il.map = map
    il.next = map.ilock_base
    map.ilock_base = il
    map.ilock_spin.release()


def vm_map_deinterlock(map: VmMap, il: VmMapIlock) -> None:
    """Give the range back, and wake those who wait for it.

    Locks: takes ilock_spin.  The flag is read after the interlock has left the list, when no CPU can set it.
    Panics if the interlock is not the map's.
    """
    map.ilock_spin.acquire()
    before: VmMapIlock | None = None
    scan = map.ilock_base
    while scan is not None and scan is not il:
        before, scan = scan, scan.next
    if scan is None:
        map.vm.panic("vm_map_deinterlock: missing ilock")
    if before is None:
        map.ilock_base = il.next
    else:
        before.next = il.next
    il.map = None
    map.ilock_spin.release()
    if il.hint("flags") & ILOCK_WAITING:
        map.vm.machine.wakeup(il)
