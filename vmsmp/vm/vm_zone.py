"""Zones: memory for items of one size that are allocated and freed often.

Models: sys/vm/vm_zone.c: zalloc, zfree and zget.
Locks: a zone's spinlock for its count; `zgetlk` for making more, by one CPU at a time.  A CPU's cache is its
own.
Deviations:
  * a zone only counts its free items; callers make the records.
  * the number of items that a CPU takes into its cache at once does not depend on the zone's size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vmsmp.sync.errno import LK_EXCLUSIVE, LK_SLEEPFAIL

if TYPE_CHECKING:
    from collections.abc import Callable

    from vmsmp.records.home import Home
    from vmsmp.vm.system import VmSystem

#: Items that a CPU takes into its cache at once, and how many it keeps at most.
ZONE_BURST: Final = 32
ZONE_CACHE: Final = 1024


class VmZone:
    """struct vm_zone.  `refill(vm)` makes more items and returns how many; it may sleep."""

    def __init__(self, vm: Home, zname: str, zfreecnt: int, refill: Callable[[VmSystem], int]) -> None:
        self.zspin = vm.machine.spinlock(f"{zname}.zspin")
        self.zgetlk = vm.machine.lockmgr(f"{zname}.zgetlk")
        self.zname = zname
        self.zfreecnt = zfreecnt
        #: Free items of each CPU, by its index.
        self.zpcpu: dict[int, int] = {}
        self.refill = refill

    def state(self) -> str:
        return f"{self.zfreecnt} free, {sum(self.zpcpu.values())} in caches"


def zalloc(vm: VmSystem, z: VmZone) -> None:
    """Take an item.  Sleeps: while more are made."""
    me = vm.engine.current.index
    while True:
        if z.zpcpu.get(me):
            z.zpcpu[me] -= 1
            return
        z.zspin.acquire()
        burst = min(z.zfreecnt, ZONE_BURST)
        z.zfreecnt -= burst
        z.zspin.release()
        if burst:
            z.zpcpu[me] = z.zpcpu.get(me, 0) + burst - 1
            return
        if _zget(vm, z):
            return


def zfree(vm: VmSystem, z: VmZone) -> None:
    """Give an item back.  Never sleeps."""
    me = vm.engine.current.index
    if z.zpcpu.get(me, 0) < ZONE_CACHE:
        z.zpcpu[me] = z.zpcpu.get(me, 0) + 1
        return
    z.zspin.acquire()
    z.zfreecnt += 1
    z.zspin.release()


def _zget(vm: VmSystem, z: VmZone) -> bool:
    """Make more items and take one; return False if the caller has to try again."""
    if z.zgetlk.lock(LK_EXCLUSIVE | LK_SLEEPFAIL):
        return False
    made = z.refill(vm)
    if made:
        z.zspin.acquire()
        z.zfreecnt += made - 1
        z.zspin.release()
    z.zgetlk.release()
    return made > 0
